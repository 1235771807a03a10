// The same as guarded.py, behind the SDK for Node: node guarded.mjs PORT URL KEY
import { createServer } from "node:http";
import { Guard } from "../../sdk/node/src/index.js";

const [port, url, serviceKey] = process.argv.slice(2);
const guard = new Guard({ url, serviceKey });
await guard.start();
const protect = guard.express();

createServer((request, response) => {
  const answer = (body) => {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(body));
  };
  if (request.url === "/readyz") return answer({ status: "ok" });
  protect(request, response, (error) => {
    if (error) return response.writeHead(500).end(String(error));
    answer({ user: request.latchkey.username });
  });
}).listen(Number(port), "127.0.0.1");
