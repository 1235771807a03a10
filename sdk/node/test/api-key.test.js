import assert from "node:assert/strict";
import { test } from "node:test";

import { checksumOf, keyIdOf, SERVICE_KEY, USER_KEY } from "../src/api-key.js";
import { mint } from "../testing/fake-latchkey.js";

test("the check value of CRC32 comes out, in base62 with leading zeros", () => {
  const number = [...checksumOf("123456789")].reduce((value, letter) => {
    return value * 62 + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".indexOf(letter);
  }, 0);
  assert.equal(number, 0xcbf43926);
  assert.equal(checksumOf(""), "000000");
});

test("a key has an id, whatever its prefix", () => {
  for (const prefix of ["lk", "abc", "zzzz"]) {
    for (let each = 0; each < 50; each++) {
      const { token, keyId } = mint("u", prefix);
      assert.equal(keyIdOf(token, USER_KEY), keyId);
      assert.equal(keyIdOf(token, SERVICE_KEY), null);
    }
  }
});

test("what differs in one character, is cut, is longer or is no text is no key", () => {
  const { token } = mint();
  for (let place = 0; place < token.length; place++) {
    const other = token[place] === "x" ? "y" : "x";
    assert.equal(keyIdOf(token.slice(0, place) + other + token.slice(place + 1), USER_KEY), null);
    assert.equal(keyIdOf(token.slice(0, place), USER_KEY), null);
  }
  const others = ["", `${token}\n`, `\n${token}`, ` ${token}`, `${token}0`, mint("u", "l").token, mint("u", "lkabc").token];
  others.push(mint("u", "LK").token, token.replaceAll("_", "-"), token + "0".repeat(1_000_000), null, undefined, 7, [token]);
  for (const other of others) assert.equal(keyIdOf(other, USER_KEY), null);
});
