// Listens to `GET /api/v1/revocations`, and knows when it cannot hear.

import { now } from "./clock.js";
import { EventParser } from "./event-parser.js";

/** How long an event proves that nothing was missed, in milliseconds. */
const TRUST = 3_000;
// Events come every second or so. One that came later than this may have waited somewhere all that while, which counts
// against it.
const PACE = 1_500;
const LOOK_EVERY = 500;
const FIRST_DELAY = 100;
const LONGEST_DELAY = 5_000;
const LONGEST_ID = 200;
const SILENT = "nothing was heard for 3 s";

/** Why a stream is over. The message is fit for a log. */
export class StreamEnded extends Error {
  /**
   * @param {string} message
   * @param {number} [status] of an answer that was no stream
   * @param {number} [retryAfter] milliseconds for which the server wants to be left alone
   */
  constructor(message, status = 0, retryAfter = 0) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** One listener: connects, reads, and connects again until it is closed. */
export class Revocations {
  #connection;
  #memory;
  #onEnd;
  #onAlive;
  #trustedUntil = -Infinity;
  #heardAt = -Infinity;
  #lastId = "";
  #hasHeard = false;
  /** Ends the connection that there is, or the wait for the next. */
  #interrupt = () => {};
  /** @type {Promise<void> | null} */
  #running = null;
  #closed = true;

  /**
   * @param {object} parts
   * @param {import("./connection.js").Connection} parts.connection
   * @param {import("./memory.js").Memory} parts.memory is told what the stream says
   * @param {(why: StreamEnded) => void} parts.onEnd
   * @param {() => void} parts.onAlive an event was heard on a new connection
   */
  constructor({ connection, memory, onEnd, onAlive }) {
    this.#connection = connection;
    this.#memory = memory;
    this.#onEnd = onEnd;
    this.#onAlive = onAlive;
  }

  /** Whether an event was heard so lately that nothing can have been missed. */
  get alive() {
    return now() < this.#trustedUntil;
  }

  /**
   * Begins to listen.
   *
   * @returns {Promise<void>} the first event has been heard, or the first try is over
   */
  start() {
    if (this.#running !== null) return Promise.resolve();
    this.#closed = false;
    return new Promise((resolve) => {
      const waiting = setInterval(() => {}, LOOK_EVERY); // what waits for this keeps the program running, nothing else does
      this.#running = this.#run(() => {
        clearInterval(waiting);
        resolve();
      });
    });
  }

  /** Ends the stream. */
  async close() {
    this.#closed = true;
    this.#trustedUntil = -Infinity;
    this.#interrupt();
    await this.#running;
    this.#running = null;
  }

  /** @param {() => void} firstIsOver */
  async #run(firstIsOver) {
    let delay = FIRST_DELAY;
    while (!this.#closed) {
      this.#hasHeard = false;
      const why = await this.#listen(firstIsOver);
      firstIsOver();
      if (this.#closed) return;
      this.#onEnd(why);
      if (this.#hasHeard) delay = FIRST_DELAY;
      await this.#sleep(Math.max(why.retryAfter, delay * (0.5 + Math.random())));
      delay = Math.min(2 * delay, LONGEST_DELAY);
    }
  }

  /**
   * One connection from its beginning to its end, whatever that is.
   *
   * @param {() => void} heard
   * @returns {Promise<StreamEnded>}
   */
  #listen(heard) {
    this.#heardAt = now();
    const request = this.#connection.listen(this.#lastId);
    return new Promise((resolve) => {
      const end = (why) => {
        clearInterval(watch);
        resolve(why);
        request.destroy();
      };
      const lost = () => end(new StreamEnded("the connection was lost"));
      const watch = setInterval(() => this.#isSilent() && end(new StreamEnded(SILENT)), LOOK_EVERY).unref();
      this.#interrupt = lost;
      request.on("error", lost);
      request.on("close", lost);
      request.on("response", (response) => {
        const refusal = refusalIn(response);
        if (refusal !== null) return end(refusal);
        const parser = new EventParser();
        response.on("error", lost);
        response.on("end", lost);
        response.on("data", (piece) => {
          try {
            for (const event of parser.feed(piece)) if (this.#heed(event)) heard();
          } catch (error) {
            end(error instanceof StreamEnded ? error : new StreamEnded("an event could not be read"));
          }
        });
      });
    });
  }

  /**
   * @param {import("./event-parser.js").ServerSentEvent} event
   * @returns {boolean} whether it is one of ours
   */
  #heed(event) {
    const at = now();
    // What comes after a silence may have waited in a buffer while we, or something between, stood still.
    if (this.#isSilent()) throw new StreamEnded(SILENT);
    if (this.#closed || !["heartbeat", "invalidate", "reset"].includes(event.type)) return false;
    if (at >= this.#trustedUntil || event.type === "reset") this.#memory.forget(at);
    if (event.type === "invalidate") this.#memory.invalidate(this.#keyIdsOf(event), at);
    this.#trustedUntil = at + TRUST - Math.max(0, at - this.#heardAt - PACE);
    this.#heardAt = at;
    this.#lastId = event.id.length <= LONGEST_ID && /^[\x21-\x7e]+$/.test(event.id) ? event.id : "";
    if (!this.#hasHeard) this.#onAlive();
    this.#hasHeard = true;
    return true;
  }

  /**
   * @param {import("./event-parser.js").ServerSentEvent} event
   * @returns {string[]}
   */
  #keyIdsOf(event) {
    let keyIds = null;
    try {
      keyIds = JSON.parse(event.data).keyIDs;
    } catch {
      // Said below.
    }
    if (Array.isArray(keyIds) && keyIds.every((keyId) => typeof keyId === "string")) return keyIds;
    this.#memory.forget(now());
    this.#trustedUntil = -Infinity;
    this.#lastId = "";
    throw new StreamEnded("an event could not be read");
  }

  #isSilent() {
    return now() - this.#heardAt >= TRUST;
  }

  /** @param {number} milliseconds */
  #sleep(milliseconds) {
    return /** @type {Promise<void>} */ (
      new Promise((resolve) => {
        const timer = setTimeout(resolve, milliseconds).unref();
        this.#interrupt = () => {
          clearTimeout(timer);
          resolve();
        };
      })
    );
  }
}

/**
 * Why this answer is no stream; null for one that is.
 *
 * @param {import("node:http").IncomingMessage} response
 */
function refusalIn({ statusCode, headers }) {
  if (statusCode === 200 && headers["content-type"]?.startsWith("text/event-stream")) return null;
  const seconds = statusCode === 503 || statusCode === 429 ? Number(headers["retry-after"]) : 0;
  const wait = seconds > 0 ? Math.min(seconds * 1000, LONGEST_DELAY) : 0;
  return new StreamEnded(`the server answered ${statusCode}`, statusCode, wait);
}
