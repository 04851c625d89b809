package api

import (
	"context"
	"net/http"

	"convoy"
	"convoy/internal/signin"
)

const tagSignIn = "Sign-in"

type loginRequest struct {
	Username string `json:"username" maxLength:"254" doc:"The e-mail address"`
	Password string `json:"password" maxLength:"128"`
	Code     string `json:"code,omitempty" maxLength:"32" doc:"The code of the second factor, or a recovery code, where there is one. Without it such a user is answered 401 with the message: two-factor code required"`
}

// tokensView are what a client that keeps no cookies goes on with.
type tokensView struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// signedInView is a user and the tokens of a new session. Cookies have them too.
type signedInView struct {
	UserView
	Token tokensView `json:"token"`
}

func (a *api) signinRoutes(r *registrar) {
	handle(r, operation{
		id: "Login", access: anybody, method: http.MethodPost, path: "/ui/auth/login", tag: tagSignIn, summary: "Sign in",
		status: http.StatusOK, message: "Login successful",
	}, a.login)
	handle(r, operation{
		id: "Register", access: anybody, method: http.MethodPost, path: "/ui/auth/register", tag: tagSignIn, summary: "Sign up",
		status: http.StatusCreated, message: "Registration successful",
	}, a.signUp)
	handle(r, operation{
		id: "RefreshToken", access: anybody, method: http.MethodPost, path: "/ui/auth/token/refresh", tag: tagSignIn, summary: "Exchange a refresh token for new tokens",
		status: http.StatusOK, message: "Token refresh successful",
	}, a.refreshToken)
	handle(r, operation{
		id: "BeginSSO", access: anybody, method: http.MethodGet, path: ssoPath, tag: tagSignIn,
		summary: "Begin to sign in by the OpenID Connect provider", status: http.StatusOK, message: "Single sign-on begun successfully",
	}, a.beginSSO)
	handle(r, operation{
		id: "FinishSSO", access: anybody, method: http.MethodPost, path: ssoPath, tag: tagSignIn,
		summary: "Sign in with what the OpenID Connect provider has sent the browser back with", status: http.StatusOK, message: "Login successful",
	}, a.finishSSO)
	handle(r, operation{
		id: "Logout", access: hasSession, method: http.MethodPost, path: "/ui/auth/logout", tag: tagSignIn, summary: "Sign out",
		status: http.StatusOK, message: "Logout successful",
	}, a.logout)
	handle(r, operation{
		id: "GetAuthConfiguration", access: anybody, method: http.MethodGet, path: "/ui/configuration/auth", tag: tagSignIn, summary: "How one can sign in",
		status: http.StatusOK, message: "Configuration fetched successfully",
	}, a.authConfiguration)
	handle(r, operation{
		id: "ForgotPassword", access: anybody, method: http.MethodPost, path: "/ui/users/forgot-password", tag: tagSignIn, summary: "Ask for a mail to reset a password with",
		status: http.StatusOK, message: "If there is an account with this address, a link to reset its password has been sent there",
	}, a.forgotPassword)
	handle(r, operation{
		id: "ResetPassword", access: anybody, method: http.MethodPost, path: "/ui/users/reset-password", tag: tagSignIn, summary: "Reset a password",
		status: http.StatusOK, message: "Password reset successful",
	}, a.resetPassword)
	handle(r, operation{
		id: "VerifyEmail", access: anybody, method: http.MethodPost, path: "/ui/users/verify_email", tag: tagSignIn, summary: "Verify an e-mail address",
		status: http.StatusOK, message: "Email has been verified successfully",
	}, a.verifyEmail)
	handle(r, operation{
		id: "ResendVerificationEmail", access: signedIn, method: http.MethodPost, path: "/ui/users/resend_verification_email", tag: tagSignIn,
		summary: "Send the mail that verifies your address once more",
		status:  http.StatusOK, message: "Verification email sent successfully",
	}, a.resendVerification)
}

type loginInput struct{ Payload payload[loginRequest] }

func (a *api) login(ctx context.Context, in *loginInput) (signedInView, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return signedInView{}, err
	}
	var found problems
	found.required("username", req.Username, maxEmail, "please provide your username")
	found.required("password", req.Password, maxPassword, "please provide your password")
	found.text("code", req.Code, maxCode)
	if err := found.err(); err != nil {
		return signedInView{}, err
	}
	u, t, err := a.SignIn.SignIn(ctx, signin.Credentials{Email: req.Username, Password: req.Password, Code: req.Code}, exchangeOf(ctx).visit.Visit)
	return a.welcome(ctx, u, t, err)
}

// welcome answers who has just signed in.
func (a *api) welcome(ctx context.Context, u *convoy.User, t signin.Tokens, err error) (signedInView, error) {
	if err != nil {
		return signedInView{}, err
	}
	exchangeOf(ctx).keep(t, a.now())
	return signedInView{viewUser(u), tokensView{t.Access, t.Refresh}}, nil
}

type registerRequest struct {
	FirstName string `json:"first_name" maxLength:"255"`
	LastName  string `json:"last_name" maxLength:"255"`
	Email     string `json:"email" maxLength:"254"`
	Password  string `json:"password" minLength:"12" maxLength:"128"`
	OrgName   string `json:"org_name" maxLength:"255" doc:"The name of the organisation that is made with the account"`
}

type registerInput struct{ Payload payload[registerRequest] }

func (a *api) signUp(ctx context.Context, in *registerInput) (signedInView, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return signedInView{}, err
	}
	var found problems
	found.required("first_name", req.FirstName, maxName, "please provide your first name")
	found.required("last_name", req.LastName, maxName, "please provide your last name")
	found.required("org_name", req.OrgName, maxName, "please provide your organisation name")
	email := found.email("email", req.Email)
	found.newPassword("password", req.Password)
	if err := found.err(); err != nil {
		return signedInView{}, err
	}
	u, t, err := a.SignIn.SignUp(ctx, signin.Newcomer{
		FirstName: req.FirstName, LastName: req.LastName, Email: email, Password: req.Password, Organisation: req.OrgName,
	}, exchangeOf(ctx).visit.Visit)
	return a.welcome(ctx, u, t, err)
}

type refreshRequest struct {
	Access  string `json:"access_token,omitempty" maxLength:"128" doc:"Not looked at"`
	Refresh string `json:"refresh_token,omitempty" maxLength:"128" doc:"Needed unless the cookie has it"`
}

type refreshInput struct{ Payload payload[refreshRequest] }

func (a *api) refreshToken(ctx context.Context, in *refreshInput) (tokensView, error) {
	x := exchangeOf(ctx)
	token := x.visit.refresh
	if !blank(in.Payload.raw) || in.Payload.err != nil {
		req, err := in.Payload.decode()
		if err != nil {
			return tokensView{}, err
		}
		var found problems
		found.text("access_token", req.Access, maxToken)
		found.text("refresh_token", req.Refresh, maxToken)
		if err := found.err(); err != nil {
			return tokensView{}, err
		}
		if req.Refresh != "" {
			token = req.Refresh
		}
	}
	if token == "" {
		return tokensView{}, invalid("refresh_token", "please provide the refresh token")
	}
	_, t, err := a.SignIn.Renew(ctx, token, x.visit.Visit)
	if err != nil {
		if convoy.KindOf(err) == convoy.Unauthorized {
			x.discard()
		}
		return tokensView{}, err
	}
	x.keep(t, a.now())
	return tokensView{t.Access, t.Refresh}, nil
}

// maxToken bounds a token that comes in a body or a query, in characters.
const maxToken = 128

type emptyInput struct{}

func (a *api) logout(ctx context.Context, _ *emptyInput) (none, error) {
	x := exchangeOf(ctx)
	x.discard()
	err := a.SignIn.SignOut(ctx, x.caller.user, x.caller.session)
	if convoy.IsNotFound(err) {
		err = nil // it has just ended in another way
	}
	return nil, err
}

// authConfigurationView says how one can sign in.
type authConfigurationView struct {
	SignUp bool    `json:"is_signup_enabled"`
	SSO    ssoView `json:"sso"`
}

type ssoView struct {
	Enabled bool   `json:"enabled"`
	Name    string `json:"name,omitempty" doc:"What a button may say"`
}

func (a *api) authConfiguration(context.Context, *emptyInput) (authConfigurationView, error) {
	name := a.SignIn.OIDCName()
	return authConfigurationView{SignUp: a.SignIn.Config.SignUp, SSO: ssoView{name != "", name}}, nil
}

type forgotRequest struct {
	Email string `json:"email" maxLength:"254"`
}

type forgotInput struct{ Payload payload[forgotRequest] }

func (a *api) forgotPassword(ctx context.Context, in *forgotInput) (none, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return nil, err
	}
	var found problems
	email := found.email("email", req.Email)
	if err := found.err(); err != nil {
		return nil, err
	}
	a.SignIn.Forgot(ctx, email)
	return nil, nil
}

// TokenQuery is a token that was sent by mail.
type TokenQuery struct {
	Token string `query:"token" doc:"The token of the link in the mail"`
}

type resetRequest struct {
	Password     string `json:"password" minLength:"12" maxLength:"128"`
	Confirmation string `json:"password_confirmation" maxLength:"128" doc:"The same once more"`
}

type resetInput struct {
	TokenQuery
	Payload payload[resetRequest]
}

func (a *api) resetPassword(ctx context.Context, in *resetInput) (none, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return nil, err
	}
	var found problems
	found.newPasswords(req.Password, req.Confirmation)
	if err := found.err(); err != nil {
		return nil, err
	}
	return nil, a.SignIn.Reset(ctx, in.Token, req.Password)
}

// newPasswords checks a new password that was given twice.
func (p *problems) newPasswords(password, again string) {
	p.newPassword("password", password)
	if password != again {
		p.add("password_confirmation", "must be the same as password")
	}
}

type verifyInput struct{ TokenQuery }

func (a *api) verifyEmail(ctx context.Context, in *verifyInput) (none, error) {
	return nil, a.SignIn.Verified(ctx, in.Token)
}

func (a *api) resendVerification(ctx context.Context, _ *emptyInput) (none, error) {
	a.SignIn.Verify(ctx, exchangeOf(ctx).caller.user)
	return nil, nil
}
