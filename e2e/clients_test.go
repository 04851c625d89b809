package e2e

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestGeneratedClients makes clients from the document that a server shows,
// compiles them strictly, and uses them: in Go by oapi-codegen, in TypeScript by
// openapi-typescript. Both read OpenAPI 3.1 as it is.
func TestGeneratedClients(t *testing.T) {
	t.Parallel()
	long(t)
	needs(t, "node", "npm")
	s := startStandalone(t)
	receiver := httptest.NewServer(http.HandlerFunc(contractReceiver))
	t.Cleanup(receiver.Close)
	status, document, err := fetch(t.Context(), s.url()+"/openapi.json")
	if err != nil || status != http.StatusOK {
		t.Fatalf("%d, %v", status, err)
	}
	env := append(os.Environ(), "CONVOY_URL="+s.url(), "CONVOY_PROJECT_ID="+s.account.ProjectID, "CONVOY_API_KEY="+s.account.APIKey,
		"RECEIVER="+receiver.URL, "CGO_ENABLED=0", "npm_config_audit=false", "npm_config_fund=false", "npm_config_update_notifier=false")
	for name, steps := range map[string][][]string{
		"go": {
			{"mkdir", "convoy"},
			{"go", "tool", "oapi-codegen", "-generate", "types,client", "-package", "convoy", "-o", "convoy/client.go", "openapi.json"},
			{"go", "vet", "./..."},
			{"go", "run", "."},
		},
		"ts": {
			{"npm", "ci", "--ignore-scripts", "--no-progress"},
			{"npx", "--no-install", "openapi-typescript", "openapi.json", "-o", "schema.d.ts"},
			{"npx", "--no-install", "tsc"},
			{"node", "out/main.js"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "clients", name))); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "openapi.json"), document, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			var last string
			for _, step := range steps {
				cmd := exec.CommandContext(ctx, step[0], step[1:]...)
				cmd.Dir, cmd.Env = dir, env
				start := time.Now()
				out, err := cmd.CombinedOutput()
				if last = string(out); err != nil {
					t.Fatalf("%s: %v\n%.4000s", strings.Join(step, " "), err, last)
				}
				t.Logf("%s: %v", strings.Join(step, " "), time.Since(start).Round(time.Millisecond))
			}
			if last != "delivered "+name+"\n" {
				t.Errorf("the program says %q", last)
			}
		})
	}
}
