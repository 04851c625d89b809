// Package seal encrypts secrets for storage, with envelope encryption: values
// are sealed with a key of a keyset, and the keyset is wrapped with a key that is
// kept outside the database.
//
// It knows keys, keysets and sealed text. It does not store anything, does not
// know which columns hold secrets, and does not protect secrets in memory.
package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// prefix begins sealed text, with the version of its format. No JSON document
// begins like this, so columns of documents can hold both.
const prefix = "sealed:1:"

// keysetContext is the associated data of wrapped keysets: a wrapped keyset and a
// sealed value are never taken for each other.
const keysetContext = "convoy keyset"

var (
	// ErrWrongKey says that a keyset was wrapped with another key, or is damaged.
	ErrWrongKey = errors.New("the encryption key does not open the keyset")
	// ErrUnknownKey says that a value was sealed with a key that is not in the keyset.
	ErrUnknownKey = errors.New("sealed with an unknown key")
	// ErrNotOpened says that a sealed value was changed or belongs elsewhere.
	ErrNotOpened = errors.New("the sealed value does not open: it was changed, or copied from another row or column")
)

// KeySize is the length of a [Key] in bytes.
const KeySize = 32

// Key wraps keysets. Its formatted value never shows its bytes.
type Key struct{ bytes [KeySize]byte }

// NewKey makes a random key.
func NewKey() Key {
	var k Key
	rand.Read(k.bytes[:]) // never fails
	return k
}

// ParseKey reads a key from standard base64; white space around it does not count.
// Its errors do not repeat the text.
func ParseKey(text string) (Key, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != KeySize {
		return Key{}, fmt.Errorf("want %d bytes in base64", KeySize)
	}
	return Key{bytes: [KeySize]byte(raw)}, nil
}

// Reveal returns the key in base64, as [ParseKey] reads it.
func (k Key) Reveal() string { return base64.StdEncoding.EncodeToString(k.bytes[:]) }

// Format keeps the key out of logs and messages, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[key]") }

func (k Key) aead() (tink.AEAD, error) { return subtle.NewAESGCM(k.bytes[:]) }

// KeyID names a key of a keyset.
type KeyID uint32

// Place is where a value is stored. A sealed value opens only at its place.
type Place struct{ Table, Column, Row string }

// context joins the parts with their lengths: no two places have the same.
func (p Place) context() []byte {
	var b []byte
	for _, part := range [...]string{p.Table, p.Column, p.Row} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

// Keyset seals with its newest key and opens with all of its keys. It does not
// change and is safe for concurrent use.
type Keyset struct {
	handle  *keyset.Handle
	aead    tink.AEAD
	primary KeyID
	keys    map[KeyID]bool
}

// NewKeyset makes a keyset with one random key.
func NewKeyset() (*Keyset, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("new keyset: %w", err)
	}
	return fromHandle(h)
}

func fromHandle(h *keyset.Handle) (*Keyset, error) {
	a, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("keyset: %w", err)
	}
	info := h.KeysetInfo()
	s := &Keyset{handle: h, aead: a, primary: KeyID(info.GetPrimaryKeyId()), keys: make(map[KeyID]bool, len(info.GetKeyInfo()))}
	for _, k := range info.GetKeyInfo() {
		s.keys[KeyID(k.GetKeyId())] = true
	}
	return s, nil
}

// Unwrap opens what [Keyset.Wrap] made. Another key is [ErrWrongKey].
func Unwrap(wrapped string, with Key) (*Keyset, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(wrapped)
	if err != nil {
		return nil, ErrWrongKey
	}
	outer, err := with.aead()
	if err != nil {
		return nil, fmt.Errorf("unwrap keyset: %w", err)
	}
	h, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(raw)), outer, []byte(keysetContext))
	if err != nil {
		return nil, ErrWrongKey // the cause tells nothing more
	}
	return fromHandle(h)
}

// Wrap encrypts the keyset for storage.
func (s *Keyset) Wrap(with Key) (string, error) {
	outer, err := with.aead()
	if err != nil {
		return "", fmt.Errorf("wrap keyset: %w", err)
	}
	var b bytes.Buffer
	if err := s.handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&b), outer, []byte(keysetContext)); err != nil {
		return "", fmt.Errorf("wrap keyset: %w", err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// Rotated returns a keyset that also has a new key, and seals with that.
func (s *Keyset) Rotated() (*Keyset, error) {
	m := keyset.NewManagerFromHandle(s.handle)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("rotate keyset: %w", err)
	}
	if err := m.SetPrimary(id); err != nil {
		return nil, fmt.Errorf("rotate keyset: %w", err)
	}
	h, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("rotate keyset: %w", err)
	}
	return fromHandle(h)
}

// Primary is the key that seals.
func (s *Keyset) Primary() KeyID { return s.primary }

// Seal encrypts a value for one place.
func (s *Keyset) Seal(at Place, value string) (string, error) {
	sealed, err := s.aead.Encrypt([]byte(value), at.context())
	if err != nil {
		return "", fmt.Errorf("seal %s.%s of %s: %w", at.Table, at.Column, at.Row, err)
	}
	return prefix + base64.StdEncoding.EncodeToString(sealed), nil
}

// Open decrypts a value of a place. Text that is not sealed is an error, too:
// the caller decides by [SealedWith] what it takes in the clear. Errors name the
// place and never hold the value.
func (s *Keyset) Open(at Place, text string) (string, error) {
	id, raw, err := decode(text)
	if err == nil && !s.keys[id] {
		err = ErrUnknownKey
	}
	if err != nil {
		return "", fmt.Errorf("open %s.%s of %s: %w", at.Table, at.Column, at.Row, err)
	}
	value, err := s.aead.Decrypt(raw, at.context())
	if err != nil {
		return "", fmt.Errorf("open %s.%s of %s: %w", at.Table, at.Column, at.Row, ErrNotOpened)
	}
	return string(value), nil
}

// IsSealed tells sealed text from a value in the clear.
func IsSealed(text string) bool { return strings.HasPrefix(text, prefix) }

// SealedWith returns the key that sealed a value. It is false for a value in the
// clear and for text that is damaged.
func SealedWith(text string) (KeyID, bool) {
	id, _, err := decode(text)
	return id, err == nil
}

// decode splits sealed text. The first byte of what is sealed is the format of
// Tink's key prefix, the next four are the key's id.
func decode(text string) (KeyID, []byte, error) {
	encoded, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return 0, nil, ErrNotOpened
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(raw) < 5 || raw[0] != 1 {
		return 0, nil, ErrNotOpened
	}
	return KeyID(binary.BigEndian.Uint32(raw[1:])), raw, nil
}
