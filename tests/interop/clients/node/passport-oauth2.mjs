// passport-oauth2, under most of Node's sign-in buttons: the secret in the body, the state (and the verifier) in a session.
import OAuth2Strategy from "passport-oauth2";
import { askPerson, play } from "./talk.mjs";

function configure(setting, { secret = setting.client_secret, ...options } = {}) {
  const strategy = new OAuth2Strategy(
    {
      clientID: setting.client_id,
      clientSecret: secret,
      authorizationURL: `${setting.issuer}/oauth/authorize`,
      tokenURL: `${setting.issuer}/api/v1/oauth/token`,
      callbackURL: setting.redirect_uri,
      scope: [setting.scope],
      state: true,
      ...options,
    },
    (token, refreshToken, answer, profile, done) => done(null, { token, scope: answer.scope }),
  );
  return Object.assign(strategy, { session: {} });
}

// One request to the strategy, as its framework makes it; where it redirects to, or what came of it.
function step(strategy, query = {}) {
  return new Promise((resolve, reject) => {
    const one = Object.create(strategy, {
      redirect: { value: (url) => resolve({ url }) },
      success: { value: resolve },
      fail: { value: (info) => resolve({ failed: info }) },
      error: { value: reject },
    });
    one.authenticate({ query, session: strategy.session, headers: {}, connection: {} }, {});
  });
}

async function request(strategy, action = "open") {
  const { url } = await step(strategy);
  return Object.fromEntries(new URL(await askPerson({ [action]: url })).searchParams);
}

const linked = async (strategy) => step(strategy, await request(strategy));

async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    if (error.code === undefined) throw error;
    return error.code;
  }
  return undefined;
}

await play({
  code_post: async (setting) => linked(configure(setting)),
  public_pkce: async (setting) =>
    linked(configure({ ...setting, client_id: setting.public_client_id }, { secret: "", pkce: true })),
  wrong_secret: async (setting) => ({ error: await errorOf(linked(configure(setting, { secret: "wrong" }))) }),
  decline: async (setting) => {
    const query = await request(configure(setting), "decline");
    const { failed } = await step(configure(setting), query);
    return { error: failed && query.error };
  },
});
