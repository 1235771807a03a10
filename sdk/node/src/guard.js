// What an API puts in front of itself: is this a live key, and does it carry these permissions?

import { createHash } from "node:crypto";

import { keyIdOf, SERVICE_KEY, USER_KEY } from "./api-key.js";
import { authorizationOf, presentedKey } from "./authorization.js";
import { now } from "./clock.js";
import { Connection } from "./connection.js";
import { Introspection, Unknown } from "./introspection.js";
import { Memory } from "./memory.js";
import { cannotBeChecked, lacksPermission, noKey, notLive, Refused } from "./refused.js";
import { isFor } from "./resource.js";
import { Revocations } from "./revocations.js";

const MOST_QUESTIONS = 1_000;
const MOST_TRIES = 3;
const OWN_KEY_RETRY = 30;
const PERMISSION = /^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/;

/** See index.d.ts for what each part promises. */
export class Guard {
  #resource;
  #onError;
  #memory = new Memory();
  #revocations;
  #introspection;
  /** @type {Map<string, Promise<import("../index.d.ts").Key>>} */
  #questions = new Map();
  /** @type {Set<string>} */
  #reported = new Set();

  /** @param {import("../index.d.ts").GuardOptions} options */
  constructor({ url, serviceKey, resource = null, onError = (error) => console.error(error.message) }) {
    const base = baseOf(url);
    const ownKey = typeof serviceKey === "string" ? serviceKey.trim() : "";
    if (keyIdOf(ownKey, SERVICE_KEY) === null) {
      throw new TypeError("serviceKey has not the form of a service key; `latchkey service-key create` prints one");
    }
    if (resource !== null && typeof resource !== "string") throw new TypeError("resource must be a string");
    this.#resource = resource;
    this.#onError = onError;
    const connection = new Connection(base, ownKey);
    this.#introspection = new Introspection(connection);
    this.#revocations = new Revocations({
      connection,
      memory: this.#memory,
      onEnd: (why) => this.#streamEnded(why),
      onAlive: () => this.#mended("stream"),
    });
  }

  get streamAlive() {
    return this.#revocations.alive;
  }

  start() {
    return this.#revocations.start();
  }

  close() {
    return this.#revocations.close();
  }

  /**
   * @param {string | null | undefined} key
   * @param {...string} permissions
   * @returns {Promise<import("../index.d.ts").Key>}
   */
  async check(key, ...permissions) {
    refuseOddNames(permissions);
    if (key === undefined || key === null || key === "") throw noKey();
    const keyId = keyIdOf(key, USER_KEY);
    if (keyId === null) throw notLive();
    const digest = createHash("sha256").update(key).digest("base64");
    const found = this.#memory.find(keyId, digest, now(), this.streamAlive) ?? (await this.#asked(key, keyId, digest));
    if (!permissions.every((permission) => found.permissions.includes(permission))) throw lacksPermission(permissions);
    return found;
  }

  /** @param {...string} permissions */
  express(...permissions) {
    refuseOddNames(permissions);
    return (request, response, next) => {
      const accept = (key) => {
        request.latchkey = key;
        next();
      };
      const refuse = (error) => {
        if (!(error instanceof Refused)) return next(error);
        const { status, headers, body } = error.toAnswer();
        response.statusCode = status;
        for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
        response.end(body);
      };
      this.check(presentedKey(authorizationOf(request)), ...permissions).then(accept, refuse);
    };
  }

  /**
   * @param {(request: Request, key: import("../index.d.ts").Key, ...rest: any[]) => Response | Promise<Response>} handler
   * @param {...string} permissions
   */
  fetch(handler, ...permissions) {
    if (typeof handler !== "function") throw new TypeError("the handler must be a function");
    refuseOddNames(permissions);
    return async (request, ...rest) => {
      const header = request.headers.get("authorization");
      let key;
      try {
        key = await this.check(presentedKey(header === null ? [] : [header]), ...permissions);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        const { body, ...init } = error.toAnswer();
        return new Response(body, init);
      }
      return handler(request, key, ...rest);
    };
  }

  /** One question at a time about each key. */
  #asked(key, keyId, digest) {
    const underWay = this.#questions.get(digest);
    if (underWay !== undefined) return underWay;
    if (this.#questions.size >= MOST_QUESTIONS) return Promise.reject(cannotBeChecked(1));
    const question = this.#ask(key, keyId, digest).finally(() => this.#questions.delete(digest));
    this.#questions.set(digest, question);
    return question;
  }

  /** @returns {Promise<import("../index.d.ts").Key>} */
  async #ask(key, keyId, digest) {
    try {
      for (let tries = 0; tries < MOST_TRIES; tries++) {
        const answer = await this.#introspection.ask(key);
        this.#mended("service key");
        if (answer.facts === null || !isFor(answer.facts.aud, this.#resource)) throw notLive();
        const found = keyFrom(answer.facts, keyId);
        if (this.#memory.keep(keyId, digest, found, answer.askedAt, endOf(answer))) return found;
      }
    } catch (error) {
      if (!(error instanceof Unknown)) throw error;
      if (error.status !== 401 && error.status !== 403) throw cannotBeChecked(error.retryAfter);
      this.#ownKeyRefused(error.status);
      throw cannotBeChecked(OWN_KEY_RETRY);
    }
    throw cannotBeChecked(1);
  }

  /** @param {import("./revocations.js").StreamEnded} why */
  #streamEnded(why) {
    if (why.status === 401 || why.status === 403) return this.#ownKeyRefused(why.status);
    if (this.streamAlive) return; // one that is back in time was not away
    this.#report("stream", `latchkey-sdk: the stream of revocations is away (${why.message}); keys are remembered for 2 s`);
  }

  #ownKeyRefused(status) {
    const lacking = status === 403 ? "lacks the permission `introspect`" : "is not live";
    this.#report("service key", `latchkey-sdk: the service key ${lacking}; every key that is not remembered is answered with 503`);
  }

  /** Once, until it is mended. */
  #report(trouble, message) {
    if (this.#reported.has(trouble)) return;
    this.#reported.add(trouble);
    try {
      this.#onError(new Error(message));
    } catch (error) {
      console.error(error);
    }
  }

  #mended(trouble) {
    this.#reported.delete(trouble);
  }
}

/** The address below which Latchkey's own begin. */
function baseOf(url) {
  const { protocol, username, password, search, hash, href } = new URL(url);
  if (!["http:", "https:"].includes(protocol) || username || password || search || hash) {
    throw new TypeError("url must be an http or https address without user, query and fragment");
  }
  return href.endsWith("/") ? href.slice(0, -1) : href;
}

/** A permission that cannot be is a slip in the program that asks: it must not read as "none is needed". */
function refuseOddNames(permissions) {
  for (const permission of permissions) {
    if (typeof permission !== "string" || !PERMISSION.test(permission)) {
      throw new TypeError("permissions are given as strings, one argument for each");
    }
  }
}

/**
 * @param {Record<string, unknown>} facts
 * @param {string} keyId
 * @returns {import("../index.d.ts").Key}
 */
function keyFrom({ key_id, sub, username, external_user = null, client_id = null, scope }, keyId) {
  const userId = typeof sub === "string" && /^[0-9]{1,16}$/.test(sub) ? Number(sub) : NaN;
  const texts = [username, scope].every(isText) && [external_user, client_id].every((each) => each === null || isText(each));
  if (key_id !== keyId || !Number.isSafeInteger(userId) || !texts) throw new Unknown("the answer could not be read");
  const permissions = Object.freeze(scope.split(" ").filter((name) => name !== ""));
  return Object.freeze({ keyId, userId, username, externalUser: external_user, clientId: client_id, permissions });
}

const isText = (value) => typeof value === "string";

/** When the key expires, by `now()`; a second early, since both times are told without their fractions. */
function endOf({ facts, askedAt, serverTime }) {
  return typeof facts.exp === "number" ? askedAt + (facts.exp - serverTime - 1) * 1000 : Infinity;
}
