import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";

import { Guard, Refused } from "../src/index.js";
import { FakeLatchkey, factsOf, mint, pass, until } from "../testing/fake-latchkey.js";

/** What a refusal says. */
async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof Refused, error);
    return [error.status, error.error, error.headers["WWW-Authenticate"] ?? error.headers["Retry-After"]];
  }
  assert.fail("it was accepted");
}

const NOT_LIVE = [401, "invalid_token", 'Bearer error="invalid_token"'];
const UNKNOWN = [503, null, "1"];

test("a live key is told, frozen, without a stream too", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const { token, keyId } = latchkey.issue({ client_id: "CXApp", external_user: "site-7", exp: Date.now() / 1000 + 100 });
  const key = await latchkey.guard().check(token, "submit_score", "customise_score");
  const permissions = ["customise_score", "submit_score"];
  assert.deepEqual(key, { keyId, userId: 7, username: "ada", externalUser: "site-7", clientId: "CXApp", permissions });
  assert.ok(Object.isFrozen(key) && Object.isFrozen(key.permissions));
  const personal = await latchkey.guard().check(latchkey.issue({ scope: "" }).token);
  assert.deepEqual([personal.externalUser, personal.clientId, personal.permissions], [null, null, []]);
});

test("refusals say what RFC 6750 wants said", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard();
  for (const none of [undefined, null, ""]) {
    assert.deepEqual(await refusal(guard.check(none)), [401, null, 'Bearer realm="latchkey"']);
  }
  assert.deepEqual(await refusal(guard.check(mint().token)), NOT_LIVE);
  assert.deepEqual(await refusal(guard.check(latchkey.issue().token, "submit_score", "delete_score")), [
    403,
    "insufficient_scope",
    'Bearer error="insufficient_scope", scope="submit_score delete_score"',
  ]);
});

test("what is no key costs no request", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard();
  const { token } = latchkey.issue();
  const garbage = ["x", ` ${token}`, `${token} `, `${token}, ${token}`, token.slice(1), `${token.slice(0, -1)}!`];
  garbage.push(mint("s").token, latchkey.serviceKey, "a".repeat(1_000_000), 7, {}, [token], true);
  for (const each of garbage) assert.deepEqual(await refusal(guard.check(each)), NOT_LIVE);
  assert.deepEqual(latchkey.asked, []);
});

test("a permission that cannot be is a slip of the program, and never reads as none", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard();
  const { token } = latchkey.issue();
  for (const odd of [undefined, null, "", "two words", 'a"b', "a\\b", "ä", ["customise_score"], "x".repeat(101)]) {
    await assert.rejects(guard.check(token, odd), TypeError);
    assert.throws(() => guard.express(odd), TypeError);
    assert.throws(() => guard.fetch(() => new Response(), odd), TypeError);
  }
  assert.throws(() => guard.fetch("customise_score"), TypeError);
});

test("options that cannot be are refused at once, and quoted nowhere", () => {
  const { token: serviceKey } = mint("s");
  const url = "http://127.0.0.1:9";
  for (const wrong of [undefined, "", mint().token, `${serviceKey}x`]) {
    assert.throws(
      () => new Guard({ url, serviceKey: wrong }),
      (error) => error instanceof TypeError && !(wrong && inspect(error).includes(wrong)),
    );
  }
  for (const wrong of [undefined, "", "latchkey", "ftp://a/", "http://u:p@a/", "http://a/?b", "http://a/#b"]) {
    assert.throws(() => new Guard({ url: wrong, serviceKey }), TypeError);
  }
  assert.throws(() => new Guard({ url, serviceKey, resource: 7 }), TypeError);
  new Guard({ url: new URL("https://a/below/"), serviceKey: `${serviceKey}\n` });
});

test("many checks of one key at once ask once; without a stream the answer is kept for 2 s", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard();
  const { token } = latchkey.issue();
  await Promise.all(Array.from({ length: 100 }, () => guard.check(token)));
  await guard.check(token);
  assert.equal(latchkey.asked.length, 1);
  pass(2_000);
  await guard.check(token);
  assert.equal(latchkey.asked.length, 2);
});

test("a refusal is never kept", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const { token, keyId } = mint();
  assert.deepEqual(await refusal(guard.check(token)), NOT_LIVE);
  latchkey.live.set(token, factsOf(keyId));
  await guard.check(token);
});

test("a lacking permission is refused from memory, each permission by itself", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const { token } = latchkey.issue();
  await guard.check(token, "submit_score");
  assert.equal((await refusal(guard.check(token, "delete_score")))[0], 403);
  await guard.check(token, "customise_score");
  assert.equal(latchkey.asked.length, 1);
});

test("the age of an answer counts from before the question", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard();
  const { token } = latchkey.issue();
  latchkey.introspect = (asked, _request, response) => {
    pass(1_500);
    latchkey.answer(asked, response);
  };
  await guard.check(token);
  pass(600);
  await guard.check(token);
  assert.equal(latchkey.asked.length, 2);
});

test("an answer that a stopped program reads late is not used", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const { token } = latchkey.issue();
  latchkey.introspect = (asked, _request, response) => {
    latchkey.answer(asked, response);
    pass(10_000);
  };
  assert.deepEqual(await refusal(latchkey.guard().check(token)), UNKNOWN);
});

test("an answer that took two seconds is not used: who gave it may have been three seconds late already", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const { token } = latchkey.issue();
  latchkey.introspect = (asked, _request, response) => {
    latchkey.answer(asked, response);
    pass(2_100);
  };
  assert.deepEqual(await refusal(latchkey.guard().check(token)), UNKNOWN);
});

test("an expiring key is not kept beyond its end, by whichever clock is further on", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = await latchkey.listening();
  const seconds = () => Math.floor(Date.now() / 1000);
  const soon = latchkey.issue({ exp: seconds() + 10 });
  await guard.check(soon.token);
  pass(500);
  await guard.check(soon.token);
  assert.equal(latchkey.asked.length, 1);
  await latchkey.settled(guard);
  pass(1_000);
  await latchkey.settled(guard);
  await guard.check(soon.token);
  assert.equal(latchkey.asked.length, 2);

  latchkey.introspect = (asked, _request, response) => {
    response.setHeader("Date", new Date(Date.now() + 3_600_000).toUTCString());
    latchkey.answer(asked, response);
  };
  const over = latchkey.issue({ exp: seconds() + 3_000 });
  await guard.check(over.token);
  await guard.check(over.token);
  assert.equal(latchkey.asked.filter((token) => token === over.token).length, 2, "ours is behind");
});

test("whatever is no clear answer is 503, and says when to try again", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard();
  const { token, keyId } = latchkey.issue();
  const json = (body) => (_asked, _request, response) =>
    response.writeHead(200, { "Content-Type": "application/json" }).end(body);
  const status = (code, headers = {}) => (_asked, _request, response) => response.writeHead(code, headers).end("{}");
  const facts = (more) => json(JSON.stringify(factsOf(keyId, more)));
  const answers = [
    [json(""), "1"],
    [json("null"), "1"],
    [json("[]"), "1"],
    [json('{"active": "true"}'), "1"],
    [json('{"active": 1}'), "1"],
    [facts({ x: "x".repeat(70_000) }), "1"],
    [json("[".repeat(60_000)), "1"],
    [facts({ key_id: mint().keyId }), "1"],
    [facts({ sub: "-1" }), "1"],
    [facts({ sub: "99999999999999999" }), "1"],
    [facts({ scope: undefined }), "1"],
    [facts({ username: 7 }), "1"],
    [facts({ external_user: 7 }), "1"],
    [facts({ client_id: {} }), "1"],
    [status(500), "1"],
    [status(503, { "Retry-After": "7" }), "7"],
    [status(503, { "Retry-After": "99999" }), "60"],
    [status(503, { "Retry-After": "soon" }), "1"],
    [status(429, { "Retry-After": "2" }), "2"],
    [status(404), "1"],
    [status(204), "1"],
    [status(307, { Location: "http://127.0.0.1:9/" }), "1"],
    [(_asked, _request, response) => response.destroy(), "1"],
    [(_asked, _request, response) => response.writeHead(200, { "Content-Length": "99" }).end("{", () => response.destroy()), "1"],
  ];
  for (const [answer, retryAfter] of answers) {
    latchkey.introspect = answer;
    assert.deepEqual(await refusal(guard.check(token)), [503, null, retryAfter], String(answer));
  }
  latchkey.introspect = json('{"active": false}');
  assert.deepEqual(await refusal(guard.check(token)), NOT_LIVE);
  assert.deepEqual(latchkey.errors, []);
});

test("a connection that was closed just then is no answer: the question is put once more", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const { token } = latchkey.issue();
  latchkey.introspect = (asked, request, response) => {
    if (latchkey.asked.length === 1) request.socket.destroy();
    else latchkey.answer(asked, response);
  };
  await latchkey.guard().check(token);
  assert.equal(latchkey.asked.length, 2);
});

test("one question after the other takes one connection", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard();
  let connections = 0;
  latchkey.server.on("connection", () => connections++);
  for (let each = 0; each < 10; each++) await guard.check(latchkey.issue().token);
  assert.equal(connections, 1);
});

test("a server that never answers is given up after 3 s, and so is one that answers drop by drop", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard();
  const drops = new Set();
  t.after(() => drops.forEach(clearInterval));
  const questions = [latchkey.issue(), latchkey.issue()].map(({ token }) => refusal(guard.check(token)));
  latchkey.introspect = (_asked, _request, response) => {
    if (latchkey.asked.length === 1) return;
    response.writeHead(200, { "Content-Type": "application/json" });
    drops.add(setInterval(() => response.write(" "), 20));
  };
  assert.deepEqual(await Promise.all(questions), [UNKNOWN, UNKNOWN]);
});

test("nobody there is 503, also on a port that refuses", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard({ url: "http://127.0.0.1:9" });
  assert.deepEqual(await refusal(guard.check(latchkey.issue().token)), UNKNOWN);
});

test("at most 64 questions run at once, and at most 1,000 wait", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard();
  const tokens = Array.from({ length: 1_001 }, () => latchkey.issue().token);
  const more = tokens.pop();
  const held = [];
  let [open, most] = [0, 0];
  const counted = (response) => {
    most = Math.max(most, ++open);
    response.on("close", () => open--);
  };
  latchkey.introspect = (asked, _request, response) => {
    counted(response);
    held.push(() => latchkey.answer(asked, response));
  };
  const checks = Promise.allSettled(tokens.map((token) => guard.check(token)));
  assert.deepEqual(await refusal(guard.check(more)), UNKNOWN);
  await until(() => held.length >= 64);
  latchkey.introspect = (asked, _request, response) => {
    counted(response);
    latchkey.answer(asked, response);
  };
  held.forEach((answer) => answer());
  const settled = await checks;
  const failed = settled.filter((each) => each.status === "rejected");
  assert.ok(failed.every((each) => each.reason.status === 503));
  if (failed.length === 0) assert.equal(most, 64); // on a machine too busy for three seconds to be enough, some give up
});

test("where the server hangs, who waits for a place is told in time too", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard();
  latchkey.introspect = () => {};
  const tokens = Array.from({ length: 200 }, () => latchkey.issue().token);
  const began = Date.now();
  const refusals = await Promise.all(tokens.map((token) => refusal(guard.check(token))));
  assert.ok(refusals.every((each) => each[0] === 503));
  assert.ok(Date.now() - began < 12_000, "all of them share three seconds");
  assert.ok(latchkey.asked.length < 200, "most of them were never asked about");
});

test("a refused service key is 503, and said once until it is mended", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const { serviceKey } = latchkey;
  const guard = latchkey.guard();
  const { token } = latchkey.issue();
  latchkey.serviceKey = mint("s").token;
  await guard.start();
  for (let each = 0; each < 3; each++) {
    assert.deepEqual(await refusal(guard.check(token)), [503, null, "30"]);
  }
  assert.equal(latchkey.errors.length, 1);
  assert.match(latchkey.errors[0], /service key is not live/);

  latchkey.serviceKey = serviceKey;
  await guard.check(token);
  latchkey.introspect = (_asked, _request, response) => response.writeHead(403).end();
  assert.equal((await refusal(guard.check(latchkey.issue().token)))[0], 503);
  assert.match(latchkey.errors.at(-1), /lacks the permission `introspect`/);
});

test("a hook that throws changes nothing", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  t.mock.method(console, "error", () => {});
  const guard = latchkey.guard({
    serviceKey: mint("s").token,
    onError: () => {
      throw new Error("slip");
    },
  });
  assert.equal((await refusal(guard.check(latchkey.issue().token)))[0], 503);
  assert.equal(console.error.mock.callCount(), 1);
});

test("a key is good for the resource that it was made for, and for no other", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const free = latchkey.issue();
  const bound = latchkey.issue({ aud: "https://API.example.com/scores/" });
  const listed = latchkey.issue({ aud: ["https://other.example.com", "https://api.example.com/scores"] });
  const here = latchkey.guard({ resource: "HTTPS://api.example.com/scores" });
  const there = latchkey.guard({ resource: "https://api.example.com/Scores" });
  const nowhere = latchkey.guard();
  for (const { token } of [bound, listed]) {
    await here.check(token);
    assert.deepEqual(await refusal(there.check(token)), NOT_LIVE);
    assert.deepEqual(await refusal(nowhere.check(token)), NOT_LIVE);
  }
  await nowhere.check(free.token);
  assert.deepEqual(await refusal(here.check(free.token)), NOT_LIVE);
});

test("no key shows in a guard that is looked at, in a refusal or in what is logged", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const written = [];
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream);
    t.mock.method(stream, "write", (text, ...rest) => written.push(String(text)) && write(text, ...rest));
  }
  const guard = latchkey.guard({ onError: undefined });
  await guard.start();
  const { token } = latchkey.issue();
  const shown = [inspect(await guard.check(token), { depth: 10 })];
  latchkey.introspect = (_asked, request) => request.socket.destroy();
  const other = latchkey.issue().token;
  for (const refused of [token.slice(0, -1), mint().token, other]) {
    await guard.check(refused).catch((error) => shown.push(inspect(error, { depth: 10, showHidden: true }), error.stack));
  }
  shown.push(inspect(guard, { depth: 10, showHidden: true }), JSON.stringify(guard), ...written);
  for (const secret of [token, other, latchkey.serviceKey]) {
    assert.ok(!shown.some((text) => text.includes(secret.slice(30, 60))));
  }
});
