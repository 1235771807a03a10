//! Plays the cases with the `oauth2` crate. It talks to the test in lines of JSON; see ../../python/talk.py.
//! Revocation is missing: the crate refuses to send it over plain HTTP, which the tests speak on the loopback interface.

use oauth2::basic::{BasicClient, BasicErrorResponseType, BasicTokenResponse};
use oauth2::{
    url::Url, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    DeviceAuthorizationUrl, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IntrospectionUrl, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, StandardDeviceAuthorizationResponse,
    TokenIntrospectionResponse, TokenResponse, TokenUrl,
};
use serde_json::{json, Value};
use std::collections::HashMap;
use std::io::{stdin, stdout, Write};
use ureq::Agent;

type Client = BasicClient<EndpointSet, EndpointSet, EndpointSet, EndpointNotSet, EndpointSet>;

struct Player {
    setting: Value,
    http: Agent,
}

/// Nothing at the end of the input.
fn read() -> Option<Value> {
    let mut line = String::new();
    let length = stdin().read_line(&mut line).expect("a line");
    (length > 0).then(|| serde_json::from_str(&line).expect("JSON"))
}

fn tell(message: Value) {
    println!("{message}");
    stdout().flush().expect("an open stdout");
}

/// Sends the person somewhere (open, decline or device); the query they came back with.
fn ask_person(action: &str, place: Value) -> HashMap<String, String> {
    tell(json!({ action: place }));
    match read().expect("an answer")["callback"].as_str() {
        Some(callback) if !callback.is_empty() => {
            Url::parse(callback).expect("a URL").query_pairs().into_owned().collect()
        }
        _ => HashMap::new(),
    }
}

impl Player {
    /// What the crate asks for, sent as it is: no redirect is followed, an error is an answer.
    fn send(&self, request: HttpRequest) -> Result<HttpResponse, ureq::Error> {
        let (head, mut body) = self.http.run(request)?.into_parts();
        Ok(HttpResponse::from_parts(head, body.read_to_vec()?))
    }

    fn text(&self, name: &str) -> String {
        self.setting[name].as_str().expect("a text").to_string()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.text("issuer"))
    }

    fn client(&self, id: &str) -> Client {
        BasicClient::new(ClientId::new(self.text(id)))
            .set_auth_uri(AuthUrl::new(self.url("/oauth/authorize")).expect("a URL"))
            .set_token_uri(TokenUrl::new(self.url("/api/v1/oauth/token")).expect("a URL"))
            .set_introspection_url(
                IntrospectionUrl::new(self.url("/api/v1/oauth/introspect")).expect("a URL"),
            )
            .set_device_authorization_url(
                DeviceAuthorizationUrl::new(self.url("/api/v1/oauth/device_authorization"))
                    .expect("a URL"),
            )
            .set_redirect_uri(RedirectUrl::new(self.text("redirect_uri")).expect("a URL"))
    }

    fn confidential(&self) -> Client {
        self.client("client_id").set_client_secret(ClientSecret::new(self.text("client_secret")))
    }

    /// Asks for consent with PKCE; the query of the callback, and the verifier.
    fn ask(&self, client: &Client, action: &str) -> (HashMap<String, String>, PkceCodeVerifier) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state) = client
            .authorize_url(CsrfToken::new_random)
            .add_scope(Scope::new(self.text("scope")))
            .set_pkce_challenge(challenge)
            .url();
        let query = ask_person(action, json!(url.as_str()));
        assert_eq!(query.get("state"), Some(state.secret()));
        (query, verifier)
    }

    /// Swaps a code for a key, or tells the server's error.
    fn exchange(
        &self,
        client: &Client,
        code: &str,
        verifier: &str,
    ) -> Result<BasicTokenResponse, BasicErrorResponseType> {
        client
            .exchange_code(AuthorizationCode::new(code.to_string()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_string()))
            .request(&|request| self.send(request))
            .map_err(|error| match error {
                RequestTokenError::ServerResponse(refusal) => refusal.error().clone(),
                other => panic!("{other:?}"),
            })
    }

    fn linked(&self, client: &Client) -> Result<BasicTokenResponse, BasicErrorResponseType> {
        let (query, verifier) = self.ask(client, "open");
        self.exchange(client, &query["code"], verifier.secret())
    }

    fn play(&self, case: &str) -> Value {
        match case {
            "code_basic" => told(&self.linked(&self.confidential()).expect("a key")),
            "code_post" => {
                let client = self.confidential().set_auth_type(AuthType::RequestBody);
                told(&self.linked(&client).expect("a key"))
            }
            "public_pkce" => told(&self.linked(&self.client("public_client_id")).expect("a key")),
            "wrong_secret" => {
                let secret = ClientSecret::new("wrong".to_string());
                let client = self.client("client_id").set_client_secret(secret);
                json!({ "error": self.linked(&client).expect_err("a refusal").as_ref() })
            }
            "replay" => {
                let client = self.confidential();
                let (query, verifier) = self.ask(&client, "open");
                let first = self.exchange(&client, &query["code"], verifier.secret()).expect("a key");
                let second = self.exchange(&client, &query["code"], verifier.secret());
                with(told(&first), "error", json!(second.expect_err("a refusal").as_ref()))
            }
            "decline" => json!({ "error": self.ask(&self.confidential(), "decline").0["error"] }),
            "introspect" => {
                let client = self.confidential();
                let token = self.linked(&client).expect("a key");
                let found = client
                    .introspect(token.access_token())
                    .request(&|request| self.send(request))
                    .expect("an introspection");
                let id = found.client_id().map(|id| id.as_str());
                with(with(told(&token), "active", json!(found.active())), "client_id", json!(id))
            }
            "device" => self.device(),
            other => panic!("no case {other}"),
        }
    }

    fn device(&self) -> Value {
        let client = self.confidential();
        let started: StandardDeviceAuthorizationResponse = client
            .exchange_device_code()
            .add_scope(Scope::new(self.text("scope")))
            .request(&|request| self.send(request))
            .expect("a device code");
        let complete = started.verification_uri_complete().expect("a complete address");
        let place = json!({
            "user_code": started.user_code().secret(),
            "verification_uri_complete": complete.secret(),
        });
        ask_person("device", place);
        let token = client
            .exchange_device_access_token(&started)
            .request(&|request| self.send(request), std::thread::sleep, None)
            .expect("a key");
        told(&token)
    }
}

fn told(token: &BasicTokenResponse) -> Value {
    let scopes: Vec<&str> = token.scopes().into_iter().flatten().map(|scope| scope.as_str()).collect();
    json!({ "token": token.access_token().secret(), "scope": scopes.join(" ") })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn main() {
    let http = Agent::config_builder().max_redirects(0).http_status_as_error(false).build().new_agent();
    while let Some(setting) = read() {
        let player = Player { setting, http: http.clone() };
        tell(json!({ "result": player.play(&player.text("case")) }));
    }
}
