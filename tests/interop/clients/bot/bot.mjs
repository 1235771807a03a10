// A chat bot as integrators of the seed's system write them: a link with `context`, JSON, `body.token`, `users/me`.
// It knows nothing of Latchkey but its address. Settings come by the environment; it prints its own address.
import { createServer } from "node:http";

const { SITE, CLIENT_ID, CLIENT_SECRET } = process.env;
const links = new Map();
let address;

// Every request has the header, with nothing in it where there is no token.
async function ask(method, path, token, body) {
  const answer = await fetch(`${SITE}/api/v1${path}`, {
    method,
    headers: {
      "Content-Type": "application/json",
      Authorization: token ? `Bearer ${token}` : "",
      "User-Agent": "chat-bot v1.0.0",
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { ...(await answer.json()), statusCode: answer.status };
}

async function linkAccount(query) {
  if (!query.has("code") || !query.has("context")) return [400, "Bad Request."];
  const exchanged = await ask("POST", "/oauth/token", null, {
    code: query.get("code"),
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
    grant_type: "authorization_code",
    redirect_uri: `${address}/oauth/callback`,
  });
  if (!exchanged.success) return [401, { description: exchanged.description }];
  const token = exchanged.body.token;
  const me = await ask("GET", "/users/me?", token);
  if (!me.success) return [500, { description: me.description }];
  links.set(query.get("context"), { token, userID: me.body.id, username: me.body.username });
  return [200, "Your account is linked."];
}

// What the bot does for a person of the chat whose account is linked.
async function check(person) {
  const link = links.get(person);
  if (link === undefined) return [401, `${SITE}/oauth/request-auth?clientID=${CLIENT_ID}&context=${person}`];
  const status = await ask("GET", "/status", link.token);
  return [status.statusCode, { ...link, success: status.success, description: status.description, ...status.body }];
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, address);
  const [status, said] =
    pathname === "/oauth/callback" ? await linkAccount(searchParams)
    : pathname === "/check" ? await check(searchParams.get("person"))
    : [404, "Nothing found here."];
  response.writeHead(status, { "Content-Type": typeof said === "string" ? "text/plain" : "application/json" });
  response.end(typeof said === "string" ? said : JSON.stringify(said));
});

const online = await ask("GET", "/status", null);
if (!online.success) throw new Error(`the site is not there: ${online.description}`);
server.listen(Number(process.env.PORT), "127.0.0.1", () => {
  address = `http://127.0.0.1:${server.address().port}`;
  console.log(address);
});
