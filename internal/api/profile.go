package api

import (
	"context"
	"net/http"
	"time"

	"convoy/internal/signin"
)

const tagAccount = "Account"

func (a *api) profileRoutes(r *registrar) {
	const one = "/ui/users/{userID}"
	handle(r, operation{
		id: "GetProfile", access: signedIn, method: http.MethodGet, path: one + "/profile", tag: tagAccount, summary: "Get your profile",
		status: http.StatusOK, message: "User fetched successfully",
	}, a.profile)
	handle(r, operation{
		id: "UpdateProfile", access: hasSession, method: http.MethodPut, path: one + "/profile", tag: tagAccount, summary: "Update your profile",
		status: http.StatusOK, message: "User updated successfully",
	}, a.updateProfile)
	handle(r, operation{
		id: "UpdatePassword", access: hasSession, method: http.MethodPut, path: one + "/password", tag: tagAccount,
		summary: "Change your password, which ends your other sessions",
		status:  http.StatusOK, message: "Password updated successfully",
	}, a.updatePassword)
}

func (a *api) profile(ctx context.Context, in *UserPath) (UserView, error) {
	u, err := a.Store.User(ctx, in.user())
	if err != nil {
		return UserView{}, err
	}
	return viewUser(u), nil
}

type profileRequest struct {
	FirstName string `json:"first_name" maxLength:"255"`
	LastName  string `json:"last_name" maxLength:"255"`
	Email     string `json:"email" maxLength:"254" doc:"Another one has to be verified again"`
	Password  string `json:"current_password,omitempty" maxLength:"128" doc:"Needed to change the address"`
}

type profileInput struct {
	UserPath
	Payload payload[profileRequest]
}

func (a *api) updateProfile(ctx context.Context, in *profileInput) (UserView, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return UserView{}, err
	}
	var found problems
	found.required("first_name", req.FirstName, maxName, "please provide your first name")
	found.required("last_name", req.LastName, maxName, "please provide your last name")
	email := found.email("email", req.Email)
	found.text("current_password", req.Password, maxPassword)
	if err := found.err(); err != nil {
		return UserView{}, err
	}
	u, err := a.Store.User(ctx, in.user())
	if err != nil {
		return UserView{}, err
	}
	moved := u.Email != email
	if moved { // who can read the mails can reset the password
		if err := a.SignIn.CheckPassword(ctx, u.ID, req.Password, exchangeOf(ctx).visit.Visit); err != nil {
			return UserView{}, err
		}
	}
	u.FirstName, u.LastName, u.Email, u.UpdatedAt = req.FirstName, req.LastName, email, a.now()
	if moved {
		u.EmailVerifiedAt = time.Time{}
	}
	if err := a.Store.UpdateProfile(ctx, u); err != nil {
		return UserView{}, err
	}
	if moved {
		a.SignIn.Verify(ctx, u.ID)
	}
	return viewUser(u), nil
}

type passwordRequest struct {
	Current      string `json:"current_password" maxLength:"128"`
	Password     string `json:"password" minLength:"12" maxLength:"128"`
	Confirmation string `json:"password_confirmation" maxLength:"128" doc:"The new password once more"`
}

type passwordInput struct {
	UserPath
	Payload payload[passwordRequest]
}

func (a *api) updatePassword(ctx context.Context, in *passwordInput) (UserView, error) {
	req, err := in.Payload.decode()
	if err != nil {
		return UserView{}, err
	}
	var found problems
	found.required("current_password", req.Current, maxPassword, "please provide your current password")
	found.newPasswords(req.Password, req.Confirmation)
	if err := found.err(); err != nil {
		return UserView{}, err
	}
	x := exchangeOf(ctx)
	err = a.SignIn.ChangePassword(ctx, in.user(), x.caller.session, signin.NewPassword{Current: req.Current, Password: req.Password}, x.visit.Visit)
	if err != nil {
		return UserView{}, err
	}
	u, err := a.Store.User(ctx, in.user())
	if err != nil {
		return UserView{}, err
	}
	return viewUser(u), nil
}
