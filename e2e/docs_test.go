package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDocumentedPrograms runs the programs of docs/api.md as their readers would.
func TestDocumentedPrograms(t *testing.T) {
	t.Parallel()
	needs(t, "node", "python3")
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	p := newProcess(t, "standalone", []string{"PATH=" + os.Getenv("PATH")}, "standalone", "--data-dir", dir)
	p.start()
	await(t, 10*time.Second, "the credentials are kept", func() error {
		_, err := os.Stat(filepath.Join(dir, "credentials.json"))
		return err
	})
	a := credentials(t, dir)
	env := append(os.Environ(), "CONVOY_URL="+p.url(), "CONVOY_PROJECT_ID="+a.ProjectID, "CONVOY_API_KEY="+a.APIKey, "GOFLAGS=-mod=mod",
		"PYTHONUNBUFFERED=1") // what a program prints is then written at once, amid what its threads print
	for _, program := range []struct {
		language, file string
		command        []string
	}{
		{"go", "main.go", []string{"go", "run", "main.go"}},
		{"js", "main.mjs", []string{"node", "main.mjs"}},
		{"python", "main.py", []string{"python3", "main.py"}},
	} {
		t.Run(program.language, func(t *testing.T) {
			blocks := regexp.MustCompile("(?s)\n```"+program.language+"\n(.*?)\n```\n").FindAllSubmatch(page, -1)
			if len(blocks) != 1 {
				t.Fatalf("%d programs in docs/api.md", len(blocks))
			}
			place := t.TempDir()
			if err := os.WriteFile(filepath.Join(place, program.file), blocks[0][1], 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, program.command[0], program.command[1:]...)
			cmd.Dir, cmd.Env = place, env
			out, err := cmd.CombinedOutput()
			text := string(out)
			if err != nil || !strings.Contains(text, "published 01") || !strings.Contains(text, "verified {\"amount\":") {
				t.Errorf("%v: %s", err, text)
			}
		})
	}
}
