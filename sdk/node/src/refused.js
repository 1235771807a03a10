// Why a request is refused, and the answer that says so.

const TITLES = { 401: "Unauthorized", 403: "Forbidden", 503: "Service Unavailable" };

/** Thrown by `Guard.check` for every key that is not accepted. Nothing in it is secret. */
export class Refused extends Error {
  /**
   * @param {401 | 403 | 503} status
   * @param {string | null} error the OAuth error; null where no key was given, and for 503
   * @param {string} message one public sentence
   * @param {{scope?: string, retryAfter?: number}} [more] permissions that are needed; seconds
   */
  constructor(status, error, message, { scope, retryAfter } = {}) {
    super(message);
    this.name = "Refused";
    this.status = status;
    this.error = error;
    /** Seconds after which to try again; null unless the status is 503. */
    this.retryAfter = retryAfter ?? null;
    /** The headers that this refusal is answered with. */
    this.headers = Object.freeze({ "Cache-Control": "no-store", ...saying(status, error, scope, this.retryAfter) });
  }

  /**
   * What it is answered with, as a problem document (RFC 9457).
   *
   * @returns {{status: number, headers: Record<string, string>, body: string}}
   */
  toAnswer() {
    const members = { type: "about:blank", title: TITLES[this.status], status: this.status, detail: this.message };
    if (this.error !== null) Object.assign(members, { error: this.error, error_description: this.message });
    return {
      status: this.status,
      headers: { ...this.headers, "Content-Type": "application/problem+json" },
      body: JSON.stringify(members),
    };
  }
}

/** The challenge (RFC 6750 §3: it has an error only where a key was given), or when to try again. */
function saying(status, error, scope, retryAfter) {
  if (status === 503) return { "Retry-After": String(retryAfter) };
  if (error === null) return { "WWW-Authenticate": 'Bearer realm="latchkey"' };
  const needed = scope === undefined ? "" : `, scope="${scope}"`;
  return { "WWW-Authenticate": `Bearer error="${error}"${needed}` };
}

/** No key was given (RFC 6750 §3.1: then no error is named). */
export const noKey = () => new Refused(401, null, "A key is needed.");

/** Not a live key: malformed, unknown, paused, expired, revoked and made for another resource alike. */
export const notLive = () => new Refused(401, "invalid_token", "The key is missing or not live.");

/**
 * A live key without a permission.
 *
 * @param {readonly string[]} permissions all that are needed (RFC 6750 §3)
 */
export const lacksPermission = (permissions) =>
  new Refused(403, "insufficient_scope", "The key lacks a permission that this needs.", { scope: permissions.join(" ") });

/**
 * Nothing can be known right now.
 *
 * @param {number} retryAfter seconds
 */
export const cannotBeChecked = (retryAfter) =>
  new Refused(503, null, "The key cannot be checked right now; try again in a moment.", { retryAfter });
