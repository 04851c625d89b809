package store_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"convoy/internal/store/sqldb"
	"convoy/internal/testenv"
)

// types says how a column's type in PostgreSQL is spelt in SQLite.
var types = map[string]string{"text": "TEXT", "bigint": "INTEGER", "bytea": "BLOB"}

// TestSchemas checks that both engines have the same tables, columns and
// indexes, and no column that may be NULL.
func TestSchemas(t *testing.T) {
	t.Parallel()
	lite, pg := openSQLite(t), openPostgres(t)
	liteColumns := texts(t, lite, `SELECT m.name || '.' || c.name || ' ' || c.type || CASE WHEN c."notnull" = 0 THEN ' NULL' ELSE '' END
		FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'goose_%' ORDER BY 1`)
	pgColumns := texts(t, pg, `SELECT table_name || '.' || column_name || ' ' || data_type || CASE WHEN is_nullable = 'NO' THEN '' ELSE ' NULL' END
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose_%' AND table_name <> 'schema_lock'
			AND table_name NOT IN (SELECT relname FROM pg_class WHERE relispartition) ORDER BY 1`)
	for i, c := range pgColumns {
		name, typ, _ := strings.Cut(c, " ")
		pgColumns[i] = name + " " + types[typ]
	}
	slices.Sort(liteColumns)
	slices.Sort(pgColumns)
	if len(liteColumns) < 100 || !slices.Equal(liteColumns, pgColumns) {
		t.Errorf("columns differ:\n%s", difference(liteColumns, pgColumns))
	}
	for _, c := range append(liteColumns, pgColumns...) {
		if strings.HasSuffix(c, "NULL") {
			t.Errorf("%s", c)
		}
	}
	liteIndexes := texts(t, lite, `SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL`)
	pgIndexes := texts(t, pg, `SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%\_pkey' AND tablename NOT LIKE 'goose%' AND tablename <> 'schema_lock'
		AND indexname NOT IN (SELECT relname FROM pg_class WHERE relispartition)`)
	slices.Sort(liteIndexes)
	slices.Sort(pgIndexes)
	if len(liteIndexes) < 10 || !slices.Equal(liteIndexes, pgIndexes) {
		t.Errorf("indexes differ:\n%s", difference(liteIndexes, pgIndexes))
	}
	// Every write of a setting is recorded.
	watched := map[string]bool{}
	for _, table := range texts(t, lite, `SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND c.name IN ('project_id', 'organisation_id')`) {
		watched[table] = len(texts(t, lite, `SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = $1 AND name NOT LIKE 'audit\_%' ESCAPE '\'`, table)) == 3
		pgTriggers := texts(t, pg, `SELECT tgname FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal AND tgdeferrable AND tginitdeferred`, table)
		if watched[table] != (len(pgTriggers) == 1) {
			t.Errorf("%s is watched by one engine only: %v", table, pgTriggers)
		}
	}
	for _, table := range []string{"projects", "endpoints", "subscriptions", "sources", "event_types"} {
		if !watched[table] {
			t.Errorf("writes to %s are not recorded", table)
		}
	}
	audited(t, lite, pg)
	// Ids sort by byte: every id column says so, whatever the database's locale.
	loose := texts(t, pg, `SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'
		AND (column_name = 'id' OR column_name LIKE '%\_id') AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`)
	if len(loose) > 0 {
		t.Errorf("ids that sort by locale: %v", loose)
	}
	// Nothing but STRICT tables refuses a text where a number belongs.
	if loose := texts(t, lite, `SELECT name FROM pragma_table_list WHERE strict = 0 AND type = 'table' AND schema = 'main' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%'`); len(loose) > 0 {
		t.Errorf("tables that are not STRICT: %v", loose)
	}
}

func difference(a, b []string) string {
	var out []string
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, "only in SQLite: "+x)
		}
	}
	for _, x := range b {
		if !slices.Contains(a, x) {
			out = append(out, "only in PostgreSQL: "+x)
		}
	}
	return strings.Join(out, "\n")
}

// migrations runs the migrations four times at once and then again.
func migrations(t *testing.T, dbs []sqldb.DB) {
	ctx := t.Context()
	pending, err := sqldb.Migrations(ctx, dbs[0])
	must(t, err)
	if len(pending) == 0 || !pending[0].AppliedAt.IsZero() || pending[0].Version != 1 {
		t.Fatalf("an empty database has %+v", pending)
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		done = map[int64]int{}
	)
	for _, db := range dbs {
		wg.Go(func() {
			applied, err := sqldb.Migrate(ctx, db)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			for _, m := range applied {
				done[m.Version]++
			}
		})
	}
	wg.Wait()
	if len(done) != len(pending) || slices.Max(slices.Collect(maps.Values(done))) != 1 {
		t.Errorf("migrations ran %v times, want each of %d once", done, len(pending))
	}
	again, err := sqldb.Migrate(ctx, dbs[0])
	must(t, err)
	if len(again) > 0 {
		t.Errorf("the second run applied %+v", again)
	}
	status, err := sqldb.Migrations(ctx, dbs[0])
	must(t, err)
	for i, m := range status {
		if m.AppliedAt.IsZero() || m.Version != pending[i].Version {
			t.Errorf("after the migration: %+v", m)
		}
	}
	// The database works afterwards.
	must(t, dbs[0].Write(ctx, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO facts (name, value) VALUES ($1, $2)", "a", "b")
		return err
	}))
	if got := texts(t, dbs[0], "SELECT value FROM facts WHERE name = 'a'"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("facts = %q", got)
	}
}

func TestMigrationsPostgres(t *testing.T) {
	t.Parallel()
	dsn := testenv.PostgresDSN(t)
	dbs := make([]sqldb.DB, 4) // as of four processes
	for i := range dbs {
		db, err := sqldb.OpenPostgres(t.Context(), sqldb.PostgresConfig{URL: dsn, MaxOpen: 2})
		must(t, err)
		t.Cleanup(db.Close)
		dbs[i] = db
	}
	migrations(t, dbs)
}

func TestMigrationsSQLite(t *testing.T) {
	t.Parallel()
	db, err := sqldb.OpenSQLite(t.Context(), sqldb.SQLiteConfig{Path: filepath.Join(t.TempDir(), "convoy.db"), Readers: 2})
	must(t, err)
	t.Cleanup(db.Close)
	migrations(t, []sqldb.DB{db, db, db, db}) // one process owns the file
}

// unaudited are tables whose changes the audit log does not have.
var unaudited = map[string]string{
	"events": "data", "deliveries": "data", "attempts": "data", "payloads": "data", "delivery_payloads": "data", "idempotency_keys": "data",
	"source_refusals": "data", "notices": "data", "alerts": "data", "alert_failures": "data",
	"day_counts": "counts", "day_count_changes": "counts", "search_segments": "the gateway's own", "search_postings": "the gateway's own",
	"search_types": "the gateway's own", "search_late": "the gateway's own", "search_checks": "the gateway's own", "facts": "the gateway's own", "leases": "the gateway's own", "limits": "the gateway's own",
	"settings_revisions": "follow from changes", "settings_changes": "follow from changes", "audit_log": "itself", "audit_actor": "itself",
	"portal_keys": "made each time a link is looked at, for an hour", "session_tokens": "part of sessions", "user_tokens": "sent by mail, for a day",
	"recovery_codes": "hashes that belong to users", "keysets": "wrapped keys: the commands log what they do",
}

// audited checks that every table but those is watched, in both engines, and that no
// column is forgotten.
func audited(t *testing.T, lite, pg sqldb.DB) {
	t.Helper()
	for _, table := range texts(t, lite, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%'`) {
		triggers := strings.Join(texts(t, lite, `SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = $1 AND name LIKE 'audit\_%' ESCAPE '\'`, table), "\n")
		watched := len(texts(t, pg, `SELECT tgname FROM pg_trigger WHERE tgrelid = $1::regclass AND tgname = 'audit_' || $2`, table, table)) == 1
		if unaudited[table] != "" {
			if watched || table != "audit_log" && triggers != "" {
				t.Errorf("%s is in the audit log, the test says it need not be: %s", table, unaudited[table])
			}
			continue
		}
		if !watched || triggers == "" {
			t.Errorf("changes of %s are not in the audit log", table)
		}
		for _, column := range texts(t, lite, `SELECT name FROM pragma_table_info($1)`, table) {
			sealed := slices.Contains(secretColumns[table], column)
			if shown := strings.Contains(triggers, "'"+column+"', NEW."+column) || table == "projects" && column == "config"; shown == sealed {
				t.Errorf("%s.%s: in the audit log %t, secret %t", table, column, shown, sealed)
			}
		}
	}
}

// secretColumns are not shown in the audit log.
var secretColumns = map[string][]string{
	"endpoints": {"secrets", "authentication", "client_certificate", "slack_webhook_url", "teams_webhook_url"},
	"sources":   {"verifier", "pub_sub"}, "users": {"totp_secret", "password_hash"}, "portal_links": {"token"}, "api_keys": {"hash"}, "invitations": {"hash"},
}
