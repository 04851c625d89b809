package api

import (
	"context"
	"net/http"
	"time"
)

type testOAuth2Input struct {
	ProjectPath
	Payload payload[testOAuth2Request]
}

type testOAuth2Request struct {
	OAuth2 *oauth2Object `json:"oauth2"`
}

// testOAuth2View says whether a configuration got a token.
type testOAuth2View struct {
	Success     bool       `json:"success"`
	AccessToken string     `json:"access_token,omitempty"`
	TokenType   string     `json:"token_type,omitempty"`
	ExpiresAt   *time.Time `json:"expires_at"`
	Error       string     `json:"error,omitempty" doc:"Why there is no token"`
	Message     string     `json:"message,omitempty"`
}

func (v testOAuth2View) outcome() (status int, message string) { //nolint:unparam // an outcome has both
	if v.Success {
		return http.StatusOK, "OAuth2 connection test successful"
	}
	return http.StatusOK, "OAuth2 connection test failed"
}

func (a *api) testOAuth2(ctx context.Context, in *testOAuth2Input) (testOAuth2View, error) {
	var v testOAuth2View
	req, err := in.Payload.decode()
	if err != nil {
		return v, err
	}
	config, err := req.OAuth2.check(a.Guard)
	if err != nil {
		return v, err
	}
	token, err := a.Tokens.Fetch(ctx, config)
	if err != nil {
		if ctx.Err() != nil {
			return v, ctx.Err()
		}
		v.Error = err.Error()
	} else {
		v.Success, v.AccessToken, v.TokenType, v.ExpiresAt = true, token.Value, token.Type, nullTime(token.ExpiresAt)
	}
	_, v.Message = v.outcome()
	return v, nil
}
