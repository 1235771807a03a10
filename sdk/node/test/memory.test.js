import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";

import { Memory } from "../src/memory.js";

const KEY = { keyId: "a" };
const kept = (memory, keyId, askedAt, endsAt = Infinity) => memory.keep(keyId, `digest of ${keyId}`, KEY, askedAt, endsAt);
const found = (memory, keyId, at, alive) => memory.find(keyId, `digest of ${keyId}`, at, alive) !== null;

test("a key is believed for less than 60 s while the stream is alive, and for less than 2 s while it is not", () => {
  for (const [alive, most] of [[true, 60_000], [false, 2_000]]) {
    const memory = new Memory();
    kept(memory, "a", 0);
    assert.ok(found(memory, "a", most - 1, alive));
    assert.ok(!found(memory, "a", most, alive));
    assert.equal(memory.size, 0);
  }
});

test("a key is not believed after its own end", () => {
  const memory = new Memory();
  kept(memory, "a", 0, 1_000);
  assert.ok(found(memory, "a", 999, true));
  assert.ok(!found(memory, "a", 1_000, true));
});

test("another secret with the id of a remembered key finds nothing and spoils nothing", () => {
  const memory = new Memory();
  kept(memory, "a", 0);
  assert.equal(memory.find("a", "another digest", 1, true), null);
  assert.ok(found(memory, "a", 1, true));
});

test("what was asked before the key was invalidated is not kept, and is to be asked again", () => {
  const memory = new Memory();
  kept(memory, "a", 0);
  memory.invalidate(["a"], 10);
  assert.ok(!found(memory, "a", 10, true));
  assert.equal(kept(memory, "a", 9), false);
  assert.equal(kept(memory, "a", 10), false);
  assert.ok(!found(memory, "a", 10, true));
  assert.equal(kept(memory, "b", 9), true);
});

test("shortly after an invalidation an answer may come from a verifier that has not heard of it: it is not kept for long", () => {
  const memory = new Memory();
  memory.invalidate(["a"], 10);
  assert.equal(kept(memory, "a", 11), true);
  assert.ok(!found(memory, "a", 111, true));
  kept(memory, "a", 5_010);
  assert.ok(found(memory, "a", 65_009, true));
});

test("the same after everything was forgotten", () => {
  const memory = new Memory();
  kept(memory, "a", 0);
  memory.forget(10);
  assert.ok(!found(memory, "a", 10, true));
  assert.equal(kept(memory, "a", 9), true, "the answer itself is as good as any");
  assert.ok(!found(memory, "a", 10, true));
  kept(memory, "a", 11);
  assert.ok(found(memory, "a", 2_010, true));
  assert.ok(!found(memory, "a", 2_011, true));
});

test("at most 10,000 keys are kept, those that were used last", () => {
  const memory = new Memory();
  for (let each = 0; each < 10_000; each++) kept(memory, `key ${each}`, 0);
  assert.ok(found(memory, "key 0", 1, true));
  for (let each = 0; each < 9_999; each++) kept(memory, `later ${each}`, 0);
  assert.equal(memory.size, 10_000);
  assert.ok(found(memory, "key 0", 1, true));
  assert.ok(!found(memory, "key 1", 1, true));
});

test("more invalidations than can be kept forget everything, and take no more room", () => {
  const memory = new Memory();
  kept(memory, "a", 0);
  for (let each = 0; each < 30; each++) {
    memory.invalidate(Array.from({ length: 1_000 }, (_, other) => `key ${each} ${other}`), 10 + each);
  }
  assert.ok(!found(memory, "a", 40, true));
  assert.equal(kept(memory, "key 0 0", 5), true, "its own invalidation has left, but nothing that old is kept");
  assert.ok(!found(memory, "key 0 0", 40, true));
});

test("it shows nothing when it is looked at", () => {
  const memory = new Memory();
  kept(memory, "a", 0);
  assert.ok(!inspect(memory, { depth: 10, showHidden: true }).includes("digest"));
});
