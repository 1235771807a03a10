import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer, request as ask } from "node:http";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { authorizationOf, presentedKey } from "../src/authorization.js";
import { FakeLatchkey, mint } from "../testing/fake-latchkey.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** A server of plain node:http behind the middleware; asks it with these headers, as they are. */
async function protecting(test, middleware) {
  const server = createServer((request, response) => {
    const next = (error) => {
      response.statusCode = error === undefined ? 200 : 500;
      response.end(JSON.stringify(request.latchkey ?? String(error)));
    };
    middleware(request, response, next);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  test.after(() => server.close());
  return (headers = [], method = "GET") =>
    new Promise((resolve, reject) => {
      const options = { port: server.address().port, host: "127.0.0.1", method, agent: false };
      const asking = ask({ ...options, headers: ["Host", "api.test", ...headers] }, async (response) => {
        let body = "";
        for await (const piece of response) body += piece;
        resolve({ status: response.statusCode, headers: response.headers, body });
      });
      asking.on("error", reject).end();
    });
}

const bearer = (token) => ["Authorization", `Bearer ${token}`];

test("the header is read as Latchkey reads it", () => {
  const cases = [
    [[], null],
    [[""], null],
    [["Bearer"], null],
    [["Bearer "], null],
    [["Bearer    "], null],
    [["Basic dTpw"], null],
    [["Bearerx"], null],
    [["Bearer\tx"], null],
    [["", ""], null],
    [["Bearer x"], "x"],
    [["bEARER   x  "], "x"],
    [["Bearer x y"], "x y"],
    [["Bearer x", "Bearer x"], "Bearer x, Bearer x"],
    [["Bearer x", ""], "Bearer x, "],
  ];
  for (const [values, key] of cases) assert.equal(presentedKey(values), key, String(values));
  const long = "Bearer " + " ".repeat(500_000) + "x" + " ".repeat(500_000) + "x";
  assert.equal(presentedKey([long]).length, 500_002);
});

test("a request as frameworks imitate it has its headers read too", () => {
  assert.deepEqual(authorizationOf({ headers: {} }), []);
  assert.deepEqual(authorizationOf({ headers: { authorization: "a" } }), ["a"]);
  assert.deepEqual(authorizationOf({ headers: { authorization: ["a", "b"] } }), ["a", "b"]);
  assert.deepEqual(authorizationOf({ headers: {}, rawHeaders: ["Authorization", "taken away by another middleware"] }), []);
});

test("the middleware lets good keys through and answers the others", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const call = await protecting(t, latchkey.guard().express("customise_score"));
  const { token, keyId } = latchkey.issue();
  const good = await call(bearer(token));
  assert.deepEqual([good.status, JSON.parse(good.body).keyId], [200, keyId]);
  assert.equal((await call(["aUTHORIZATION", `bearer ${token}`])).status, 200);

  const refusals = [
    [[], 401, 'Bearer realm="latchkey"'],
    [["Authorization", ""], 401, 'Bearer realm="latchkey"'],
    [["Authorization", "Basic dTpw"], 401, 'Bearer realm="latchkey"'],
    [bearer(mint().token), 401, 'Bearer error="invalid_token"'],
    [bearer("x"), 401, 'Bearer error="invalid_token"'],
    [[...bearer(token), ...bearer(token)], 401, 'Bearer error="invalid_token"'],
    [[...bearer(token), ...bearer(mint().token)], 401, 'Bearer error="invalid_token"'],
    [bearer(latchkey.issue({ scope: "" }).token), 403, 'Bearer error="insufficient_scope", scope="customise_score"'],
  ];
  for (const [headers, status, challenge] of refusals) {
    const answer = await call(headers);
    assert.deepEqual([answer.status, answer.headers["www-authenticate"]], [status, challenge]);
    assert.equal(answer.headers["content-type"], "application/problem+json");
    assert.equal(answer.headers["cache-control"], "no-store");
    const problem = JSON.parse(answer.body);
    assert.equal(problem.status, status);
    assert.equal(problem.error, /error="(\w+)"/.exec(challenge)?.[1]);
  }
  assert.equal((await call([], "HEAD")).body, "");

  latchkey.introspect = (_asked, _request, response) => response.writeHead(503, { "Retry-After": "3" }).end();
  const unknown = await call(bearer(latchkey.issue().token));
  assert.deepEqual([unknown.status, unknown.headers["retry-after"]], [503, "3"]);
});

test("a slip in the middleware's surroundings goes to the framework", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const guard = latchkey.guard();
  guard.check = () => Promise.reject(new Error("slip"));
  const call = await protecting(t, guard.express());
  const answer = await call();
  assert.deepEqual([answer.status, answer.body], [500, '"Error: slip"']);
});

test("a fetch-style handler gets the request, the key, and what else there is", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const handle = latchkey.guard().fetch(async (request, key, ...rest) => {
    return Response.json([await request.text(), key.username, ...rest]);
  }, "customise_score");
  const call = (headers, ...rest) => handle(new Request("http://a/", { method: "POST", body: "score", headers }), ...rest);
  const { token } = latchkey.issue();
  const good = await call({ Authorization: `Bearer ${token}` }, "env", 7);
  assert.deepEqual([good.status, await good.json()], [200, ["score", "ada", "env", 7]]);

  const twice = new Headers();
  twice.append("Authorization", `Bearer ${token}`);
  twice.append("Authorization", `Bearer ${token}`);
  for (const [headers, status, error] of [
    [{}, 401, undefined],
    [{ Authorization: "" }, 401, undefined],
    [twice, 401, "invalid_token"],
    [{ Authorization: `Bearer ${mint().token}` }, 401, "invalid_token"],
    [{ Authorization: `Bearer ${latchkey.issue({ scope: "" }).token}` }, 403, "insufficient_scope"],
  ]) {
    const answer = await call(headers);
    assert.equal(answer.status, status);
    assert.match(answer.headers.get("www-authenticate"), /^Bearer /);
    assert.equal((await answer.json()).error, error);
  }
});

test("what the handler throws is the program's own affair", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const { token } = latchkey.issue();
  const handle = latchkey.guard().fetch(() => {
    throw new RangeError("own");
  });
  const request = new Request("http://a/", { headers: { Authorization: `Bearer ${token}` } });
  await assert.rejects(handle(request), RangeError);
});

/** Runs a program that has the package's own name for it; what it printed. */
async function run(program, kind = "module", environ = {}) {
  const options = { cwd: ROOT, env: { ...process.env, ...environ }, timeout: 20_000 };
  return (await promisify(execFile)(process.execPath, [`--input-type=${kind}`, "-e", program], options)).stdout;
}

test("a guard keeps no program running, and a program that waits for it is not cut short", async (t) => {
  const latchkey = await FakeLatchkey.started(t);
  const program = `
    import { Guard } from "latchkey-sdk";
    const guard = new Guard({ url: process.env.URL_OF, serviceKey: process.env.KEY_OF });
    await guard.start();
    console.log(guard.streamAlive, (await guard.check(process.env.TOKEN)).username);
  `;
  const environ = { URL_OF: latchkey.url, KEY_OF: latchkey.serviceKey, TOKEN: latchkey.issue().token };
  assert.equal(await run(program, "module", environ), "true ada\n");
});

test("CommonJS has it by import()", async () => {
  const program = 'import("latchkey-sdk").then(({ Guard, Refused }) => console.log(typeof Guard, Refused.name));';
  assert.equal(await run(program, "commonjs"), "function Refused\n");
});

test("the package has no dependency, and every file that its entry needs", () => {
  const manifest = createRequire(import.meta.url)("../package.json");
  assert.deepEqual(Object.keys(manifest).filter((name) => /dependencies/i.test(name)), []);
  assert.deepEqual(manifest.files, ["src", "index.d.ts"]);
});
