// Asks `POST /api/v1/oauth/introspect` (RFC 7662): few questions at once, each with an end, and nothing but a clear answer counts.

import { now } from "./clock.js";

const PATIENCE = 3_000;
const AT_ONCE = 64;
const MOST_BYTES = 64 * 1024;
const LONGEST_RETRY = 60;

/** Nothing is known. The message is fit for a log: neither key is in it, and nothing that the server wrote. */
export class Unknown extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, retryAfter?: number}} [more] the status of the answer; seconds
   */
  constructor(message, { status = 0, retryAfter = 1 } = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * @typedef {object} Answer
 * @property {Record<string, unknown> | null} facts null for a key that is not live
 * @property {number} askedAt before the question was sent, by `now()`
 * @property {number} serverTime seconds since 1970, of the clock that is further on: the server's or ours
 */

/** The questions of one guard. */
export class Introspection {
  #ask;
  #running = 0;
  /** @type {(() => void)[]} */
  #waiting = [];

  /** @param {(token: string, signal: AbortSignal) => Promise<Response>} ask sends the request */
  constructor(ask) {
    this.#ask = ask;
  }

  /**
   * Asks once a place is free. Over within three seconds: who waits began later than those who run, and they end in time.
   *
   * @param {string} token
   * @returns {Promise<Answer>}
   * @throws {Unknown}
   */
  async ask(token) {
    const deadline = now() + PATIENCE;
    if (this.#running < AT_ONCE) this.#running++;
    else await /** @type {Promise<void>} */ (new Promise((resolve) => this.#waiting.push(resolve)));
    try {
      return await this.#within(deadline, token);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  /**
   * @param {number} deadline
   * @param {string} token
   * @returns {Promise<Answer>}
   */
  async #within(deadline, token) {
    const left = deadline - now();
    if (left <= 0) throw tooLate();
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), left);
    timer.unref();
    try {
      const answer = await this.#tryTwice(token, over.signal);
      // A process that was stopped reads an answer from before that.
      if (now() >= deadline) throw tooLate();
      return answer;
    } finally {
      clearTimeout(timer);
      over.abort();
    }
  }

  /** A kept connection may have been closed by the other side just then, which says nothing. */
  async #tryTwice(token, signal) {
    try {
      return await this.#once(token, signal);
    } catch (error) {
      if (error instanceof Unknown) throw error;
      if (signal.aborted) throw tooLate();
    }
    try {
      return await this.#once(token, signal);
    } catch (error) {
      if (error instanceof Unknown) throw error;
      throw signal.aborted ? tooLate() : new Unknown("no connection");
    }
  }

  /**
   * @param {string} token
   * @param {AbortSignal} signal
   * @returns {Promise<Answer>}
   */
  async #once(token, signal) {
    const askedAt = now();
    const response = await this.#ask(token, signal);
    const body = await read(response);
    if (response.status !== 200) {
      const retryAfter = Number(response.headers.get("retry-after"));
      throw new Unknown(`the server answered ${response.status}`, {
        status: response.status,
        retryAfter: retryAfter >= 1 ? Math.min(Math.ceil(retryAfter), LONGEST_RETRY) : 1,
      });
    }
    const date = Date.parse(response.headers.get("date") ?? "");
    const serverTime = Math.max(Date.now(), Number.isNaN(date) ? 0 : date) / 1000;
    return { facts: factsIn(body), askedAt, serverTime };
  }
}

const tooLate = () => new Unknown("no answer within 3 s");

/** @param {Response} response */
async function read(response) {
  if (response.body === null) return "";
  const pieces = [];
  let bytes = 0;
  const reader = response.body.getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    bytes += piece.value.length;
    if (bytes > MOST_BYTES) throw new Unknown("the answer is too large");
    pieces.push(piece.value);
  }
  return Buffer.concat(pieces).toString("utf8");
}

/**
 * @param {string} body
 * @returns {Record<string, unknown> | null}
 */
function factsIn(body) {
  let facts = null;
  try {
    facts = JSON.parse(body);
  } catch {
    // Said below.
  }
  if (facts?.active === false) return null;
  if (facts?.active === true) return facts;
  throw new Unknown("the answer could not be read");
}
