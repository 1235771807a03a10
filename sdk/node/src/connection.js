// Requests to Latchkey by node:http. fetch will not do: with undici 6 an abort did not always reach a stream that was being read,
// and such a stream keeps a program running.

import http from "node:http";
import https from "node:https";

const MOST_BYTES = 64 * 1024;
const INTROSPECT = "/api/v1/oauth/introspect";
const REVOCATIONS = "/api/v1/revocations";

/** @typedef {{status: number, headers: http.IncomingHttpHeaders, body: string}} Answer */

/** Where Latchkey is, and with which service key it is asked. Redirects are not followed. */
export class Connection {
  #scheme;
  #url;
  #serviceKey;
  #agent;

  /**
   * @param {string} url without a slash at the end
   * @param {string} serviceKey
   */
  constructor(url, serviceKey) {
    this.#scheme = url.startsWith("https:") ? https : http;
    this.#url = url;
    this.#serviceKey = serviceKey;
    this.#agent = new this.#scheme.Agent({ keepAlive: true });
  }

  /**
   * Asks about a key.
   *
   * @param {string} token
   * @param {number} patience milliseconds until the whole answer must be there
   * @returns {Promise<Answer>}
   * @throws {Error} there is none, or it is longer than any of Latchkey's
   */
  introspect(token, patience) {
    const headers = { Accept: "application/json", "Content-Type": "application/x-www-form-urlencoded" };
    const request = this.#request(INTROSPECT, { method: "POST", headers, agent: this.#agent });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => fail(new Error("it took too long")), patience);
      const fail = (error) => {
        clearTimeout(timer);
        reject(error);
        request.destroy();
      };
      request.on("error", fail);
      request.on("close", () => fail(new Error("the connection was closed")));
      request.on("response", (response) => {
        const pieces = [];
        let bytes = 0;
        response.on("error", fail);
        response.on("data", (piece) => {
          bytes += piece.length;
          if (bytes > MOST_BYTES) fail(new Error("the answer is too long"));
          else pieces.push(piece);
        });
        response.on("end", () => {
          clearTimeout(timer);
          resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces).toString() });
        });
      });
      request.end(`token=${token}`);
    });
  }

  /**
   * Asks for the stream of revocations.
   *
   * @param {string} lastId the listener's place, or nothing
   * @returns {http.ClientRequest} begun; it does not keep the program running
   */
  listen(lastId) {
    const headers = { Accept: "text/event-stream", "Cache-Control": "no-store" };
    if (lastId) headers["Last-Event-ID"] = lastId;
    const request = this.#request(REVOCATIONS, { headers, agent: false });
    request.on("socket", (socket) => socket.unref());
    return request.end();
  }

  /** Nothing is to be compressed, since that would be held back on the way. */
  #request(path, { headers, ...options }) {
    return this.#scheme.request(this.#url + path, {
      ...options,
      autoSelectFamily: true,
      headers: {
        Authorization: `Bearer ${this.#serviceKey}`,
        "Accept-Encoding": "identity",
        "User-Agent": "latchkey-sdk-node",
        ...headers,
      },
    });
  }
}
