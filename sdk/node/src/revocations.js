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
  #ask;
  #memory;
  #onEnd;
  #onAlive;
  #trustedUntil = -Infinity;
  #heardAt = -Infinity;
  #lastId = "";
  /** @type {AbortController | null} */
  #connection = null;
  /** @type {(() => void) | null} */
  #wake = null;
  /** @type {Promise<void> | null} */
  #running = null;
  #closed = true;
  #heardHere = false;

  /**
   * @param {object} parts
   * @param {(headers: Record<string, string>, signal: AbortSignal) => Promise<Response>} parts.ask sends the request
   * @param {import("./memory.js").Memory} parts.memory is told what the stream says
   * @param {(why: StreamEnded) => void} parts.onEnd
   * @param {() => void} parts.onAlive an event was heard on a new connection
   */
  constructor({ ask, memory, onEnd, onAlive }) {
    this.#ask = ask;
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
      this.#running = this.#run(resolve);
    });
  }

  /** Ends the stream. */
  async close() {
    this.#closed = true;
    this.#trustedUntil = -Infinity;
    this.#connection?.abort();
    this.#wake?.();
    await this.#running;
    this.#running = null;
  }

  /** @param {() => void} firstIsOver */
  async #run(firstIsOver) {
    let delay = FIRST_DELAY;
    while (!this.#closed) {
      this.#heardHere = false;
      const why = await this.#listen(firstIsOver);
      firstIsOver();
      if (this.#closed) return;
      this.#onEnd(why);
      if (this.#heardHere) delay = FIRST_DELAY;
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
  async #listen(heard) {
    const connection = new AbortController();
    this.#connection = connection;
    this.#heardAt = now();
    const watch = setInterval(() => {
      if (this.#isSilent()) connection.abort();
    }, LOOK_EVERY);
    watch.unref();
    try {
      const answer = await this.#ask(this.#lastId ? { "Last-Event-ID": this.#lastId } : {}, connection.signal);
      await this.#read(answer, heard);
      return new StreamEnded("the stream was ended");
    } catch (error) {
      if (error instanceof StreamEnded) return error;
      return new StreamEnded(this.#isSilent() ? "nothing was heard for 3 s" : "the connection was lost");
    } finally {
      clearInterval(watch);
      connection.abort();
    }
  }

  /**
   * @param {Response} answer
   * @param {() => void} heard
   */
  async #read(answer, heard) {
    const type = answer.headers.get("content-type") ?? "";
    if (answer.status !== 200 || !type.startsWith("text/event-stream") || answer.body === null) {
      const seconds = Number(answer.headers.get("retry-after"));
      const wait = seconds > 0 && answer.status === 503 ? Math.min(seconds * 1000, LONGEST_DELAY) : 0;
      throw new StreamEnded(`the server answered ${answer.status} ${type}`.trim(), answer.status, wait);
    }
    const reader = answer.body.getReader();
    const parser = new EventParser();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      for (const event of parser.feed(piece.value)) {
        if (this.#heed(event)) heard();
      }
    }
  }

  /**
   * @param {import("./event-parser.js").ServerSentEvent} event
   * @returns {boolean} whether it is one of ours
   */
  #heed(event) {
    const at = now();
    // What comes after a silence may have waited in a buffer while we, or something between, stood still.
    if (this.#isSilent()) throw new StreamEnded("nothing was heard for 3 s");
    if (this.#closed || !["heartbeat", "invalidate", "reset"].includes(event.type)) return false;
    if (at >= this.#trustedUntil) this.#memory.forget(at);
    if (event.type === "reset") this.#memory.forget(at);
    if (event.type === "invalidate") this.#memory.invalidate(this.#keyIdsOf(event), at);
    this.#trustedUntil = at + TRUST - Math.max(0, at - this.#heardAt - PACE);
    this.#heardAt = at;
    this.#lastId = event.id.length <= LONGEST_ID && /^[\x21-\x7e]+$/.test(event.id) ? event.id : "";
    if (!this.#heardHere) this.#onAlive();
    this.#heardHere = true;
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
        this.#wake = resolve;
        setTimeout(resolve, milliseconds).unref();
      })
    );
  }
}
