package signin

import (
	"context"
	"crypto/subtle"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"convoy"
	"convoy/internal/auth"
)

// Of a second factor (RFC 6238): what all apps know.
const (
	totpPeriod = 30 * time.Second
	// totpSkew is how many steps a clock may be off.
	totpSkew = 1
	// recoveryCodes is how many there are, of 16 characters each.
	recoveryCodes  = 10
	recoveryLength = 16
)

var (
	errNoCode = convoy.E(convoy.Unauthorized, "two-factor code required")
	errCode   = convoy.E(convoy.Unauthorized, "two-factor code invalid")
)

// Enrolment is a second factor as its user's app takes it.
type Enrolment struct {
	// Secret is in base 32; URL has it too, for a picture that is scanned.
	Secret, URL string
}

// Enrol makes a second factor for a user, who confirms it next.
func (d *Desk) Enrol(ctx context.Context, user convoy.UserID, password string, v Visit) (Enrolment, error) {
	u, err := d.confirm(ctx, user, password, v)
	if err != nil {
		return Enrolment{}, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "Convoy", AccountName: u.Email, SecretSize: 20, Period: uint(totpPeriod / time.Second)})
	if err != nil {
		return Enrolment{}, err
	}
	if err := d.Store.PutTOTP(ctx, user, key.Secret(), d.now()); err != nil {
		return Enrolment{}, err
	}
	return Enrolment{Secret: key.Secret(), URL: key.URL()}, nil
}

// Confirm switches a second factor on with its first code, and returns the
// recovery codes, which nobody can see again.
func (d *Desk) Confirm(ctx context.Context, user convoy.UserID, code string, v Visit) ([]string, error) {
	u, err := d.Store.User(ctx, user)
	if err != nil {
		return nil, err
	}
	if u.TOTP.Secret == "" || u.TOTP.On() {
		return nil, convoy.E(convoy.Invalid, "two-factor authentication is not being set up")
	}
	if err := d.throttle.ask(ctx, u.Email, v); err != nil {
		return nil, err
	}
	now := d.now()
	step, ok := stepOf(u.TOTP.Secret, code, now)
	if !ok {
		return nil, d.failed(ctx, u.Email, v, convoy.E(convoy.Invalid, "code:is not the one that the app shows now"))
	}
	codes, hashes := make([]string, recoveryCodes), make([][32]byte, recoveryCodes)
	for i := range codes {
		codes[i] = auth.NewMask()[:recoveryLength]
		hashes[i] = auth.Hash(codes[i])
	}
	u.TOTP.ConfirmedAt, u.TOTP.Step = now, step
	if err := d.Store.ConfirmTOTP(ctx, user, u.TOTP, hashes); err != nil {
		return nil, err
	}
	return codes, nil
}

// Disable switches a second factor off for whoever knows the password.
func (d *Desk) Disable(ctx context.Context, user convoy.UserID, password string, v Visit) error {
	if _, err := d.confirm(ctx, user, password, v); err != nil {
		return err
	}
	return d.Store.RemoveTOTP(ctx, user, d.now())
}

// checkCode takes a code of a user's second factor, or a recovery code, once.
func (d *Desk) checkCode(ctx context.Context, u *convoy.User, code string) error {
	code = strings.TrimSpace(code)
	if code == "" {
		return errNoCode
	}
	var taken bool
	var err error
	if len(code) == recoveryLength {
		taken, err = d.Store.SpendRecoveryCode(ctx, u.ID, auth.Hash(code))
	} else if step, ok := stepOf(u.TOTP.Secret, code, d.now()); ok {
		taken, err = d.Store.SpendTOTP(ctx, u.ID, step)
	}
	if err == nil && !taken {
		err = errCode
	}
	return err
}

// stepOf returns the time step that a code is of.
func stepOf(secret, code string, now time.Time) (int64, bool) {
	current := now.Unix() / int64(totpPeriod/time.Second)
	for step := current - totpSkew; step <= current+totpSkew; step++ {
		want, err := totp.GenerateCodeCustom(secret, time.Unix(step*int64(totpPeriod/time.Second), 0), totp.ValidateOpts{
			Period: uint(totpPeriod / time.Second), Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
		})
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			return step, true
		}
	}
	return 0, false
}
