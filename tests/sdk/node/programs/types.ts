// What a program in TypeScript may write, and what the compiler must refuse.
import express from "express";
import { createServer } from "node:http";
import { Guard, Refused, type GuardOptions, type Key } from "latchkey-sdk";

const options: GuardOptions = { url: new URL("https://latchkey.example"), serviceKey: "", onError: (error: Error) => error.stack };
const guard: Guard = new Guard(options);
new Guard({ url: "https://latchkey.example", serviceKey: "", resource: "https://api.example" });

const app = express();
app.use(guard.express());
app.get("/scores", guard.express("customise_score", "submit_score"), (request, response) => {
  const key: Key | undefined = request.latchkey;
  response.json({ name: key?.username });
});
createServer((request, response) => guard.express("customise_score")(request, response, (error?: unknown) => response.end(String(error))));

export const GET: (request: Request) => Promise<Response> = guard.fetch((_request, key) => Response.json(key.permissions), "a");
export const POST: (request: Request, context: { params: string }) => Promise<Response> = guard.fetch(
  async (request: Request, key: Key, context: { params: string }) => new Response(context.params + key.keyId + (await request.text())),
);

async function byHand(token: string | undefined): Promise<number> {
  await guard.start();
  try {
    const { keyId, userId, username, externalUser, clientId, permissions }: Key = await guard.check(token, "customise_score");
    const texts: (string | null)[] = [keyId, username, externalUser, clientId, ...permissions];
    return texts.length + userId;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const status: 401 | 403 | 503 = error.status;
    const retryAfter: number | null = error.retryAfter;
    const said: "invalid_token" | "insufficient_scope" | null = error.error;
    const { body, headers } = error.toAnswer();
    return status + (retryAfter ?? 0) + (said ?? body).length + Object.keys({ ...headers, ...error.headers }).length;
  } finally {
    const alive: boolean = guard.streamAlive;
    if (alive) await guard.close();
  }
}
void byHand;

// @ts-expect-error a permission is a string
void guard.check("key", 7);
// @ts-expect-error permissions are given one by one
guard.express(["customise_score"]);
// @ts-expect-error the service key is needed
new Guard({ url: "https://latchkey.example" });
// @ts-expect-error a key is read only
void guard.check("key").then((key) => (key.username = "other"));
// @ts-expect-error nobody sets whether the stream is alive
guard.streamAlive = true;
// @ts-expect-error a handler answers with a Response
guard.fetch((request) => request.url);
