// How a client program talks to the test: lines of JSON. See ../python/talk.py.
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => JSON.parse((await lines.next()).value);
const tell = (message) => process.stdout.write(JSON.stringify(message) + "\n");

// Sends the person somewhere (open, decline or device); where they came out.
export async function askPerson(message) {
  tell(message);
  return (await read()).callback;
}

// Reads the setting, plays the case named on the command line, tells its result.
export async function play(cases) {
  const setting = await read();
  tell({ result: await cases[process.argv[2]](setting) });
  process.exit(0);
}
