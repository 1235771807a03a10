// Plays the cases with the Nimbus OAuth 2.0 SDK. It talks to the test in lines of JSON; see ../python/talk.py.

import com.nimbusds.oauth2.sdk.*;
import com.nimbusds.oauth2.sdk.as.AuthorizationServerMetadata;
import com.nimbusds.oauth2.sdk.auth.*;
import com.nimbusds.oauth2.sdk.device.*;
import com.nimbusds.oauth2.sdk.http.HTTPResponse;
import com.nimbusds.oauth2.sdk.id.*;
import com.nimbusds.oauth2.sdk.pkce.*;
import com.nimbusds.oauth2.sdk.token.AccessToken;
import com.nimbusds.oauth2.sdk.util.JSONObjectUtils;
import java.io.*;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.*;
import net.minidev.json.JSONObject;

public final class Interop {
    private static final BufferedReader INPUT =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    private static JSONObject setting;
    private static AuthorizationServerMetadata server;

    private record Answered(AuthorizationCode code, CodeVerifier verifier) {}

    private static final class Refused extends Exception {
        final String code;

        Refused(ErrorObject error) {
            super(error.getDescription());
            code = error.getCode();
        }
    }

    private static void tell(String name, Object value) {
        System.out.println(new JSONObject(Map.of(name, value)).toJSONString());
    }

    private static String text(String name) {
        return (String) setting.get(name);
    }

    private static String askPerson(String action, Object place) throws Exception {
        tell(action, place);
        return (String) JSONObjectUtils.parse(INPUT.readLine()).get("callback");
    }

    private static ClientAuthentication basic(String secret) {
        return new ClientSecretBasic(new ClientID(text("client_id")), new Secret(secret));
    }

    private static AuthorizationRequest.Builder request(String id, State state, CodeVerifier verifier) {
        return new AuthorizationRequest.Builder(new ResponseType("code"), new ClientID(text(id)))
            .endpointURI(server.getAuthorizationEndpointURI())
            .redirectionURI(URI.create(text("redirect_uri")))
            .scope(Scope.parse(text("scope")))
            .state(state)
            .codeChallenge(verifier, CodeChallengeMethod.S256);
    }

    private static Answered answered(String callback, State state, CodeVerifier verifier) throws Exception {
        AuthorizationResponse answer = AuthorizationResponse.parse(URI.create(callback));
        if (!state.equals(answer.getState())) throw new IllegalStateException("another state came back");
        if (!server.getIssuer().equals(answer.getIssuer())) throw new IllegalStateException("another issuer answered");
        if (!answer.indicatesSuccess()) throw new Refused(answer.toErrorResponse().getErrorObject());
        return new Answered(answer.toSuccessResponse().getAuthorizationCode(), verifier);
    }

    private static Answered ask(String id, String action) throws Exception {
        State state = new State();
        CodeVerifier verifier = new CodeVerifier();
        URI url = request(id, state, verifier).build().toURI();
        return answered(askPerson(action, url.toString()), state, verifier);
    }

    private static AccessToken exchange(TokenRequest request) throws Exception {
        TokenResponse answer = TokenResponse.parse(request.toHTTPRequest().send());
        if (!answer.indicatesSuccess()) throw new Refused(answer.toErrorResponse().getErrorObject());
        return answer.toSuccessResponse().getTokens().getAccessToken();
    }

    private static AccessToken exchange(ClientAuthentication client, Answered answered) throws Exception {
        return exchange(new TokenRequest(server.getTokenEndpointURI(), client, grant(answered)));
    }

    private static AuthorizationGrant grant(Answered answered) {
        return new AuthorizationCodeGrant(answered.code, URI.create(text("redirect_uri")), answered.verifier);
    }

    private static JSONObject told(AccessToken token) {
        JSONObject told = new JSONObject();
        told.put("token", token.getValue());
        told.put("scope", token.getScope().toString());
        return told;
    }

    private static JSONObject play(String name) throws Exception {
        ClientAuthentication basic = basic(text("client_secret"));
        switch (name) {
            case "code_basic":
                return told(exchange(basic, ask("client_id", "open")));
            case "code_post":
                Secret secret = new Secret(text("client_secret"));
                return told(exchange(
                    new ClientSecretPost(new ClientID(text("client_id")), secret), ask("client_id", "open")));
            case "public_pkce":
                ClientID id = new ClientID(text("public_client_id"));
                AuthorizationGrant grant = grant(ask("public_client_id", "open"));
                return told(exchange(new TokenRequest(server.getTokenEndpointURI(), id, grant)));
            case "wrong_secret":
                exchange(basic("wrong"), ask("client_id", "open"));
                return new JSONObject();
            case "replay":
                Answered answered = ask("client_id", "open");
                JSONObject first = told(exchange(basic, answered));
                try {
                    exchange(basic, answered);
                } catch (Refused refused) {
                    first.put("error", refused.code);
                }
                return first;
            case "decline":
                ask("client_id", "decline");
                return new JSONObject();
            case "revoke":
                AccessToken revoked = exchange(basic, ask("client_id", "open"));
                HTTPResponse done = new TokenRevocationRequest(server.getRevocationEndpointURI(), basic, revoked)
                    .toHTTPRequest().send();
                JSONObject gone = told(revoked);
                gone.put("status", done.getStatusCode());
                return gone;
            case "introspect":
                AccessToken token = exchange(basic, ask("client_id", "open"));
                TokenIntrospectionSuccessResponse found = TokenIntrospectionResponse.parse(
                    new TokenIntrospectionRequest(server.getIntrospectionEndpointURI(), basic, token)
                        .toHTTPRequest().send()).toSuccessResponse();
                JSONObject known = told(token);
                known.put("active", found.isActive());
                known.put("client_id", found.getClientID().getValue());
                return known;
            case "par":
                return par(basic);
            case "device":
                return device(basic);
            default:
                throw new IllegalArgumentException(name);
        }
    }

    private static JSONObject par(ClientAuthentication basic) throws Exception {
        State state = new State();
        CodeVerifier verifier = new CodeVerifier();
        AuthorizationRequest full = request("client_id", state, verifier).build();
        PushedAuthorizationResponse pushed = PushedAuthorizationResponse.parse(new PushedAuthorizationRequest(
            server.getPushedAuthorizationRequestEndpointURI(), basic, full).toHTTPRequest().send());
        URI url = new AuthorizationRequest.Builder(
            pushed.toSuccessResponse().getRequestURI(), new ClientID(text("client_id")))
            .endpointURI(server.getAuthorizationEndpointURI()).build().toURI();
        return told(exchange(basic, answered(askPerson("open", url.toString()), state, verifier)));
    }

    private static JSONObject device(ClientAuthentication basic) throws Exception {
        DeviceAuthorizationSuccessResponse started = DeviceAuthorizationResponse.parse(
            new DeviceAuthorizationRequest.Builder(basic).endpointURI(server.getDeviceAuthorizationEndpointURI())
                .scope(Scope.parse(text("scope"))).build().toHTTPRequest().send()).toSuccessResponse();
        askPerson("device", new JSONObject(Map.of(
            "user_code", started.getUserCode().getValue(),
            "verification_uri_complete", started.getVerificationURIComplete().toString())));
        AuthorizationGrant grant = new DeviceCodeGrant(started.getDeviceCode());
        return told(exchange(new TokenRequest(server.getTokenEndpointURI(), basic, grant)));
    }

    public static void main(String[] arguments) throws Exception {
        for (String line; (line = INPUT.readLine()) != null; ) {
            setting = JSONObjectUtils.parse(line);
            server = AuthorizationServerMetadata.resolve(new Issuer(text("issuer")));
            try {
                tell("result", play(text("case")));
            } catch (Refused refused) {
                tell("result", new JSONObject(Map.of("error", refused.code)));
            }
        }
    }
}
