// Asks about keys (RFC 7662): few questions at once, each with an end, and nothing but a clear answer counts.

import { now } from "./clock.js";

const PATIENCE = 3_000;
// The process that answers may be three seconds late in hearing of a revocation: with these two that is the bound of five.
const TRUE_FOR = 2_000;
const AT_ONCE = 64;
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
  #connection;
  #running = 0;
  /** @type {(() => void)[]} */
  #waiting = [];

  /** @param {import("./connection.js").Connection} connection */
  constructor(connection) {
    this.#connection = connection;
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
      return await this.#tryTwice(token, deadline);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  /** A kept connection may have been closed by the other side just then, which says nothing. */
  async #tryTwice(token, deadline) {
    try {
      return await this.#once(token, deadline);
    } catch (error) {
      if (error instanceof Unknown) throw error;
      return this.#once(token, deadline).catch((again) => {
        throw again instanceof Unknown ? again : new Unknown("no connection");
      });
    }
  }

  /**
   * @param {string} token
   * @param {number} deadline
   * @returns {Promise<Answer>}
   */
  async #once(token, deadline) {
    const askedAt = now();
    if (askedAt >= deadline) throw new Unknown("no answer within 3 s");
    const answer = await this.#connection.introspect(token, Math.min(TRUE_FOR, deadline - askedAt));
    // A program that was stopped reads what was true before that.
    if (now() >= Math.min(askedAt + TRUE_FOR, deadline)) throw new Unknown("no answer that is still true");
    if (answer.status !== 200) {
      const seconds = Number(answer.headers["retry-after"]);
      const retryAfter = seconds >= 1 ? Math.min(Math.ceil(seconds), LONGEST_RETRY) : 1;
      throw new Unknown(`the server answered ${answer.status}`, { status: answer.status, retryAfter });
    }
    const date = Date.parse(answer.headers.date ?? "");
    const serverTime = Math.max(Date.now(), Number.isNaN(date) ? 0 : date) / 1000;
    return { facts: factsIn(answer.body), askedAt, serverTime };
  }
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
