// node-oidc-provider as its users run it, with its own login and consent pages. Told in one JSON argument where it is
// and who its client is. POST /test/rotate gives it a new key; POST /test/fault spoils the ID tokens that follow, as an
// attacker between the two servers would.
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { calculateJwkThumbprint, decodeJwt, exportJWK, exportSPKI, generateKeyPair, SignJWT } from "jose";
import { Provider } from "oidc-provider";

const { issuer, client_id, client_secret, redirect_uri, backchannel_logout_uri } = JSON.parse(process.argv[2]);
let key, provider, fault = "";

async function newKey() {
  const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), use: "sig", alg: "RS256" };
  return { privateKey, publicKey, jwk: { ...jwk, kid: await calculateJwkThumbprint(jwk) } };
}

const encoded = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");

// The ID token as an attacker would have it; all but the last three are signed with the provider's own key.
async function spoiled(token) {
  const claims = decodeJwt(token);
  const sign = (changed) =>
    new SignJWT({ ...claims, ...changed }).setProtectedHeader({ alg: "RS256", kid: key.jwk.kid }).sign(key.privateKey);
  const unsigned = (header) => `${encoded({ kid: key.jwk.kid, ...header })}.${encoded(claims)}`;
  const past = Math.floor(Date.now() / 1000) - 3600;
  switch (fault) {
    case "nonce": return sign({ nonce: "another" });
    case "aud": return sign({ aud: "somebody-else" });
    case "iss": return sign({ iss: "http://127.0.0.1:9/evil" });
    case "exp": return sign({ iat: past - 60, exp: past });
    case "none": return `${unsigned({ alg: "none" })}.`;
    case "HS256": {
      const text = unsigned({ alg: "HS256" });
      return `${text}.${createHmac("sha256", await exportSPKI(key.publicKey)).update(text).digest("base64url")}`;
    }
    case "signature": return `${unsigned({ alg: "RS256" })}.${token.split(".")[2]}`;
    default: return token;
  }
}

async function rotate() {
  key = await newKey();
  provider = new Provider(issuer, {
    clients: [{
      client_id, client_secret, redirect_uris: [redirect_uri],
      backchannel_logout_uri, backchannel_logout_session_required: true,
    }],
    jwks: { keys: [key.jwk] },
    cookies: { keys: ["a key of the test's own"] },
    claims: { email: ["email"], profile: ["name", "preferred_username"] },
    features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
    // Its own fetch refuses loopback, where the tests are.
    fetch: (url, { method, body, headers }) => fetch(url, { method, body, headers }),
    findAccount: (_ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@site.example`, name: `Zoë of ${id}`, preferred_username: id }),
    }),
  });
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.oidc?.route === "token" && ctx.body?.id_token) {
      ctx.body = { ...ctx.body, id_token: await spoiled(ctx.body.id_token) };
    }
  });
  provider.on("server_error", (_ctx, error) => console.error(error));
  provider.on("backchannel.error", (_ctx, error) => console.error(error));
}

await rotate();
createServer(async (request, response) => {
  const [, action, value = ""] = request.url.match(/^\/test\/(rotate|fault)(?:\/(\w+))?$/) ?? [];
  if (action === "rotate") await rotate();
  if (action === "fault") fault = value;
  if (action) return response.end();
  return provider.callback()(request, response);
}).listen(new URL(issuer).port, "127.0.0.1", () => console.log("ready"));
