package api

import (
	"context"
	"time"

	"convoy/internal/signin"
)

const (
	ssoPath = "/ui/auth/sso"
	// ssoCookie keeps a sign-in at the provider to the browser that began it.
	ssoCookie = "convoy_sso"
	// maxGrant bounds what a provider sends a browser back with, in characters.
	maxGrant = 4096
)

type ssoBegunView struct {
	RedirectURL string `json:"redirectUrl" doc:"Send the browser there. It comes back to the page of auth.oidc.redirect_url with code and state"`
}

func (a *api) beginSSO(ctx context.Context, _ *emptyInput) (ssoBegunView, error) {
	url, cookie, life, err := a.SignIn.BeginOIDC(ctx)
	if err != nil {
		return ssoBegunView{}, err
	}
	exchangeOf(ctx).cookie(ssoCookie, cookie, life)
	return ssoBegunView{url}, nil
}

type ssoRequest struct {
	Code  string `json:"code" maxLength:"4096" doc:"As the provider sent it"`
	State string `json:"state" maxLength:"128" doc:"As the provider sent it"`
}

type finishInput struct{ Payload payload[ssoRequest] }

// finishSSO signs in whoever has the cookie. The page that asks for it is one of
// ours: the cookie goes to no other.
func (a *api) finishSSO(ctx context.Context, in *finishInput) (signedInView, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return signedInView{}, err
	}
	var found problems
	found.required("code", req.Code, maxGrant, "please provide the code")
	found.required("state", req.State, maxToken, "please provide the state")
	if err := found.err(); err != nil {
		return signedInView{}, err
	}
	x := exchangeOf(ctx)
	u, t, err := a.SignIn.FinishOIDC(ctx, signin.Return{Cookie: x.visit.sso, Code: req.Code, State: req.State}, x.visit.Visit)
	if err == nil {
		x.cookie(ssoCookie, "", -time.Second)
	}
	return a.welcome(ctx, u, t, err)
}
