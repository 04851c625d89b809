package sign

import (
	"crypto/hmac"
	"hash"
	"net/textproto"
	"slices"
	"strconv"
	"sync"
	"time"

	"convoy"
)

// Signer makes the signature header of one endpoint. It is immutable and safe
// for concurrent use; make one per endpoint and keep it until the endpoint or
// its project's settings change.
type Signer struct {
	name     string
	advanced bool
	versions []version
	// secrets are oldest first and never empty.
	secrets []convoy.Secret
	// states holds *state. Keying an HMAC costs about as much as signing a small
	// body, so keyed ones are reused.
	states sync.Pool
}

type version struct {
	// label is "v1=", "v2=", … by position in the settings.
	label    string
	encoding string
	digest   func() hash.Hash
}

// state is the scratch space of one Header call.
type state struct {
	// macs holds the keyed HMAC of version v and secret s at
	// v*len(secrets)+s, nil until first used.
	macs []hash.Hash
	sum  []byte
	out  []byte
}

// New compiles a signer. Secrets are in the order they were made. The simple
// form uses the last version alone; the advanced one uses every version. Of
// more than [MaxSecrets] secrets only the newest sign; empty ones never do.
// The error is an [convoy.Invalid].
func New(cfg convoy.SignatureConfig, secrets []convoy.Secret, advanced bool) (*Signer, error) {
	if err := Validate(cfg); err != nil {
		return nil, err
	}
	secrets = slices.DeleteFunc(slices.Clone(secrets), func(s convoy.Secret) bool { return s.Value == "" })
	if len(secrets) == 0 {
		return nil, invalid("endpoint has no secret to sign with")
	}
	if n := len(secrets) - MaxSecrets; n > 0 {
		secrets = secrets[n:]
	}
	versions := cfg.Versions
	if len(versions) == 0 {
		versions = []convoy.SignatureVersion{{Hash: "SHA256", Encoding: encodingHex}}
	}
	if !advanced {
		versions = versions[len(versions)-1:]
	}
	s := &Signer{
		name:     textproto.CanonicalMIMEHeaderKey(cfg.Header),
		advanced: advanced,
		versions: make([]version, len(versions)),
		secrets:  secrets,
	}
	for i, v := range versions {
		s.versions[i] = version{
			label:    "v" + strconv.Itoa(i+1) + "=",
			encoding: v.Encoding,
			digest:   digest(v.Hash),
		}
	}
	s.states.New = func() any {
		return &state{macs: make([]hash.Hash, len(s.versions)*len(s.secrets))}
	}
	return s, nil
}

// Header returns the canonical name and the value of the signature header for a
// body sent at the given time. The simple form is one bare digest. The advanced
// form is
//
//	t=<Unix seconds>,v1=<digest>[,v1=<digest>…][,v2=<digest>…]
//
// where a digest covers the seconds, a comma and the body, and vN stands once
// per live secret, oldest first. When every secret has expired the newest still
// signs: an unsigned request could not be told from a forged one.
func (s *Signer) Header(body []byte, now time.Time) (name, value string) {
	st := s.states.Get().(*state)
	if s.advanced {
		st.out = s.appendAdvanced(st.out[:0], st, body, now)
	} else {
		st.out = s.append(st.out[:0], st, digestKey{secret: s.newest(now)}, nil, body)
	}
	value = string(st.out)
	s.states.Put(st)
	return s.name, value
}

func (s *Signer) appendAdvanced(out []byte, st *state, body []byte, now time.Time) []byte {
	out = append(out, "t="...)
	out = strconv.AppendInt(out, now.Unix(), 10)
	out = append(out, ',')
	// What is signed before the body is what stands after "t=".
	prefix := out[len("t="):]
	newest := s.newest(now)
	for v := range s.versions {
		for i := range s.secrets {
			if i != newest && !s.secrets[i].Live(now) {
				continue
			}
			out = append(out, s.versions[v].label...)
			out = s.append(out, st, digestKey{v, i}, prefix, body)
			out = append(out, ',')
		}
	}
	return out[:len(out)-1]
}

// newest is the index of the last live secret, or of the last one when all have
// expired.
func (s *Signer) newest(now time.Time) int {
	for i := len(s.secrets) - 1; i >= 0; i-- {
		if s.secrets[i].Live(now) {
			return i
		}
	}
	return len(s.secrets) - 1
}

// digestKey names one HMAC of a signer by the indices of its parts.
type digestKey struct{ version, secret int }

// append appends the encoded HMAC of prefix and body.
func (s *Signer) append(out []byte, st *state, key digestKey, prefix, body []byte) []byte {
	v := &s.versions[key.version]
	i := key.version*len(s.secrets) + key.secret
	if st.macs[i] == nil {
		st.macs[i] = hmac.New(v.digest, []byte(s.secrets[key.secret].Value))
	}
	mac := st.macs[i]
	mac.Write(prefix)
	mac.Write(body)
	st.sum = mac.Sum(st.sum[:0])
	mac.Reset()
	return appendEncoded(out, st.sum, v.encoding)
}
