package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDocument(t *testing.T) {
	t.Parallel()
	const path = "../../docs/configuration.md"
	var want bytes.Buffer
	if err := WriteDoc(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("%s is out of date; run go test ./internal/config -run TestDocument -update\n(-want +got):\n%s", path, diff)
	}
	for _, s := range settings {
		if !strings.Contains(want.String(), "| `"+s.key+"` | `"+s.env+"` |") {
			t.Errorf("%s is not documented", s.key)
		}
	}
}

// Not parallel: the file that is read when none is named is in the working
// directory.
func TestFile(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	host := func(src Sources, args ...string) (string, error) {
		t.Helper()
		src.Role = RoleServer
		src.Flags = pflag.NewFlagSet("test", pflag.ContinueOnError)
		Flags(src.Flags, src.Role)
		if err := src.Flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		c, _, err := Load(src)
		return c.Host, err
	}
	if got, err := host(Sources{}); err != nil || got != "localhost:5005" {
		t.Errorf("without a file: host %q, error %v", got, err)
	}
	write("convoy.json", `{"host": "default.example"}`)
	named := write("other.json", `{"host": "named.example"}`)
	third := write("third.json", `{"host": "flag.example"}`)
	if got, err := host(Sources{}); err != nil || got != "default.example" {
		t.Errorf("default file: host %q, error %v", got, err)
	}
	if got, err := host(Sources{File: named}); err != nil || got != "named.example" {
		t.Errorf("named file: host %q, error %v", got, err)
	}
	if got, err := host(Sources{File: named}, "--config", third); err != nil || got != "flag.example" {
		t.Errorf("--config: host %q, error %v", got, err)
	}
	if _, err := host(Sources{}, "--config", "absent.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: error %v, want one that it does not exist", err)
	}
	if _, err := host(Sources{}, "--config", ""); err == nil {
		t.Error("--config without a name is accepted")
	}
	if _, err := host(Sources{File: filepath.Dir(named)}); err == nil {
		t.Error("a directory is accepted as file")
	}
	big := write("big.json", `{"host": "`+strings.Repeat("a", maxFile)+`"}`)
	if _, err := host(Sources{File: big}); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("oversized file: error %v", err)
	}
	if c, _, err := Load(Sources{Role: RoleServer, File: named}); err != nil || c.Host != "named.example" {
		t.Errorf("without flags: host %q, error %v", c.Host, err)
	}
}

func TestRedactedLoadsBack(t *testing.T) {
	t.Parallel()
	want := given{
		role: RoleStandalone,
		env: []string{
			"CONVOY_DISPATCHER_ALLOW_LIST=10.0.0.0/8", "CONVOY_MAX_RETRY_SECONDS=90", "CONVOY_REDIS_HOST=r",
			"CONVOY_DB_TYPE=sqlite", "CONVOY_DB_OPTIONS=a=b&c=<d>", "CONVOY_DB_PASSWORD=" + redacted,
		},
	}.mustLoad(t)
	got := given{role: RoleStandalone, file: string(want.Redacted())}.mustLoad(t)
	if diff := cmp.Diff(want, got, cmp.Comparer(samePrefix)); diff != "" {
		t.Errorf("not the same configuration (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(want.Redacted()), `"options": "a=b&c=<d>"`) {
		t.Errorf("options are escaped in:\n%s", want.Redacted())
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b        string
		limit, want int
	}{
		{"", "", 9, 0}, {"", "abc", 9, 3}, {"abc", "abc", 9, 0}, {"kitten", "sitting", 9, 3},
		{"abc", "xyz", 2, 2}, {"a", "abcdef", 3, 3}, {"port", "prt", 9, 1},
	} {
		if got := distance(tt.a, tt.b, tt.limit); got != tt.want {
			t.Errorf("distance(%q, %q, %d) = %d, want %d", tt.a, tt.b, tt.limit, got, tt.want)
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"host": "x"}`, `{"server": {"http": {"port": 5005, "shutdown_timeout": "25s"}}}`,
		`{"database": {"read_replicas": [{"dsn": "postgres://x/y"}], "conn_max_lifetime": 5}}`,
		`{"dispatcher": {"allow_list": ["10.0.0.0/8", "::1"], "ping_methods": "GET,HEAD"}}`,
		`{"redis": {"host": "r", "database": "1"}, "queue_provider": "redis", "intake": {"mode": "queued"}}`,
		`{"license_key": "x", "analytics": {"enabled": false}, "auth": {"jwt": {}}, "queue": {"postgres": 1}}`,
		`{"": {"": 1}, "a.b": 2, "server": {"http.port": 1}}`,
		`{"root_path": "/a", "max_response_size": 1e2, "metrics": {"enabled": "true"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := load(Sources{Role: RoleServer}, "convoy.json", data)
		if err != nil {
			var invalid *InvalidError
			if !errors.As(err, &invalid) || len(invalid.Problems) == 0 {
				t.Fatalf("refused without a problem: %v", err)
			}
			return
		}
		for _, s := range settings {
			v := s.valueOf(&c)
			if v.CanInt() && s.max != "" {
				if _, err := s.parseText(fmt.Sprint(v.Interface())); err != nil {
					t.Errorf("%s = %v is outside of what is allowed", s.key, v)
				}
			}
		}
		if c.Database.DSN+c.Database.DirectDSN != "" || len(c.Database.ReadReplicas) > 0 {
			return // redacted, they are no connection strings
		}
		again, _, err := load(Sources{Role: RoleServer}, "convoy.json", c.Redacted())
		if err != nil {
			t.Fatalf("own output refused: %v", err)
		}
		if !bytes.Equal(c.Redacted(), again.Redacted()) {
			t.Errorf("own output reads back differently:\n%s\n%s", c.Redacted(), again.Redacted())
		}
	})
}
