// How a client program talks to the test: lines of JSON. See ../python/talk.py.
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const tell = (message) => process.stdout.write(JSON.stringify(message) + "\n");

// Sends the person somewhere (open, decline or device); where they came out.
export async function askPerson(message) {
  tell(message);
  return JSON.parse((await lines.next()).value).callback;
}

// For each line: reads a case's name and the setting, plays it, tells its result.
export async function play(cases) {
  for (let line; !(line = await lines.next()).done; ) {
    const { case: name, ...setting } = JSON.parse(line.value);
    tell({ result: await cases[name](setting) });
  }
  process.exit(0);
}
