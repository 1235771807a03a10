// Types of latchkey-sdk.

/** A live key, as it was found; frozen, and the same object for as long as it is remembered. */
export interface Key {
  /** The key's public id, fit for logs. */
  readonly keyId: string;
  /** Latchkey's number of the person whose key it is. */
  readonly userId: number;
  readonly username: string;
  /** Your own site's id of the person, where Latchkey knows one. */
  readonly externalUser: string | null;
  /** The program that the person gave the key to; null for a key that they made for themselves. */
  readonly clientId: string | null;
  /** Everything that the key may do. */
  readonly permissions: readonly string[];
}

export interface GuardOptions {
  /** Where Latchkey answers: its public address, or key_issuer's own, like `http://key_issuer:8103`. */
  url: string | URL;
  /** A service key with the permission `introspect`. */
  serviceKey: string;
  /**
   * The address of your API, if keys are made for it alone (RFC 8707): then only those are accepted. Without it only keys
   * that are bound to no resource are.
   */
  resource?: string | null;
  /**
   * Hears, once for each trouble until it is mended, that the service key is refused or that the stream of revocations is
   * away. By default the message goes to `console.error`. No key is in it.
   */
  onError?: (error: Error) => void;
}

/** Thrown for every key that is not accepted. */
export class Refused extends Error {
  /** 401: no key, or not a live one. 403: a permission is lacking. 503: nothing can be known right now. */
  readonly status: 401 | 403 | 503;
  /** The OAuth error; null where no key was given, and for 503. */
  readonly error: "invalid_token" | "insufficient_scope" | null;
  /** Seconds after which to try again; null unless the status is 503. */
  readonly retryAfter: number | null;
  /** The headers to answer with: `WWW-Authenticate` (RFC 6750 §3) or `Retry-After`, and `Cache-Control: no-store`. */
  readonly headers: Readonly<Record<string, string>>;
  /** The whole answer, as a problem document (RFC 9457): what `express` and `fetch` send. */
  toAnswer(): { status: number; headers: Record<string, string>; body: string };
}

/** What `express` reads of a request: Express 4 and 5, connect and node:http have it. */
export interface GuardedRequest {
  headers: Record<string, string | string[] | undefined>;
  rawHeaders?: readonly string[];
  latchkey?: Key;
}

/** What `express` needs to refuse. */
export interface RefusingResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(body: string): unknown;
}

/**
 * Checks keys. One for the whole program: it remembers a live key for up to 60 s while it hears of revocations, for up to 2 s
 * while it does not, and a refusal never.
 */
export class Guard {
  constructor(options: GuardOptions);

  /**
   * Begins to listen for revocations, and goes on until `close`, whatever happens meanwhile. Returns when it hears them, or
   * after the first try (3 s at most); never throws for a Latchkey that is away. Without it keys are remembered for 2 s.
   */
  start(): Promise<void>;

  /** Ends the stream, which keeps no program running by itself. Checks still work, as before `start`. */
  close(): Promise<void>;

  /** Whether an event was heard within the last 3 s, so that no revocation can have been missed. */
  readonly streamAlive: boolean;

  /**
   * The live key that `key` is, if it carries all of these permissions.
   *
   * @param key what the caller presented, without `Bearer`; undefined, null or empty where nothing was
   * @throws {Refused} in every other case
   * @throws {TypeError} a permission is no string, or none that could be
   */
  check(key: string | null | undefined, ...permissions: string[]): Promise<Key>;

  /**
   * A middleware that sets `request.latchkey`, or answers the refusal itself.
   *
   * @example app.get("/scores", guard.express("customise_score"), (req, res) => res.json(req.latchkey));
   */
  express(
    ...permissions: string[]
  ): (request: GuardedRequest, response: RefusingResponse, next: (error?: unknown) => void) => void;

  /**
   * A handler that is called with good keys only; the others get their refusal as a `Response`. Whatever follows the request
   * (`env`, `ctx`, `params`) is passed on behind the key.
   *
   * @example export const GET = guard.fetch((request, key) => Response.json(key), "customise_score");
   */
  fetch<Rest extends unknown[]>(
    handler: (request: Request, key: Key, ...rest: Rest) => Response | Promise<Response>,
    ...permissions: string[]
  ): (request: Request, ...rest: Rest) => Promise<Response>;
}

declare global {
  namespace Express {
    interface Request {
      /** Set by `guard.express`. */
      latchkey?: Key;
    }
  }
}
