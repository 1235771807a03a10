// @badgateway/oauth2-client: finds every endpoint by the server's metadata, over fetch alone.
import { randomUUID } from "node:crypto";
import { OAuth2Client, generateCodeVerifier } from "@badgateway/oauth2-client";
import { askPerson, play } from "./talk.mjs";

const configure = (setting, options = {}) =>
  new OAuth2Client({
    server: setting.issuer,
    discoveryEndpoint: "/.well-known/oauth-authorization-server",
    clientId: setting.client_id,
    clientSecret: setting.client_secret,
    ...options,
  });

async function request(setting, client, { action = "open", codeVerifier } = {}) {
  const asked = { redirectUri: setting.redirect_uri, state: randomUUID(), codeVerifier };
  const url = await client.authorizationCode.getAuthorizeUri({ ...asked, scope: [setting.scope] });
  return { asked, callback: await askPerson({ [action]: url }) };
}

const exchange = (client, { asked, callback }) => client.authorizationCode.getTokenFromCodeRedirect(callback, asked);
const result = (token, setting) => ({ token: token.accessToken, scope: token.scope?.join(" ") ?? setting.scope });

async function linked(setting, client, options) {
  const token = await exchange(client, await request(setting, client, options));
  return { token, told: result(token, setting) };
}

async function errorOf(attempt) {
  try {
    await attempt();
  } catch (error) {
    if (error.oauth2Code === undefined) throw error;
    return error.oauth2Code;
  }
  return undefined;
}

await play({
  code_basic: async (setting) => (await linked(setting, configure(setting))).told,
  code_post: async (setting) =>
    (await linked(setting, configure(setting, { authenticationMethod: "client_secret_post" }))).told,
  public_pkce: async (setting) => {
    const client = configure(setting, { clientId: setting.public_client_id, clientSecret: undefined });
    return (await linked(setting, client, { codeVerifier: await generateCodeVerifier() })).told;
  },
  wrong_secret: async (setting) => {
    const client = configure(setting, { clientSecret: "wrong" });
    return { error: await errorOf(() => linked(setting, client)) };
  },
  replay: async (setting) => {
    const client = configure(setting);
    const asked = await request(setting, client);
    const told = result(await exchange(client, asked), setting);
    return { ...told, error: await errorOf(() => exchange(client, asked)) };
  },
  decline: async (setting) => {
    const client = configure(setting);
    const asked = await request(setting, client, { action: "decline" });
    return { error: await errorOf(() => exchange(client, asked)) };
  },
  revoke: async (setting) => {
    const client = configure(setting);
    const { token, told } = await linked(setting, client);
    await client.revoke(token);
    return { ...told, status: 200 };
  },
  introspect: async (setting) => {
    const client = configure(setting);
    const { token, told } = await linked(setting, client);
    const found = await client.introspect(token);
    return { ...told, active: found.active, client_id: found.client_id };
  },
});
