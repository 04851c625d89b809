package seal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// maxKeyText bounds what is read as a key: 44 characters and some white space.
const maxKeyText = 256

// ErrNoKey says that a [Source] names nothing.
var ErrNoKey = errors.New("no encryption key: set one of encryption.key, encryption.key_file and encryption.key_command")

// Source says where the key that wraps the keyset is. Exactly one of Text, File
// and Command is set.
type Source struct {
	Text string
	// File must be readable by nobody but its owner.
	File string
	// Command is a program and its arguments, separated by spaces; no shell reads
	// it. Its output is the key.
	Command string
	// Timeout bounds the command.
	Timeout time.Duration
}

// Key reads the key. Errors name the setting and never hold the key.
func (s Source) Key(ctx context.Context) (Key, error) {
	set := 0
	for _, v := range []string{s.Text, s.File, s.Command} {
		if v != "" {
			set++
		}
	}
	switch {
	case set == 0:
		return Key{}, ErrNoKey
	case set > 1:
		return Key{}, errors.New("more than one of encryption.key, encryption.key_file and encryption.key_command is set")
	}
	setting, text, err := "encryption.key", s.Text, error(nil)
	switch {
	case s.File != "":
		setting = "encryption.key_file"
		text, err = readFile(s.File)
	case s.Command != "":
		setting = "encryption.key_command"
		text, err = s.run(ctx)
	}
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", setting, err)
	}
	key, err := ParseKey(text)
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", setting, err)
	}
	return key, nil
}

func readFile(path string) (text string, err error) {
	f, err := os.Open(path) //nolint:gosec // the operator's choice
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a file", path)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("%s has mode %04o; others than its owner must have no access, as with 0600", path, info.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyText))
	return string(b), err
}

func (s Source) run(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	args := strings.Fields(s.Command)
	if len(args) == 0 {
		return "", errors.New("names no program")
	}
	var out bounded
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the operator's choice
	cmd.Stdout = &out
	cmd.WaitDelay = time.Second // what the command started may keep its output open
	err := cmd.Run()
	switch {
	case out.full:
		return "", fmt.Errorf("printed more than %d bytes", maxKeyText)
	case ctx.Err() != nil:
		return "", fmt.Errorf("did not end within %s: %w", s.Timeout, ctx.Err())
	case err != nil:
		return "", err
	}
	return string(out.b), nil
}

// bounded keeps a key's text and fails on more; the command then dies of its
// closed output.
type bounded struct {
	b    []byte
	full bool
}

func (w *bounded) Write(p []byte) (int, error) {
	if len(w.b)+len(p) > maxKeyText {
		w.full = true
		return 0, io.ErrShortWrite
	}
	w.b = append(w.b, p...)
	return len(p), nil
}

// EnsureFile makes a file with a new key unless there is one. Of processes that
// do so at once, one makes it and all have the same.
func EnsureFile(path string) (err error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(NewKey().Reveal() + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	// A link, because a rename would replace the key of who was first.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make key file: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the name of a new file survive power loss: values sealed with a
// lost key are lost.
func syncDir(path string) (err error) {
	d, err := os.Open(path) //nolint:gosec // the operator's choice
	if err != nil {
		return fmt.Errorf("sync key file: %w", err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync key file: %w", err)
	}
	return nil
}
