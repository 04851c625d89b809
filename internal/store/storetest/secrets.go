package storetest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"convoy"
	"convoy/internal/seal"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

// key wraps the keysets of all databases of a test binary.
var key = seal.NewKey()

// New makes a store on a migrated database as the product does: it seals secrets.
// Stores on one database share its keys.
func New(t testing.TB, db sqldb.DB) *store.Store {
	t.Helper()
	secrets, err := store.Sealed(context.WithoutCancel(t.Context()), db, key)
	ok(t, err)
	return store.New(db, secrets)
}

// sealing opens the database as another process does.
func sealing(t *testing.T, f *Fixture) (*store.Store, store.Secrets) {
	t.Helper()
	secrets, err := store.Sealed(t.Context(), f.DB, key)
	ok(t, err)
	return store.New(f.DB, secrets), secrets
}

// vault is one of everything that has secrets.
type vault struct {
	project  *convoy.Project
	endpoint *convoy.Endpoint
	source   *convoy.Source
	notice   convoy.Notice
	// texts are the secrets.
	texts []string
}

// holdSecrets stores one of everything. All secrets contain a word of their own.
func (f *Fixture) holdSecrets(t *testing.T, s *store.Store) vault {
	t.Helper()
	ctx := t.Context()
	var h vault
	secret := func() string {
		h.texts = append(h.texts, fmt.Sprintf("PLAIN%d", f.next()))
		return h.texts[len(h.texts)-1]
	}
	h.project = f.Project(t)
	h.project.Config.MetaEvent = convoy.MetaEventConfig{Enabled: true, Type: "http", URL: "https://meta.example.com", Secret: secret()}
	ok(t, s.UpdateProject(ctx, h.project))
	h.endpoint = f.Endpoint(t, h.project)
	h.endpoint.Secrets[0].Value, h.endpoint.Secrets[1].Value = secret(), secret()
	h.endpoint.Authentication = convoy.Authentication{
		Type: "basic_auth", Basic: &convoy.BasicAuth{Username: "u", Password: secret()},
		APIKey: &convoy.APIKeyAuth{HeaderName: "X", HeaderValue: secret()},
		OAuth2: &convoy.OAuth2Auth{ClientSecret: secret(), SigningKey: json.RawMessage(`{"d":"` + secret() + `"}`)},
	}
	h.endpoint.ClientCertificate.Key = secret()
	h.endpoint.SlackWebhookURL, h.endpoint.TeamsWebhookURL = "https://hooks.example.com/"+secret(), "https://teams.example.com/"+secret()
	ok(t, s.UpdateEndpoint(ctx, h.endpoint))
	h.source = f.Source(h.project)
	h.source.Verifier = convoy.Verifier{
		Type: convoy.VerifierHMAC, HMAC: &convoy.HMACVerifier{Secret: secret()}, Basic: &convoy.BasicAuth{Password: secret()},
		APIKey: &convoy.APIKeyAuth{HeaderValue: secret()},
	}
	h.source.PubSub.AMQP.Auth.Password = secret()
	h.source.PubSub.Google.ServiceAccount = []byte(secret()) // in base64 then, which is looked for below
	ok(t, s.CreateSource(ctx, h.source))
	h.notice = f.notice(h.project.ID, f.Now)
	h.notice.Target += secret()
	ok(t, s.AddNotices(ctx, []convoy.Notice{h.notice}))
	return h
}

// read fails unless a store reads everything as it was written.
func (h vault) read(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	p, err := s.Project(ctx, h.project.ID)
	ok(t, err)
	same(t, p, h.project)
	e, err := s.Endpoint(ctx, h.project.ID, h.endpoint.ID)
	ok(t, err)
	same(t, e, h.endpoint)
	all, err := s.AllEndpoints(ctx, h.project.ID)
	ok(t, err)
	same(t, all, []*convoy.Endpoint{h.endpoint})
	src, err := s.Source(ctx, h.project.ID, h.source.ID)
	ok(t, err)
	same(t, src, h.source)
	due, err := s.DueNotices(ctx, h.notice.DueAt, 100)
	ok(t, err)
	for _, n := range due {
		if n.ID == h.notice.ID {
			same(t, n, h.notice)
			return
		}
	}
	t.Fatalf("the notice is not among %d", len(due))
}

// visible are the secrets that can be read in the database, whatever column they
// are in.
func (h vault) visible(t *testing.T, f *Fixture) []string {
	t.Helper()
	var all strings.Builder
	for _, table := range []string{"projects", "endpoints", "sources", "notices", "settings_changes", "keysets"} {
		for _, column := range columns(t, f.DB, table) {
			rows, err := f.DB.Query(t.Context(), `SELECT cast(`+column+` AS TEXT) FROM `+table)
			ok(t, err)
			for rows.Next() {
				var text string
				ok(t, rows.Scan(&text))
				all.WriteString(text + "\n")
			}
			ok(t, rows.Err())
			rows.Close()
		}
	}
	var found []string
	for _, secret := range h.texts {
		if s := all.String(); strings.Contains(s, secret) || strings.Contains(s, base64.StdEncoding.EncodeToString([]byte(secret))) {
			found = append(found, secret)
		}
	}
	return found
}

// columns are the names of a table's columns.
// fork: each engine has a catalog of its own.
func columns(t *testing.T, db sqldb.DB, table string) []string {
	t.Helper()
	query := `SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1`
	if db.Dialect() != sqldb.Postgres {
		query = `SELECT name FROM pragma_table_info($1)`
	}
	rows, err := db.Query(t.Context(), query, table)
	ok(t, err)
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		ok(t, rows.Scan(&name))
		names = append(names, name)
	}
	ok(t, rows.Err())
	if len(names) == 0 {
		t.Fatalf("table %s has no columns", table)
	}
	return names
}

func secretsSealed(t *testing.T, f *Fixture) {
	h := f.holdSecrets(t, f.S)
	if found := h.visible(t, f); len(found) > 0 {
		t.Errorf("secrets are in the clear: %v", found)
	}
	h.read(t, f.S)
	again, _ := sealing(t, f)
	h.read(t, again)
	// In the clear they are seen: the search does find.
	c := f.holdSecrets(t, store.New(f.DB, store.InTheClear()))
	if found := c.visible(t, f); len(found) != len(c.texts) {
		t.Errorf("of %v in the clear only %v are found", c.texts, found)
	}
	c.read(t, store.New(f.DB, store.InTheClear()))
	c.read(t, f.S) // rows older than the keys

	e := *h.endpoint
	e.TeamsWebhookURL = "sealed:1:AAAA"
	refused(t, store.New(f.DB, store.InTheClear()).UpdateEndpoint(t.Context(), &e), convoy.Invalid, "a secret cannot begin like sealed text")
	ok(t, f.S.UpdateEndpoint(t.Context(), &e))
	got, err := f.S.Endpoint(t.Context(), h.project.ID, e.ID)
	ok(t, err)
	same(t, got, &e)

	for name, s := range map[string]*store.Store{"without keys": store.New(f.DB, store.Secrets{}), "in the clear": store.New(f.DB, store.InTheClear())} {
		if _, err := s.Endpoint(t.Context(), h.project.ID, h.endpoint.ID); err == nil || !strings.Contains(err.Error(), "endpoints.secrets of "+string(h.endpoint.ID)) {
			t.Errorf("%s: endpoint: %v", name, err)
		}
		if _, err := s.Project(t.Context(), h.project.ID); err == nil || !strings.Contains(err.Error(), "projects.config.meta_event.secret of "+string(h.project.ID)) {
			t.Errorf("%s: project: %v", name, err)
		}
	}
	if err := store.New(f.DB, store.Secrets{}).UpdateEndpoint(t.Context(), h.endpoint); err == nil {
		t.Error("a store without keys has written secrets")
	}
}

// secretsSwapped copies sealed values to where they do not belong.
func secretsSwapped(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	a, b, c := f.Endpoint(t, p), f.Endpoint(t, p), f.Endpoint(t, p)
	src := f.createSource(t, p, func(*convoy.Source) {})
	ok(t, f.DB.Write(ctx, func(tx sqldb.Tx) error {
		// The row of another endpoint, and another column of the own row.
		if _, err := tx.Exec(ctx, `UPDATE endpoints SET secrets = (SELECT secrets FROM endpoints WHERE id = $1) WHERE id = $2`, b.ID, a.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE endpoints SET slack_webhook_url = teams_webhook_url WHERE id = $1`, b.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE sources SET verifier = pub_sub WHERE id = $1`, src.ID)
		return err
	}))
	for e, place := range map[*convoy.Endpoint]string{a: "endpoints.secrets", b: "endpoints.slack_webhook_url"} {
		if _, err := f.S.Endpoint(ctx, p.ID, e.ID); !errors.Is(err, seal.ErrNotOpened) || !strings.Contains(err.Error(), place+" of "+string(e.ID)) {
			t.Errorf("%s: %v", place, err)
		}
	}
	if _, err := f.S.Source(ctx, p.ID, src.ID); !errors.Is(err, seal.ErrNotOpened) || !strings.Contains(err.Error(), "sources.verifier of "+string(src.ID)) {
		t.Errorf("source: %v", err)
	}
	all, err := f.S.AllEndpoints(ctx, p.ID)
	ok(t, err)
	for i, damaged := range []bool{true, true, false} {
		if (all[i].Damaged != nil) != damaged {
			t.Errorf("endpoint %d of the list: damaged %v", i, all[i].Damaged)
		}
	}
	if all[0].Secrets != nil {
		t.Errorf("secrets %v of another endpoint", all[0].Secrets)
	}
	same(t, all[2], c)
	if err := f.S.UpdateEndpoint(ctx, all[0]); !errors.Is(err, seal.ErrNotOpened) {
		t.Errorf("writing what was not read: %v", err)
	}
	sources, err := f.S.AllSources(ctx, p.ID)
	ok(t, err)
	if sources[0].Damaged == nil || sources[0].Verifier != (convoy.Verifier{}) {
		t.Errorf("source of the list: %+v", sources[0])
	}
	if err := f.S.UpdateSource(ctx, sources[0]); !errors.Is(err, seal.ErrNotOpened) {
		t.Errorf("writing what was not read: %v", err)
	}
	ok(t, f.S.RotateKeys(ctx, f.Now))
	var unopened []error
	f.reseal(t, f.S, &unopened)
	if len(unopened) != 3 {
		t.Errorf("unopened %v, want three", unopened)
	}
}

// reseal goes over all rows in small steps and returns what was done.
func (f *Fixture) reseal(t testing.TB, s *store.Store, unopened *[]error) (rows, missed int) {
	t.Helper()
	for at := (store.SealMark{}); ; {
		done, err := s.Reseal(t.Context(), at, 2)
		ok(t, err)
		rows, missed = rows+done.Rows, missed+done.Missed
		*unopened = append(*unopened, done.Unopened...)
		if done.Done {
			return rows, missed
		}
		at = done.Next
	}
}

// counted sums the secrets in the clear, those sealed with a key, and the others.
func counted(t testing.TB, s *store.Store, key seal.KeyID) (clear, with, others int) {
	t.Helper()
	counts, err := s.SecretCounts(t.Context())
	ok(t, err)
	for _, c := range counts {
		clear += c.Clear
		for k, n := range c.Sealed {
			if k == key {
				with += n
			} else {
				others += n
			}
		}
	}
	return clear, with, others
}

// secretsInit seals what was in the clear.
func secretsInit(t *testing.T, f *Fixture) {
	var all []vault
	for range 3 {
		all = append(all, f.holdSecrets(t, store.New(f.DB, store.InTheClear())))
	}
	gone := all[0].endpoint
	ok(t, f.S.DeleteEndpoint(t.Context(), gone.ProjectID, gone.ID, f.Now)) // keeps its secrets
	s, secrets := sealing(t, f)
	const each = 1 + 5 + 2 + 1
	// The fixture's own endpoint is sealed and then written in the clear.
	if clear, with, others := counted(t, s, secrets.PrimaryKey()); clear != 3*each || with+others != 0 {
		t.Fatalf("%d in the clear, %d and %d sealed, want %d in the clear", clear, with, others, 3*each)
	}
	_, before := f.since(t, all[1].project.ID, 0)
	var unopened []error
	if rows, missed := f.reseal(t, s, &unopened); rows != 3*4 || missed != 0 || len(unopened) > 0 {
		t.Fatalf("%d rows sealed, %d missed, %v; want 12", rows, missed, unopened)
	}
	if clear, with, others := counted(t, s, secrets.PrimaryKey()); with != 3*each || clear+others != 0 {
		t.Fatalf("%d sealed, %d in the clear, %d others, want %d sealed", with, clear, others, 3*each)
	}
	if rows, _ := f.reseal(t, s, &unopened); rows != 0 {
		t.Fatalf("again: %d rows written", rows)
	}
	for _, h := range all {
		if found := h.visible(t, f); len(found) > 0 {
			t.Errorf("still in the clear: %v", found)
		}
	}
	for _, h := range all[1:] {
		h.read(t, f.S)
	}
	if rows, _ := f.since(t, all[1].project.ID, before); len(rows) != 3 {
		t.Errorf("changes of settings %v, want those of three rows", rows)
	}
	if _, err := store.New(f.DB, store.InTheClear()).Reseal(t.Context(), store.SealMark{}, 10); convoy.KindOf(err) != convoy.Conflict {
		t.Errorf("without keys: %v", err)
	}
}

// secretsRotate rotates and seals anew while other processes read and write.
func secretsRotate(t *testing.T, f *Fixture) {
	ctx := t.Context()
	h := f.holdSecrets(t, f.S)
	var endpoints []*convoy.Endpoint
	for range 6 {
		endpoints = append(endpoints, f.Endpoint(t, h.project))
	}
	rotating, secrets := sealing(t, f)
	first := secrets.PrimaryKey()
	writer, reader := New(t, f.DB), New(t, f.DB)

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var turns atomic.Int64
	wg.Go(func() { // writes with the old key until it is told of the new one
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			e := endpoints[i%len(endpoints)]
			e.Secrets[1].Value = fmt.Sprintf("turn %d", i)
			if err := writer.UpdateEndpoint(ctx, e); err != nil {
				t.Error(err)
				return
			}
			turns.Add(1)
		}
	})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := reader.AllEndpoints(ctx, h.project.ID); err != nil {
				t.Error(err)
				return
			}
		}
	})
	ok(t, rotating.RotateKeys(ctx, f.Now))
	second := secrets.PrimaryKey()
	if second == first {
		t.Error("the key is the old one")
	}
	var unopened []error
	for range 20 {
		f.reseal(t, rotating, &unopened)
	}
	ok(t, writer.ReloadKeys(ctx))
	for n := turns.Load(); turns.Load() < n+2 && !t.Failed(); { // a write with the old key may be under way
		f.reseal(t, rotating, &unopened)
	}
	close(stop)
	wg.Wait()
	f.reseal(t, rotating, &unopened)
	if clear, with, others := counted(t, rotating, second); clear+others != 0 || with == 0 {
		t.Errorf("%d sealed with the new key, %d in the clear, %d others", with, clear, others)
	}
	if len(unopened) > 0 {
		t.Errorf("did not open: %v", unopened)
	}
	for name, s := range map[string]*store.Store{"reader": reader, "one that has read nothing since": f.S} {
		for _, e := range endpoints { // no write was lost
			got, err := s.Endpoint(ctx, h.project.ID, e.ID)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			same(t, got.Secrets, e.Secrets)
		}
		got, err := s.Source(ctx, h.project.ID, h.source.ID)
		ok(t, err)
		same(t, got, h.source)
	}
	// What transactions read is opened too.
	late := New(t, f.DB)
	ok(t, rotating.RotateKeys(ctx, f.Now))
	f.reseal(t, rotating, &unopened)
	e, err := late.EnsureDynamic(ctx, store.Dynamic{Endpoint: &convoy.Endpoint{ID: "new", ProjectID: h.project.ID, URL: endpoints[2].URL}, Now: f.Now})
	ok(t, err)
	same(t, e, endpoints[2])
}

// secretsRewrap changes the key that wraps the keys.
func secretsRewrap(t *testing.T, f *Fixture) {
	ctx := t.Context()
	h := f.holdSecrets(t, f.S)
	s, secrets := sealing(t, f)
	if _, err := store.Sealed(ctx, f.DB, seal.NewKey()); !errors.Is(err, seal.ErrWrongKey) {
		t.Fatalf("with a wrong key: %v", err)
	}
	next := seal.NewKey()
	ok(t, s.RewrapKeys(ctx, next, f.Now))
	if _, err := store.Sealed(ctx, f.DB, key); !errors.Is(err, seal.ErrWrongKey) {
		t.Fatalf("with the former key: %v", err)
	}
	renewed, err := store.Sealed(ctx, f.DB, next)
	ok(t, err)
	if renewed.PrimaryKey() != secrets.PrimaryKey() {
		t.Error("the keys have changed")
	}
	h.read(t, store.New(f.DB, renewed))
	// A process with the former key goes on.
	if err := f.S.ReloadKeys(ctx); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("read again with the former key: %v", err)
	}
	h.read(t, f.S)
	if err := s.RotateKeys(ctx, f.Now); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("rotated with the former key: %v", err)
	}
	clear := store.New(f.DB, store.InTheClear())
	ok(t, clear.ReloadKeys(ctx))
	for name, err := range map[string]error{"rotate": clear.RotateKeys(ctx, f.Now), "rewrap": clear.RewrapKeys(ctx, next, f.Now)} {
		if convoy.KindOf(err) != convoy.Conflict {
			t.Errorf("%s without keys: %v", name, err)
		}
	}
}

// keysRace has processes start at once on a new database, and rotate at once.
func keysRace(t *testing.T, f *Fixture) {
	ctx := t.Context()
	ok(t, f.DB.Write(ctx, func(tx sqldb.Tx) error { _, err := tx.Exec(ctx, `DELETE FROM keysets`); return err }))
	if has, err := store.HasKeys(ctx, f.DB); has || err != nil {
		t.Fatal(has, err)
	}
	ids, stores := make([]seal.KeyID, 8), make([]*store.Store, 8)
	for _, err := range together(len(ids), func(i int) error {
		secrets, err := store.Sealed(ctx, f.DB, key)
		ids[i], stores[i] = secrets.PrimaryKey(), store.New(f.DB, secrets)
		return err
	}) {
		ok(t, err)
	}
	for _, id := range ids {
		if id != ids[0] || id == 0 {
			t.Fatalf("keys %v", ids)
		}
	}
	done := 0
	for _, err := range together(len(stores), func(i int) error { return stores[i].RotateKeys(ctx, f.Now) }) {
		switch {
		case err == nil:
			done++
		case convoy.KindOf(err) != convoy.Conflict:
			t.Error(err)
		}
	}
	if done == 0 {
		t.Error("nobody has rotated")
	}
	h := f.holdSecrets(t, stores[0])
	for _, s := range stores {
		h.read(t, s)
	}
}
