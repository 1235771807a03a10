import assert from "node:assert/strict";
import { test } from "node:test";

import { EventParser } from "../src/event-parser.js";

const bytes = (text) => new TextEncoder().encode(text);
const all = (pieces, parser = new EventParser()) => pieces.flatMap((piece) => [...parser.feed(piece)]);

const STREAM = '\uFEFF: hello\nretry: 5\nid: 1\nevent: invalidate\ndata: {"keyIDs":\ndata: ["ä€😀"]}\n\nevent:heartbeat\ndata:{}\nid\n\ndata\n\n';
const EVENTS = [
  { type: "invalidate", data: '{"keyIDs":\n["ä€😀"]}', id: "1" },
  { type: "heartbeat", data: "{}", id: "" },
  { type: "message", data: "", id: "" },
];

test("events come out alike, whatever ends the lines and wherever the pieces end", () => {
  for (const lineEnd of ["\n", "\r", "\r\n"]) {
    const stream = bytes(STREAM.replaceAll("\n", lineEnd));
    assert.deepEqual(all([stream]), EVENTS);
    assert.deepEqual(all([...stream].map((byte) => Uint8Array.of(byte))), EVENTS);
    for (let place = 0; place < stream.length; place++) {
      assert.deepEqual(all([stream.slice(0, place), stream.slice(place)]), EVENTS);
    }
  }
});

test("an event without data, one that is not over, and an id with a NUL are nothing", () => {
  assert.deepEqual(all([bytes("id: 1\nevent: reset\n\nevent: reset\ndata: {}\n")]), []);
  assert.deepEqual(all([bytes("id: a\0b\ndata: 1\n\n")]), [{ type: "message", data: "1", id: "" }]);
});

test("an event without end is given up, be it one line or many", () => {
  for (const piece of ["data: x", "data: x\n", ": x\n", "event: x\n"]) {
    const endless = bytes(piece.repeat(1_000));
    const parser = new EventParser();
    assert.throws(() => {
      for (let each = 0; each < 1_000; each++) all([endless], parser);
    }, /too large/);
  }
});

test("eight times the stream takes about eight times as long", () => {
  const cost = (events) => {
    const stream = bytes("id: 1\r\nevent: heartbeat\r\ndata: {}\r\n\r\n".repeat(events));
    const costs = [1, 2, 3, 4, 5].map(() => {
      const began = process.cpuUsage();
      assert.equal(all([stream]).length, events);
      return process.cpuUsage(began).user;
    });
    return Math.min(...costs);
  };
  cost(4_000);
  assert.ok(cost(32_000) < 32 * cost(4_000));
});
