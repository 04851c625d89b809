package storetest

import (
	"errors"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// session stores one whose tokens are "access <id>" and "refresh <id>".
func (f *Fixture) session(t *testing.T, user convoy.UserID) *convoy.Session {
	t.Helper()
	v := &convoy.Session{
		ID: convoy.SessionID(f.ID(f.Now)), UserID: user, Method: convoy.ByPassword, IP: "192.0.2.1", UserAgent: "agent",
		CreatedAt: f.Now, UsedAt: f.Now, ExpiresAt: f.Now.Add(24 * time.Hour),
	}
	ok(t, f.S.CreateSession(t.Context(), v, f.tokens(string(v.ID), f.Now)))
	return v
}

func (f *Fixture) tokens(name string, now time.Time) store.SessionTokens {
	return store.SessionTokens{
		Access: token("access " + name), AccessExpires: now.Add(30 * time.Minute),
		Refresh: token("refresh " + name), RefreshExpires: now.Add(24 * time.Hour),
	}
}

func (f *Fixture) rotation(refresh, salt string, now time.Time) store.Rotation {
	return store.Rotation{
		Refresh: token("refresh " + refresh), Salt: salt, Grace: 10 * time.Second, Now: now,
		Issue: func(_ *convoy.Session, salt string) (store.SessionTokens, bool) {
			return f.tokens(salt, now), salt != "none"
		},
	}
}

func sessions(t *testing.T, f *Fixture) {
	ctx := t.Context()
	u, v := f.user(), f.user()
	ok(t, f.S.CreateUser(ctx, u))
	a, b, other := f.session(t, u.ID), f.session(t, u.ID), f.session(t, v.ID)
	list, err := f.S.Sessions(ctx, u.ID, f.Now)
	ok(t, err)
	same(t, list, []*convoy.Session{b, a})
	list, err = f.S.Sessions(ctx, u.ID, f.Now.Add(24*time.Hour))
	ok(t, err)
	same(t, list, []*convoy.Session{})
	access, err := f.S.AccessByHash(ctx, token("access "+string(a.ID)))
	ok(t, err)
	same(t, access, store.Access{Session: a.ID, User: u.ID, ExpiresAt: f.Now.Add(30 * time.Minute)})
	_, err = f.S.AccessByHash(ctx, token("refresh "+string(a.ID)))
	refused(t, err, convoy.NotFound, "session not found")

	refused(t, f.S.EndSession(ctx, v.ID, a.ID), convoy.NotFound, "session not found")
	ok(t, f.S.EndSession(ctx, u.ID, a.ID))
	refused(t, f.S.EndSession(ctx, u.ID, a.ID), convoy.NotFound, "session not found")
	_, err = f.S.AccessByHash(ctx, token("access "+string(a.ID)))
	refused(t, err, convoy.NotFound, "session not found")
	_, _, err = f.S.RotateSession(ctx, f.rotation(string(a.ID), "1", f.Now))
	refused(t, err, convoy.NotFound, "session not found")
	c := f.session(t, u.ID)
	ok(t, f.S.SetPassword(ctx, u.ID, "another", c.ID, f.Now)) // ends the others
	list, err = f.S.Sessions(ctx, u.ID, f.Now)
	ok(t, err)
	same(t, list, []*convoy.Session{c})

	if n, err := f.S.ForgetSessions(ctx, f.Now, 10); err != nil || n != 0 {
		t.Fatalf("forgot %d sessions that go on: %v", n, err)
	}
	if n, err := f.S.ForgetSessions(ctx, f.Now.Add(24*time.Hour), 10); err != nil || n != 2 {
		t.Fatalf("forgot %d sessions: %v", n, err)
	}
	_, err = f.S.AccessByHash(ctx, token("access "+string(other.ID)))
	refused(t, err, convoy.NotFound, "session not found")
}

func sessionRotation(t *testing.T, f *Fixture) {
	ctx := t.Context()
	u := f.user()
	ok(t, f.S.CreateUser(ctx, u))
	v := f.session(t, u.ID)
	at := f.Now.Add(time.Hour)

	_, _, err := f.S.RotateSession(ctx, f.rotation(string(v.ID), "none", at)) // the issuer refuses
	refused(t, err, convoy.NotFound, "session not found")
	// Two that come together get the same.
	var salts [8]string
	for _, err := range together(len(salts), func(i int) (err error) {
		_, salts[i], err = f.S.RotateSession(ctx, f.rotation(string(v.ID), "next "+string(rune('a'+i)), at))
		return err
	}) {
		ok(t, err)
	}
	for _, s := range salts {
		if s != salts[0] || s == "" {
			t.Fatalf("one token has several successors: %q", salts)
		}
	}
	got, salt, err := f.S.RotateSession(ctx, f.rotation(string(v.ID), "late", at.Add(10*time.Second)))
	ok(t, err)
	v.UsedAt, v.ExpiresAt = at, at.Add(24*time.Hour)
	same(t, got, v)
	if salt != salts[0] {
		t.Fatalf("within the grace the salt is %q, want %q", salt, salts[0])
	}
	_, err = f.S.AccessByHash(ctx, token("access "+salt))
	ok(t, err)
	_, err = f.S.AccessByHash(ctx, token("access "+string(v.ID))) // it has expired meanwhile
	refused(t, err, convoy.NotFound, "session not found")

	// Used again later, it ends the session with all that followed.
	_, _, err = f.S.RotateSession(ctx, f.rotation(string(v.ID), "thief", at.Add(11*time.Second)))
	refused(t, err, convoy.NotFound, "session not found")
	if !errors.Is(err, store.ErrTokenReused) {
		t.Fatalf("reuse is %v", err)
	}
	_, err = f.S.AccessByHash(ctx, token("access "+salt))
	refused(t, err, convoy.NotFound, "session not found")
	_, _, err = f.S.RotateSession(ctx, f.rotation(salt, "more", at))
	refused(t, err, convoy.NotFound, "session not found")

	old := f.session(t, u.ID)
	_, _, err = f.S.RotateSession(ctx, f.rotation(string(old.ID), "x", f.Now.Add(24*time.Hour)))
	refused(t, err, convoy.NotFound, "session not found")
	if errors.Is(err, store.ErrTokenReused) {
		t.Fatal("an expired token is not a reused one")
	}
}
