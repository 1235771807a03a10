// openid-client: what most Node programs use, over discovery.
import * as client from "openid-client";
import { askPerson, play } from "./talk.mjs";

function configure(setting, authentication, id = setting.client_id) {
  // The tests speak plain HTTP on the loopback interface.
  const options = { algorithm: "oauth2", execute: [client.allowInsecureRequests] };
  return client.discovery(new URL(setting.issuer), id, undefined, authentication, options);
}

const basic = (setting) => configure(setting, client.ClientSecretBasic(setting.client_secret));

async function request(setting, config, action = "open", pushed = false) {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const parameters = {
    redirect_uri: setting.redirect_uri,
    scope: setting.scope,
    state,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  };
  const url = pushed
    ? await client.buildAuthorizationUrlWithPAR(config, parameters)
    : client.buildAuthorizationUrl(config, parameters);
  const callback = new URL(await askPerson({ [action]: url.href }));
  return { callback, checks: { pkceCodeVerifier: verifier, expectedState: state } };
}

async function exchange(config, { callback, checks }) {
  const tokens = await client.authorizationCodeGrant(config, callback, checks);
  return { token: tokens.access_token, scope: tokens.scope };
}

async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    if (error instanceof client.WWWAuthenticateChallengeError) return (await error.response.json()).error;
    if (error.error === undefined) throw error;
    return error.error;
  }
  return undefined;
}

const linked = async (setting, config) => exchange(config, await request(setting, config));

await play({
  code_basic: async (setting) => linked(setting, await basic(setting)),
  code_post: async (setting) => linked(setting, await configure(setting, client.ClientSecretPost(setting.client_secret))),
  public_pkce: async (setting) => linked(setting, await configure(setting, client.None(), setting.public_client_id)),
  wrong_secret: async (setting) => ({
    error: await errorOf(linked(setting, await configure(setting, client.ClientSecretBasic("wrong")))),
  }),
  replay: async (setting) => {
    const config = await basic(setting);
    const answered = await request(setting, config);
    const first = await exchange(config, answered);
    return { ...first, error: await errorOf(exchange(config, answered)) };
  },
  decline: async (setting) => {
    const config = await basic(setting);
    return { error: await errorOf(exchange(config, await request(setting, config, "decline"))) };
  },
  revoke: async (setting) => {
    const config = await basic(setting);
    const result = await linked(setting, config);
    await client.tokenRevocation(config, result.token);
    return { ...result, status: 200 };
  },
  introspect: async (setting) => {
    const config = await basic(setting);
    const result = await linked(setting, config);
    const found = await client.tokenIntrospection(config, result.token);
    return { ...result, active: found.active, client_id: found.client_id };
  },
  par: async (setting) => {
    const config = await basic(setting);
    return exchange(config, await request(setting, config, "open", true));
  },
  device: async (setting) => {
    const config = await basic(setting);
    const started = await client.initiateDeviceAuthorization(config, { scope: setting.scope });
    await askPerson({ device: started });
    const tokens = await client.pollDeviceAuthorizationGrant(config, started);
    return { token: tokens.access_token, scope: tokens.scope };
  },
});
