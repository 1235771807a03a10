// A Latchkey that does what a test wants: answers, stays silent, holds back, tells lies. And keys that look like real ones.
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { crc32Of } from "./crc32.js";
import { Guard } from "../src/index.js";

const BEAT_EVERY = 20;

/** A key with a right checksum, made without a line of what is tested. */
export function mint(kind = "u", prefix = "lk") {
  const [instance, keyId, secret] = [letters(6), letters(16), letters(43)];
  const body = `${prefix}${kind}_${instance}_${keyId}_${secret}`;
  return { token: body + crc32Of(body), keyId };
}

const letters = (length) => randomBytes(length).toString("hex").slice(0, length);

/** The members of an introspection of a live key. */
export const factsOf = (keyId, more = {}) => ({
  active: true,
  scope: "customise_score submit_score",
  username: "ada",
  sub: "7",
  token_type: "Bearer",
  iat: 1,
  key_id: keyId,
  ...more,
});

/** Polls: what is waited for happens in a socket, which tells nobody. */
export async function until(isSo, what = "it") {
  const end = Date.now() + 15_000;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`${what} did not come true`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

let older = 0;
const monotonic = performance.now.bind(performance);
Object.defineProperty(performance, "now", { value: () => monotonic() + older, configurable: true });

/** Lets time pass for the SDK without waiting for it: as if the program had been stopped for so long. */
export const pass = (milliseconds) => {
  older += milliseconds;
};

export class FakeLatchkey {
  serviceKey = mint("s").token;
  /** Tokens that are live, with their facts. */
  live = new Map();
  /** Tokens that were asked about, in order. */
  asked = [];
  /** The requests for the stream. */
  listens = [];
  beats = true;
  #streams = new Set();
  #sent = 0;

  /** Replace these to misbehave. */
  introspect = (token, request, response) => this.answer(token, response);
  listen = (request, response) => this.stream(request, response);

  static async started(test) {
    const fake = new FakeLatchkey();
    fake.server = createServer((request, response) => fake.#serve(request, response));
    await new Promise((resolve) => fake.server.listen(0, "127.0.0.1", resolve));
    fake.url = `http://127.0.0.1:${fake.server.address().port}`;
    const beating = setInterval(() => fake.beats && fake.send("heartbeat", {}), BEAT_EVERY);
    test.after(async () => {
      clearInterval(beating);
      for (const guard of fake.guards) await guard.close();
      fake.server.closeAllConnections();
      await new Promise((resolve) => fake.server.close(resolve));
    });
    return fake;
  }

  guards = [];
  errors = [];

  guard(more = {}) {
    const onError = (error) => this.errors.push(error.message);
    const guard = new Guard({ url: this.url, serviceKey: this.serviceKey, onError, ...more });
    this.guards.push(guard);
    return guard;
  }

  /** A guard whose stream has been alive for a while, so that it remembers for long. */
  async listening(more) {
    const guard = this.guard(more);
    await guard.start();
    await this.settled(guard);
    return guard;
  }

  /** Waits until the guard hears again, and until the time after a `reset` is over in which it trusts answers for 2 s only. */
  async settled(guard) {
    await until(() => guard.streamAlive, "the stream");
    for (let step = 0; step < 6; step++) {
      pass(1_000);
      const { sent } = this;
      await until(() => this.sent > sent + 1, "a heartbeat");
      await until(() => guard.streamAlive, "the stream");
    }
  }

  get sent() {
    return this.#sent;
  }

  issue(more) {
    const { token, keyId } = mint();
    this.live.set(token, factsOf(keyId, more));
    return { token, keyId };
  }

  revoke({ token, keyId }) {
    this.live.delete(token);
    this.send("invalidate", { keyIDs: [keyId] });
  }

  send(type, data, id = `place-${++this.#sent}`) {
    this.write(`id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  write(text) {
    for (const response of this.#streams) response.write(text);
  }

  /** Ends all streams, as a process does that stops. */
  hangUp() {
    for (const response of this.#streams) response.destroy();
  }

  answer(token, response) {
    const facts = this.live.get(token) ?? { active: false };
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(facts));
  }

  stream(request, response) {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    if (request.headers["last-event-id"] === undefined) response.write('id: start\nevent: reset\ndata: {}\n\n');
    this.#streams.add(response);
    response.on("close", () => this.#streams.delete(response));
  }

  get streams() {
    return this.#streams.size;
  }

  async #serve(request, response) {
    if (request.headers.authorization !== `Bearer ${this.serviceKey}`) {
      response.writeHead(401, { "WWW-Authenticate": 'Bearer error="invalid_token"' }).end("{}");
    } else if (request.url === "/api/v1/revocations") {
      this.listens.push(request);
      this.listen(request, response);
    } else if (request.url === "/api/v1/oauth/introspect" && request.method === "POST") {
      let body = "";
      for await (const piece of request) body += piece;
      const token = new URLSearchParams(body).get("token");
      this.asked.push(token);
      await this.introspect(token, request, response);
    } else {
      response.writeHead(404).end();
    }
  }
}
