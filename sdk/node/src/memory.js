// The keys that were found live, for as long as they may be believed. Times are milliseconds of `now()` in clock.js.

const TRUSTED_FOR = 60_000;
const UNTRUSTED_FOR = 2_000;
// Another verifier than the one whose stream we read may hear of a revocation this much later, and say yes until then.
const OTHERS_LAG = 5_000;
const LAGGING_FOR = 100;
const MOST_KEYS = 10_000;

/**
 * @typedef {object} Entry
 * @property {string} digest SHA-256 of the key
 * @property {number} askedAt before the question was sent
 * @property {number} mostAge how old the answer may get while the stream is alive
 * @property {number} endsAt when the key itself expires
 * @property {import("../index.d.ts").Key} key
 */

/**
 * Live keys by their public id, the least recently used leaving first; never a key itself, and never a refusal.
 *
 * What was asked before the key was invalidated is not kept; what was asked shortly after it, or after everything was
 * forgotten, is kept for a moment only.
 */
export class Memory {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** @type {Map<string, number>} */
  #invalidatedAt = new Map();
  #forgotAt = -Infinity;

  get size() {
    return this.#entries.size;
  }

  /**
   * What is remembered of this very key and may be believed.
   *
   * @param {string} keyId
   * @param {string} digest
   * @param {number} at now
   * @param {boolean} streamAlive
   * @returns {import("../index.d.ts").Key | null}
   */
  find(keyId, digest, at, streamAlive) {
    const entry = this.#entries.get(keyId);
    if (entry === undefined || entry.digest !== digest) return null;
    this.#entries.delete(keyId);
    const mostAge = streamAlive ? entry.mostAge : Math.min(entry.mostAge, UNTRUSTED_FOR);
    if (at - entry.askedAt >= mostAge || at >= entry.endsAt) return null;
    this.#entries.set(keyId, entry);
    return entry.key;
  }

  /**
   * Remembers a live key, as far as that is safe.
   *
   * @param {string} keyId
   * @param {string} digest
   * @param {import("../index.d.ts").Key} key
   * @param {number} askedAt
   * @param {number} endsAt
   * @returns {boolean} false where the key was invalidated meanwhile: the answer may be older than that, so ask again
   */
  keep(keyId, digest, key, askedAt, endsAt) {
    const invalidatedAt = this.#invalidatedAt.get(keyId) ?? -Infinity;
    if (invalidatedAt >= askedAt) return false;
    if (this.#forgotAt >= askedAt) return true;
    let mostAge = TRUSTED_FOR;
    if (askedAt - this.#forgotAt < OTHERS_LAG) mostAge = UNTRUSTED_FOR;
    if (askedAt - invalidatedAt < OTHERS_LAG) mostAge = LAGGING_FOR;
    this.#entries.delete(keyId);
    this.#entries.set(keyId, { digest, askedAt, mostAge, endsAt, key });
    if (this.#entries.size > MOST_KEYS) this.#entries.delete(this.#entries.keys().next().value);
    return true;
  }

  /**
   * These keys are worth less now, or nothing.
   *
   * @param {readonly string[]} keyIds
   * @param {number} at now
   */
  invalidate(keyIds, at) {
    for (const keyId of keyIds) {
      this.#entries.delete(keyId);
      this.#invalidatedAt.delete(keyId);
      this.#invalidatedAt.set(keyId, at);
    }
    for (const [keyId, invalidatedAt] of this.#invalidatedAt) {
      const tooMany = this.#invalidatedAt.size > MOST_KEYS;
      if (at - invalidatedAt < 2 * OTHERS_LAG && !tooMany) break;
      if (tooMany) this.forget(at);
      this.#invalidatedAt.delete(keyId);
    }
  }

  /**
   * Something may have been missed.
   *
   * @param {number} at now
   */
  forget(at) {
    this.#entries.clear();
    this.#forgotAt = at;
  }
}
