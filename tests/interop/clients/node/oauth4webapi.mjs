// oauth4webapi: discovers the server, checks state and iss, and is strict about every answer.
import * as oauth from "oauth4webapi";
import { askPerson, play } from "./talk.mjs";

const insecure = { [oauth.allowInsecureRequests]: true }; // the tests speak plain HTTP on the loopback interface

async function discover(setting) {
  const issuer = new URL(setting.issuer);
  const answer = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
  return oauth.processDiscoveryResponse(issuer, answer);
}

async function request(setting, server, client, action = "open") {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const url = new URL(server.authorization_endpoint);
  const parameters = {
    client_id: client.client_id,
    redirect_uri: setting.redirect_uri,
    response_type: "code",
    scope: setting.scope,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const callback = new URL(await askPerson({ [action]: url.href }));
  return { verifier, answer: oauth.validateAuthResponse(server, client, callback, state) };
}

async function exchange(setting, server, client, authentication, { answer, verifier }) {
  const response = await oauth.authorizationCodeGrantRequest(
    server, client, authentication, answer, setting.redirect_uri, verifier, insecure);
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, response);
  return { token: tokens.access_token, scope: tokens.scope };
}

async function linked(setting, authentication = oauth.ClientSecretBasic(setting.client_secret), id = setting.client_id) {
  const server = await discover(setting);
  const client = { client_id: id };
  const result = await exchange(setting, server, client, authentication, await request(setting, server, client));
  return { server, client, authentication, result };
}

async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    if (error instanceof oauth.WWWAuthenticateChallengeError) return (await error.response.json()).error;
    if (error.error === undefined) throw error;
    return error.error;
  }
  return undefined;
}

await play({
  code_basic: async (setting) => (await linked(setting)).result,
  code_post: async (setting) => (await linked(setting, oauth.ClientSecretPost(setting.client_secret))).result,
  public_pkce: async (setting) => (await linked(setting, oauth.None(), setting.public_client_id)).result,
  wrong_secret: async (setting) => ({ error: await errorOf(linked(setting, oauth.ClientSecretBasic("wrong"))) }),
  replay: async (setting) => {
    const server = await discover(setting);
    const client = { client_id: setting.client_id };
    const authentication = oauth.ClientSecretBasic(setting.client_secret);
    const answered = await request(setting, server, client);
    const first = await exchange(setting, server, client, authentication, answered);
    return { ...first, error: await errorOf(exchange(setting, server, client, authentication, answered)) };
  },
  decline: async (setting) => {
    const server = await discover(setting);
    return { error: await errorOf(request(setting, server, { client_id: setting.client_id }, "decline")) };
  },
  revoke: async (setting) => {
    const { server, client, authentication, result } = await linked(setting);
    const response = await oauth.revocationRequest(server, client, authentication, result.token, insecure);
    await oauth.processRevocationResponse(response);
    return { ...result, status: response.status };
  },
  introspect: async (setting) => {
    const { server, client, authentication, result } = await linked(setting);
    const response = await oauth.introspectionRequest(server, client, authentication, result.token, insecure);
    const found = await oauth.processIntrospectionResponse(server, client, response);
    return { ...result, active: found.active, client_id: found.client_id };
  },
  par: async (setting) => {
    const server = await discover(setting);
    const client = { client_id: setting.client_id };
    const authentication = oauth.ClientSecretBasic(setting.client_secret);
    const state = oauth.generateRandomState();
    const parameters = { redirect_uri: setting.redirect_uri, response_type: "code", scope: setting.scope, state };
    const response = await oauth.pushedAuthorizationRequest(server, client, authentication, parameters, insecure);
    const pushed = await oauth.processPushedAuthorizationResponse(server, client, response);
    const url = new URL(server.authorization_endpoint);
    url.searchParams.set("client_id", client.client_id);
    url.searchParams.set("request_uri", pushed.request_uri);
    const callback = new URL(await askPerson({ open: url.href }));
    const answer = oauth.validateAuthResponse(server, client, callback, state);
    return exchange(setting, server, client, authentication, { answer, verifier: oauth.nopkce });
  },
  device: async (setting) => {
    const server = await discover(setting);
    const client = { client_id: setting.client_id };
    const authentication = oauth.ClientSecretBasic(setting.client_secret);
    const parameters = { scope: setting.scope };
    const started = await oauth.processDeviceAuthorizationResponse(
      server, client, await oauth.deviceAuthorizationRequest(server, client, authentication, parameters, insecure));
    await askPerson({ device: started });
    const response = await oauth.deviceCodeGrantRequest(
      server, client, authentication, started.device_code, insecure);
    const tokens = await oauth.processDeviceCodeResponse(server, client, response);
    return { token: tokens.access_token, scope: tokens.scope };
  },
});
