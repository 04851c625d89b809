package store

import (
	"context"
	"errors"
	"fmt"

	"convoy"
	"convoy/internal/seal"
)

// column is one whose values are secret. An empty value, and the document of a
// value that is empty, stay as they are.
type column struct {
	table, name string
	// empty is the document of no secret; "" where values are plain text.
	empty string
}

// The columns that hold secrets; [sealedTables] lists them by table.
var (
	endpointSecrets     = column{"endpoints", "secrets", "null"}
	endpointAuth        = column{"endpoints", "authentication", emptyDocument(convoy.Authentication{})}
	endpointCertificate = column{"endpoints", "client_certificate", emptyDocument(convoy.ClientCertificate{})}
	// Who knows such a URL can post to the channel.
	endpointSlack  = column{"endpoints", "slack_webhook_url", ""}
	endpointTeams  = column{"endpoints", "teams_webhook_url", ""}
	sourceVerifier = column{"sources", "verifier", emptyDocument(convoy.Verifier{})}
	sourceBroker   = column{"sources", "pub_sub", "null"}
	// projectMeta is a field of a document that is otherwise in the clear.
	projectMeta  = column{"projects", "config.meta_event.secret", ""}
	noticeTarget = column{"notices", "target", ""}
	userTOTP     = column{"users", "totp_secret", ""}
)

func emptyDocument(v any) string {
	text, err := document(v)
	if err != nil {
		panic(err) // of a type of ours
	}
	return text
}

func (c column) at(row string) seal.Place {
	return seal.Place{Table: c.table, Column: c.name, Row: row}
}

var (
	errNoKeys = errors.New("this command has no keys to seal or open secrets with")
	errClear  = errors.New("the value is sealed, and encryption.mode is plaintext")
)

// seal returns what is stored of a value.
func (v Secrets) seal(c column, row, value string) (string, error) {
	switch {
	case value == "" || value == c.empty:
		return value, nil
	case v.ring != nil:
		return v.ring.Keyset().Seal(c.at(row), value)
	case !v.clear:
		return "", fmt.Errorf("%s.%s of %s: %w", c.table, c.name, row, errNoKeys)
	case seal.IsSealed(value): // would be taken for what it is not
		return "", convoy.E(convoy.Invalid, "a secret cannot begin like sealed text")
	}
	return value, nil
}

// sealDocument returns what is stored of a value that is kept as JSON.
func (v Secrets) sealDocument(c column, row string, value any) (string, error) {
	text, err := document(value)
	if err != nil {
		return "", err
	}
	return v.seal(c, row, text)
}

// opener opens the sealed values of one read from the database. What is in the
// clear it takes as it is: such rows are older than the keys.
type opener struct {
	secrets Secrets
	// unknown is the key of a value that was sealed with one the store does not
	// know yet.
	unknown seal.KeyID
}

func (o *opener) open(c column, row, text string) (string, error) {
	switch {
	case !seal.IsSealed(text):
		return text, nil
	case o.secrets.clear:
		return "", fmt.Errorf("%s.%s of %s: %w", c.table, c.name, row, errClear)
	case o.secrets.ring == nil:
		return "", fmt.Errorf("%s.%s of %s: %w", c.table, c.name, row, errNoKeys)
	}
	value, err := o.secrets.ring.Keyset().Open(c.at(row), text)
	if errors.Is(err, seal.ErrUnknownKey) {
		o.unknown, _ = seal.SealedWith(text)
	}
	return value, err
}

// openDocument opens a value that is JSON; one that does not open is null.
func (o *opener) openDocument(c column, row, text string) (string, error) {
	text, err := o.open(c, row, text)
	if err != nil {
		return "null", err
	}
	return text, nil
}

// opened runs a read that opens sealed values, and once more when it has met a key
// that another process has made. The keyset is read between the two: while rows
// are read there may be no connection left to read it with.
func opened[T any](ctx context.Context, s *Store, read func(o *opener) (T, error)) (T, error) {
	o := &opener{secrets: s.secrets}
	v, err := read(o)
	if o.unknown == 0 {
		return v, err
	}
	known, reading := s.secrets.ring.Find(ctx, o.unknown)
	if reading != nil {
		var none T
		return none, fmt.Errorf("keys: %w", reading)
	}
	if !known {
		return v, err
	}
	return read(&opener{secrets: s.secrets})
}
