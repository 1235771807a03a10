import assert from "node:assert/strict";
import { test } from "node:test";

import { Refused } from "../src/index.js";
import { FakeLatchkey, mint, pass, until } from "../testing/fake-latchkey.js";

const isRefused = async (guard, { token }) => {
  try {
    await guard.check(token);
  } catch (error) {
    return error instanceof Refused && error.status === 401;
  }
  return false;
};

/** A key that the guard has in memory, checked to be there. */
async function remembered(latchkey, guard) {
  const key = latchkey.issue();
  await guard.check(key.token);
  const asked = latchkey.asked.length;
  await guard.check(key.token);
  assert.equal(latchkey.asked.length, asked);
  return key;
}

test("while the stream is alive a key is remembered for 60 s, and not for longer", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const { token } = latchkey.issue();
  const age = async (seconds) => {
    for (let each = 0; each < seconds; each++) {
      pass(1_000);
      const { sent } = latchkey;
      await until(() => latchkey.sent > sent + 1);
      await until(() => guard.streamAlive);
    }
    await guard.check(token);
    return latchkey.asked.length;
  };
  assert.equal(await age(0), 1);
  assert.equal(await age(50), 1);
  assert.equal(await age(12), 2);
  assert.equal(latchkey.listens.length, 1);
});

test("a revoked key is refused as soon as the event is there, another is not even asked about", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const [revoked, other] = [await remembered(latchkey, guard), await remembered(latchkey, guard)];
  latchkey.revoke(revoked);
  await until(() => isRefused(guard, revoked));
  const asked = latchkey.asked.length;
  await guard.check(other.token);
  assert.equal(latchkey.asked.length, asked);
});

test("a narrowed key is asked about again, and soon remembered again", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const key = await remembered(latchkey, guard);
  latchkey.live.set(key.token, { ...latchkey.live.get(key.token), scope: "" });
  latchkey.send("invalidate", { keyIDs: [key.keyId] });
  await until(async () => (await guard.check(key.token)).permissions.length === 0);
  await latchkey.settled(guard);
  await guard.check(key.token);
  const asked = latchkey.asked.length;
  pass(1_000);
  await guard.check(key.token);
  assert.equal(latchkey.asked.length, asked);
});

test("an answer that a revocation overtakes is not used: the question is put anew", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const key = latchkey.issue();
  const mark = latchkey.issue();
  latchkey.introspect = async (asked, _request, response) => {
    latchkey.introspect = (token, _, answering) => latchkey.answer(token, answering);
    const facts = latchkey.live.get(asked);
    latchkey.revoke(key);
    await heardBy(latchkey, guard, mark);
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(facts));
  };
  assert.ok(await isRefused(guard, key));
  assert.equal(latchkey.asked.filter((token) => token === key.token).length, 2);
});

/** Everything that was sent until now has been heard: a later event has had its effect. */
async function heardBy(latchkey, guard, mark) {
  latchkey.live.set(mark.token, { ...latchkey.live.get(mark.token), username: "before" });
  const ask = latchkey.introspect;
  latchkey.introspect = (token, _request, response) => latchkey.answer(token, response);
  await guard.check(mark.token);
  latchkey.revoke(mark);
  await until(() => isRefused(guard, mark));
  latchkey.introspect = ask;
}

test("a key that is invalidated at each try is not known", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const key = latchkey.issue();
  latchkey.introspect = async (asked, _request, response) => {
    if (asked === key.token) {
      latchkey.send("invalidate", { keyIDs: [key.keyId] });
      const ask = latchkey.introspect;
      await heardBy(latchkey, guard, latchkey.issue());
      latchkey.introspect = ask;
    }
    latchkey.answer(asked, response);
  };
  await assert.rejects(guard.check(key.token), { status: 503 });
  assert.equal(latchkey.asked.filter((token) => token === key.token).length, 3);
});

test("after a reset everything is asked anew", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const key = await remembered(latchkey, guard);
  latchkey.live.delete(key.token);
  latchkey.send("reset", {});
  await until(() => isRefused(guard, key));
});

test("a listener comes back with its place, and what it missed counts", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const key = await remembered(latchkey, guard);
  latchkey.listen = (request, response) => {
    latchkey.stream(request, response);
    latchkey.send("invalidate", { keyIDs: [key.keyId] });
  };
  latchkey.live.delete(key.token);
  latchkey.hangUp();
  await until(() => isRefused(guard, key));
  assert.match(latchkey.listens.at(-1).headers["last-event-id"], /^place-\d+$/);
  assert.deepEqual(latchkey.errors, [], "one that is back in time was not away");
});

test("a silent stream is not alive: keys are remembered for 2 s, and it is tried anew", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const key = await remembered(latchkey, guard);
  latchkey.beats = false;
  latchkey.listen = () => {};
  await until(() => latchkey.listens.length > 1, "another try");
  assert.equal(guard.streamAlive, false);
  latchkey.live.delete(key.token);
  assert.ok(await isRefused(guard, key));
  await until(() => latchkey.errors.length === 1);
  assert.match(latchkey.errors[0], /stream of revocations is away/);
});

test("a program that stood still believes nothing that waited for it", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const key = await remembered(latchkey, guard);
  const mark = latchkey.issue();
  latchkey.beats = false;
  latchkey.live.delete(key.token);
  latchkey.listen = () => {};
  pass(30_000);
  for (let each = 0; each < 100; each++) latchkey.send("heartbeat", {});
  latchkey.send("invalidate", { keyIDs: [mark.keyId] });
  await until(() => {
    assert.equal(guard.streamAlive, false, "what is heard is from before");
    return latchkey.listens.length > 1;
  }, "a new connection");
  assert.ok(await isRefused(guard, key));
  assert.match(latchkey.listens.at(-1).headers["last-event-id"], /^place-\d+$/);
});

test("what was remembered before a silence is not believed after it, even before what was missed has come", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const key = await remembered(latchkey, guard);
  latchkey.live.delete(key.token);
  pass(3_500);
  await until(() => latchkey.listens.length > 1, "a new connection");
  await until(() => guard.streamAlive);
  assert.ok(await isRefused(guard, key));
});

test("an event that came late is believed for less long", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  latchkey.beats = false;
  await heardBy(latchkey, guard, latchkey.issue());
  const mark = await remembered(latchkey, guard);
  pass(2_400);
  latchkey.revoke(mark);
  await until(() => isRefused(guard, mark));
  assert.equal(guard.streamAlive, true);
  pass(2_300);
  assert.equal(guard.streamAlive, false);
});

test("a machine that slept has aged: its monotonic clock stood still, the clock on the wall did not", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const key = await remembered(latchkey, guard);
  latchkey.beats = false;
  latchkey.live.delete(key.token);
  const wall = Date.now;
  t.mock.method(Date, "now", () => wall() + 3_600_000);
  assert.equal(guard.streamAlive, false);
  assert.ok(await isRefused(guard, key));
});

test("what is no stream, or nonsense, is never trusted", async (t) => {
  const endless = "x".repeat(300_000);
  const answers = {
    "a page of a proxy": (response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<p>Sign in"),
    "a page that reads like a stream": (response) => {
      response.writeHead(200, { "Content-Type": "text/html" }).end("event: heartbeat\ndata: {}\n\n");
    },
    "another address": (response) => response.writeHead(302, { Location: "/api/v1/revocations" }).end(),
    "a deaf process": (response) => response.writeHead(503, { "Retry-After": "1" }).end(),
    "an old server": (response) => response.writeHead(404).end(),
    "no content": (response) => response.writeHead(204).end(),
    "a lost connection": (response) => response.destroy(),
    "unknown events": (response) => said(response, "event: news\ndata: {}\n\n"),
    comments: (response) => said(response, ": heartbeat\n\n"),
    "an endless event": (response) => said(response, `event: heartbeat\ndata: ${endless}\n\n`),
    "no JSON": (response) => said(response, "event: invalidate\ndata: {\n\n"),
    "no list": (response) => said(response, 'event: invalidate\ndata: {"keyIDs": "a"}\n\n'),
    "no ids": (response) => said(response, 'event: invalidate\ndata: {"keyIDs": [1]}\n\n'),
  };
  const said = (response, text) => response.writeHead(200, { "Content-Type": "text/event-stream" }).end(text);
  for (const [name, answer] of Object.entries(answers)) {
    await t.test(name, async (t) => {
      const latchkey = await FakeLatchkey.started(t);
      latchkey.listen = (_request, response) => answer(response);
      const guard = latchkey.guard();
      await guard.start();
      assert.equal(guard.streamAlive, false);
      const key = latchkey.issue();
      await guard.check(key.token);
      pass(2_000);
      latchkey.live.delete(key.token);
      assert.ok(await isRefused(guard, key));
      await until(() => latchkey.errors.length === 1);
      latchkey.listen = (request, response) => latchkey.stream(request, response);
      await until(() => guard.streamAlive, "the stream");
    });
  }
});

test("an event that cannot be read forgets everything, and costs the listener its place", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const key = await remembered(latchkey, guard);
  latchkey.live.delete(key.token);
  latchkey.listen = () => {};
  latchkey.write('id: 1\nevent: invalidate\ndata: {"keys": []}\n\n');
  await until(() => latchkey.listens.length > 1);
  assert.equal(guard.streamAlive, false);
  assert.ok(await isRefused(guard, key));
  assert.equal(latchkey.listens.at(-1).headers["last-event-id"], undefined);
});

test("an id that fits into no header is not sent back", async (t) => {
  for (const id of ["ä", "a b", "x".repeat(201)]) {
    const latchkey = await FakeLatchkey.started(t);
    await latchkey.listening();
    latchkey.beats = false;
    latchkey.send("heartbeat", {}, id);
    latchkey.hangUp();
    await until(() => latchkey.listens.length > 1);
    assert.notEqual(latchkey.listens.at(-1).headers["last-event-id"], id);
  }
});

test("a refused service key ends nothing for good", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const { serviceKey } = latchkey;
  const guard = latchkey.guard();
  latchkey.serviceKey = mint("s").token;
  await guard.start();
  assert.match(latchkey.errors[0], /service key is not live/);
  latchkey.serviceKey = serviceKey;
  await until(() => guard.streamAlive, "the stream");
});

test("who comes back does so later each time, and not all at once", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const waits = [];
  const later = setTimeout;
  t.mock.method(globalThis, "setTimeout", (call, milliseconds, ...rest) => {
    if (milliseconds >= 50 && milliseconds <= 7_500) waits.push(milliseconds);
    return later(call, Math.min(milliseconds, 1), ...rest);
  });
  latchkey.listen = (_request, response) => response.destroy();
  await latchkey.guard().start();
  await until(() => latchkey.listens.length > 12);
  const doubled = waits.slice(0, 11).map((wait, place) => wait / Math.min(100 * 2 ** place, 5_000));
  assert.ok(doubled.every((each) => each >= 0.5 && each <= 1.5), String(waits));
  assert.ok(new Set(doubled).size > 5);
});

test("the stream ends with close, begins again with start, and neither is in a hurry", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard();
  await guard.close();
  for (let each = 0; each < 2; each++) {
    await Promise.all([guard.start(), guard.start()]);
    await until(() => guard.streamAlive);
    await Promise.all([guard.close(), guard.close()]);
    assert.equal(guard.streamAlive, false);
    await until(() => latchkey.streams === 0);
  }
  assert.equal(latchkey.listens.length, 2);
  await guard.check(latchkey.issue().token);
  const begun = guard.start();
  await Promise.all([guard.close(), begun]);
});
