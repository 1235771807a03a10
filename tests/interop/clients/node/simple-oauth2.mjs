// simple-oauth2: `AuthorizationCode` with the secret in the header or in the body.
import { randomUUID } from "node:crypto";
import { AuthorizationCode } from "simple-oauth2";
import { askPerson, play } from "./talk.mjs";

function configure(setting, authorizationMethod = "header", secret = setting.client_secret) {
  return new AuthorizationCode({
    client: { id: setting.client_id, secret },
    auth: {
      tokenHost: setting.issuer,
      tokenPath: "/api/v1/oauth/token",
      revokePath: "/api/v1/oauth/revoke",
      authorizePath: "/oauth/authorize",
    },
    options: { authorizationMethod },
  });
}

async function request(setting, oauth, action = "open") {
  const state = randomUUID();
  const url = oauth.authorizeURL({ redirect_uri: setting.redirect_uri, scope: setting.scope, state });
  const query = new URL(await askPerson({ [action]: url })).searchParams;
  if (query.get("state") !== state) throw new Error("another state came back");
  return query;
}

const exchange = (setting, oauth, query) =>
  oauth.getToken({ code: query.get("code"), redirect_uri: setting.redirect_uri });
const result = ({ token }) => ({ token: token.access_token, scope: token.scope });
const linked = async (setting, oauth) => exchange(setting, oauth, await request(setting, oauth));

async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    if (error.data?.payload?.error === undefined) throw error;
    return error.data.payload.error;
  }
  return undefined;
}

await play({
  code_basic: async (setting) => result(await linked(setting, configure(setting))),
  code_post: async (setting) => result(await linked(setting, configure(setting, "body"))),
  wrong_secret: async (setting) => ({ error: await errorOf(linked(setting, configure(setting, "header", "wrong"))) }),
  replay: async (setting) => {
    const oauth = configure(setting);
    const query = await request(setting, oauth);
    const first = result(await exchange(setting, oauth, query));
    return { ...first, error: await errorOf(exchange(setting, oauth, query)) };
  },
  decline: async (setting) => ({ error: (await request(setting, configure(setting), "decline")).get("error") }),
  revoke: async (setting) => {
    const token = await linked(setting, configure(setting));
    await token.revoke("access_token");
    return { ...result(token), status: 200 };
  },
});
