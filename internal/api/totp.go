package api

import (
	"context"
	"net/http"
)

func (a *api) totpRoutes(r *registrar) {
	const all = "/ui/users/{userID}/totp"
	handle(r, operation{
		id: "EnrolTOTP", access: hasSession, method: http.MethodPost, path: all, tag: tagAccount, summary: "Begin to set a second factor up",
		status: http.StatusCreated, message: "Two-factor authentication begun: confirm it with a code",
	}, a.enrolTOTP)
	handle(r, operation{
		id: "ConfirmTOTP", access: hasSession, method: http.MethodPost, path: all + "/confirm", tag: tagAccount,
		summary: "Switch the second factor on, and get the recovery codes",
		status:  http.StatusOK, message: "Two-factor authentication is on",
	}, a.confirmTOTP)
	handle(r, operation{
		id: "DisableTOTP", access: hasSession, method: http.MethodPost, path: all + "/disable", tag: tagAccount, summary: "Switch the second factor off",
		status: http.StatusOK, message: "Two-factor authentication is off",
	}, a.disableTOTP)
}

type confirmedRequest struct {
	Password string `json:"password" maxLength:"128" doc:"Your password"`
}

type confirmedInput struct {
	UserPath
	Payload payload[confirmedRequest]
}

// password reads and checks the form of a password that confirms something.
func (in *confirmedInput) password() (string, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return "", err
	}
	var found problems
	found.required("password", req.Password, maxPassword, "please provide your password")
	return req.Password, found.err()
}

// enrolmentView is a second factor as an app takes it. It is shown once.
type enrolmentView struct {
	Secret string `json:"secret" doc:"In base 32"`
	URL    string `json:"url" doc:"otpauth://…, to be shown as a QR code"`
}

func (a *api) enrolTOTP(ctx context.Context, in *confirmedInput) (enrolmentView, error) {
	password, err := in.password()
	if err != nil {
		return enrolmentView{}, err
	}
	e, err := a.SignIn.Enrol(ctx, in.user(), password, exchangeOf(ctx).visit.Visit)
	return enrolmentView{e.Secret, e.URL}, err
}

type codeRequest struct {
	Code string `json:"code" maxLength:"32" doc:"What the app shows now"`
}

type codeInput struct {
	UserPath
	Payload payload[codeRequest]
}

// recoveryView has what signs in once each in the place of a code.
type recoveryView struct {
	Codes []string `json:"recovery_codes"`
}

func (a *api) confirmTOTP(ctx context.Context, in *codeInput) (recoveryView, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return recoveryView{}, err
	}
	var found problems
	found.required("code", req.Code, maxCode, "please provide the code")
	if err := found.err(); err != nil {
		return recoveryView{}, err
	}
	codes, err := a.SignIn.Confirm(ctx, in.user(), req.Code, exchangeOf(ctx).visit.Visit)
	return recoveryView{codes}, err
}

func (a *api) disableTOTP(ctx context.Context, in *confirmedInput) (none, error) {
	password, err := in.password()
	if err != nil {
		return nil, err
	}
	return nil, a.SignIn.Disable(ctx, in.user(), password, exchangeOf(ctx).visit.Visit)
}
