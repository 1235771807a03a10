// Plays the cases with golang.org/x/oauth2. It talks to the test in lines of JSON; see ../python/talk.py.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/oauth2"
)

type setting struct {
	Case           string `json:"case"`
	Issuer         string `json:"issuer"`
	ClientID       string `json:"client_id"`
	ClientSecret   string `json:"client_secret"`
	PublicClientID string `json:"public_client_id"`
	RedirectURI    string `json:"redirect_uri"`
	Scope          string `json:"scope"`
}

type result map[string]any

var input = bufio.NewScanner(os.Stdin)

// read is false at the end of the input.
func read(into any) bool {
	if !input.Scan() {
		return false
	}
	if err := json.Unmarshal(input.Bytes(), into); err != nil {
		panic(err)
	}
	return true
}

func tell(message any) {
	if err := json.NewEncoder(os.Stdout).Encode(message); err != nil {
		panic(err)
	}
}

// askPerson sends the person somewhere (open, decline or device) and returns the query they came back with.
func askPerson(action string, where any) url.Values {
	tell(result{action: where})
	var answer struct{ Callback string }
	if !read(&answer) {
		panic("nobody came back")
	}
	callback, err := url.Parse(answer.Callback)
	if err != nil {
		panic(err)
	}
	return callback.Query()
}

func (s setting) config(style oauth2.AuthStyle) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     s.ClientID,
		ClientSecret: s.ClientSecret,
		RedirectURL:  s.RedirectURI,
		Scopes:       []string{s.Scope},
		Endpoint: oauth2.Endpoint{
			AuthURL:       s.Issuer + "/oauth/authorize",
			TokenURL:      s.Issuer + "/api/v1/oauth/token",
			DeviceAuthURL: s.Issuer + "/api/v1/oauth/device_authorization",
			AuthStyle:     style,
		},
	}
}

func code(config *oauth2.Config, action string, options ...oauth2.AuthCodeOption) url.Values {
	state := oauth2.GenerateVerifier()
	query := askPerson(action, config.AuthCodeURL(state, options...))
	if query.Get("state") != state {
		panic("another state came back")
	}
	return query
}

func told(token *oauth2.Token) result {
	return result{"token": token.AccessToken, "scope": token.Extra("scope")}
}

func exchange(config *oauth2.Config, code string, options ...oauth2.AuthCodeOption) (result, error) {
	token, err := config.Exchange(context.Background(), code, options...)
	if err != nil {
		return nil, err
	}
	return told(token), nil
}

func must(found result, err error) result {
	if err != nil {
		panic(err)
	}
	return found
}

func errorOf(_ result, err error) string {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		panic(fmt.Sprint("no refusal: ", err))
	}
	return refused.ErrorCode
}

func linked(config *oauth2.Config) result {
	return must(exchange(config, code(config, "open").Get("code")))
}

func post(s setting, endpoint, token string, into any) int {
	body := strings.NewReader(url.Values{"token": {token}}.Encode())
	request, err := http.NewRequest("POST", s.Issuer+"/api/v1/oauth/"+endpoint, body)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(s.ClientID), url.QueryEscape(s.ClientSecret))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		panic(err)
	}
	return answer.StatusCode
}

var cases = map[string]func(setting) result{
	"code_basic": func(s setting) result { return linked(s.config(oauth2.AuthStyleInHeader)) },
	"code_post":  func(s setting) result { return linked(s.config(oauth2.AuthStyleInParams)) },
	"code_auto":  func(s setting) result { return linked(s.config(oauth2.AuthStyleAutoDetect)) },
	"public_pkce": func(s setting) result {
		config := s.config(oauth2.AuthStyleInParams)
		config.ClientID, config.ClientSecret = s.PublicClientID, ""
		verifier := oauth2.GenerateVerifier()
		query := code(config, "open", oauth2.S256ChallengeOption(verifier))
		return must(exchange(config, query.Get("code"), oauth2.VerifierOption(verifier)))
	},
	"public_pkce_basic": func(s setting) result {
		config := s.config(oauth2.AuthStyleAutoDetect)
		config.ClientID, config.ClientSecret = s.PublicClientID, ""
		verifier := oauth2.GenerateVerifier()
		query := code(config, "open", oauth2.S256ChallengeOption(verifier))
		return must(exchange(config, query.Get("code"), oauth2.VerifierOption(verifier)))
	},
	"wrong_secret": func(s setting) result {
		config := s.config(oauth2.AuthStyleInHeader)
		config.ClientSecret = "wrong"
		return result{"error": errorOf(exchange(config, code(config, "open").Get("code")))}
	},
	"replay": func(s setting) result {
		config := s.config(oauth2.AuthStyleInHeader)
		given := code(config, "open").Get("code")
		found := must(exchange(config, given))
		found["error"] = errorOf(exchange(config, given))
		return found
	},
	"decline": func(s setting) result {
		return result{"error": code(s.config(oauth2.AuthStyleInHeader), "decline").Get("error")}
	},
	"revoke": func(s setting) result {
		found := linked(s.config(oauth2.AuthStyleInHeader))
		found["status"] = post(s, "revoke", found["token"].(string), &struct{}{})
		return found
	},
	"introspect": func(s setting) result {
		found := linked(s.config(oauth2.AuthStyleInHeader))
		var answer struct {
			Active   bool   `json:"active"`
			ClientID string `json:"client_id"`
		}
		post(s, "introspect", found["token"].(string), &answer)
		found["active"], found["client_id"] = answer.Active, answer.ClientID
		return found
	},
	"device": func(s setting) result {
		config := s.config(oauth2.AuthStyleInHeader)
		started, err := config.DeviceAuth(context.Background())
		if err != nil {
			panic(err)
		}
		askPerson("device", result{"user_code": started.UserCode, "verification_uri_complete": started.VerificationURIComplete})
		token, err := config.DeviceAccessToken(context.Background(), started)
		if err != nil {
			panic(err)
		}
		return told(token)
	},
}

func main() {
	for {
		var s setting
		if !read(&s) {
			return
		}
		tell(result{"result": cases[s.Case](s)})
	}
}
