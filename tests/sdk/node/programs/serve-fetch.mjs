// Serves the fetch-style handler of `route.mjs` as a framework does that has such handlers.
import { createServer } from "node:http";
import { Readable } from "node:stream";
import { GET } from "./route.mjs";

createServer(async (incoming, outgoing) => {
  const headers = new Headers();
  for (let index = 0; index < incoming.rawHeaders.length; index += 2) {
    headers.append(incoming.rawHeaders[index], incoming.rawHeaders[index + 1]);
  }
  const response = await GET(new Request(`http://api.test${incoming.url}`, { headers }));
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  Readable.fromWeb(response.body).pipe(outgoing);
}).listen(process.env.PORT, "127.0.0.1");
