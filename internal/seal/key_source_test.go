package seal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"convoy/internal/seal"
)

func write(t *testing.T, mode os.FileMode, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func TestSourceReadsTheKey(t *testing.T) {
	t.Parallel()
	key := seal.NewKey()
	path := write(t, 0o600, key.Reveal()+"\n")
	for name, s := range map[string]seal.Source{
		"text":      {Text: key.Reveal()},
		"file":      {File: path},
		"read-only": {File: write(t, 0o400, key.Reveal())},
		"command":   {Command: "cat " + path, Timeout: time.Minute},
	} {
		if got, err := s.Key(t.Context()); err != nil || got != key {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSourceRefuses(t *testing.T) {
	t.Parallel()
	text := seal.NewKey().Reveal()
	for name, c := range map[string]struct {
		source seal.Source
		want   string
	}{
		"nothing":         {seal.Source{}, "no encryption key"},
		"two":             {seal.Source{Text: text, File: "x"}, "more than one"},
		"short":           {seal.Source{Text: "c2hvcnQ="}, "encryption.key: want 32 bytes"},
		"no base64":       {seal.Source{Text: strings.Repeat("!", 44)}, "encryption.key: want 32 bytes"},
		"no file":         {seal.Source{File: filepath.Join(t.TempDir(), "none")}, "encryption.key_file: "},
		"directory":       {seal.Source{File: t.TempDir()}, "is not a file"},
		"group reads":     {seal.Source{File: write(t, 0o640, text)}, "has mode 0640"},
		"all read":        {seal.Source{File: write(t, 0o604, text)}, "has mode 0604"},
		"empty file":      {seal.Source{File: write(t, 0o600, "")}, "encryption.key_file: want 32 bytes"},
		"long file":       {seal.Source{File: write(t, 0o600, text+strings.Repeat("x", 300))}, "encryption.key_file: want 32 bytes"},
		"blank command":   {seal.Source{Command: " "}, "encryption.key_command: names no program"},
		"no program":      {seal.Source{Command: "/nowhere/key", Timeout: time.Minute}, "encryption.key_command: "},
		"command fails":   {seal.Source{Command: "false", Timeout: time.Minute}, "encryption.key_command: exit status 1"},
		"prints nothing":  {seal.Source{Command: "true", Timeout: time.Minute}, "encryption.key_command: want 32 bytes"},
		"prints for ever": {seal.Source{Command: "yes", Timeout: time.Minute}, "printed more than 256 bytes"},
		"hangs":           {seal.Source{Command: "tail -f /dev/null", Timeout: 50 * time.Millisecond}, "did not end within 50ms"},
	} {
		_, err := c.source.Key(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := (seal.Source{}).Key(t.Context()); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("nothing set: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (seal.Source{Command: "yes", Timeout: time.Minute}).Key(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestEnsureFile has processes start at once on a new directory.
func TestEnsureFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "encryption.key")
	keys := make([]seal.Key, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			err := seal.EnsureFile(path)
			if err == nil {
				keys[i], err = seal.Source{File: path}.Key(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] || k == (seal.Key{}) {
			t.Fatal("processes have different keys")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
}
