// Package schema checks the data of events against JSON Schemas, and reads the
// schemas of events from OpenAPI documents. It fetches nothing: schemas and
// documents are whole or refused. It knows neither projects nor storage.
package schema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"convoy"
)

const (
	// MaxSize is how long a schema may be, in bytes.
	MaxSize = 64 << 10
	// maxVisits bounds the work of one check: how often any part of the schema
	// is applied to any part of the data. References let a short schema ask for
	// more work than will ever be done.
	maxVisits = 100_000
	// maxNumber is how long a number in checked data may be, in characters.
	// Numbers are compared exactly, which takes long for long ones.
	maxNumber = 128
	// maxFindings is how many of the things wrong with data are told.
	maxFindings = 3
	// maxMessage is how much is told, in bytes.
	maxMessage = 1 << 10
)

// Schema is a compiled schema, safe for concurrent use.
type Schema struct {
	document any
	// machines are compiled copies: each counts its own work.
	machines sync.Pool
}

// machine is one compiled copy of a schema.
type machine struct {
	schema *jsonschema.Schema
	left   int // visits
}

// Compile prepares a schema: draft-07 unless its $schema names another. Its
// errors are of kind convoy.Invalid.
func Compile(text []byte) (*Schema, error) {
	if len(text) > MaxSize {
		return nil, invalid("it must not be longer than %d bytes", MaxSize)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, invalid("%v", err)
	}
	if _, ok := document.(map[string]any); !ok {
		return nil, invalid("it must be an object")
	}
	if name := hugeNumber(document); name != "" {
		return nil, invalid("%s: a number is out of range", name)
	}
	s := &Schema{document: document}
	m, err := s.compile()
	if err != nil {
		return nil, err
	}
	s.machines.Put(m)
	return s, nil
}

func invalid(format string, args ...any) error {
	return convoy.E(convoy.Invalid, "invalid JSON schema: "+printable(fmt.Sprintf(format, args...)))
}

// location is the name of a schema in the compiler, which makes it absolute. It
// is not shown.
const location = "event.json"

func (s *Schema) compile() (*machine, error) {
	m := new(machine)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.UseLoader(noLoader{})
	c.RegisterVocabulary(&jsonschema.Vocabulary{
		URL:     "urn:convoy:budget",
		Compile: func(*jsonschema.CompilerContext, map[string]any) (jsonschema.SchemaExt, error) { return budget{m}, nil },
	})
	c.AssertVocabs()
	err := c.AddResource(location, s.document)
	if err == nil {
		m.schema, err = c.Compile(location)
	}
	if err != nil {
		return nil, invalid("%s", compileError(err))
	}
	return m, nil
}

// noLoader refuses what a schema refers to outside of itself.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references to other documents are not supported")
}

// compileError is the part of an error that is about the schema.
func compileError(err error) string {
	var bad *jsonschema.SchemaValidationError
	if v := (*jsonschema.ValidationError)(nil); errors.As(err, &bad) && errors.As(bad.Err, &v) {
		return findings(v)
	}
	if load := (*jsonschema.LoadURLError)(nil); errors.As(err, &load) {
		return load.Err.Error()
	}
	text := err.Error()
	if i := strings.LastIndex(text, location); i >= 0 { // file:///where/this/runs/event.json#/a
		text = strings.Trim(text[i+len(location):], `#"' :`)
	}
	return text
}

// budget is applied wherever a part of the schema is, and counts.
type budget struct{ m *machine }

var errBudget = errors.New("budget spent")

func (b budget) Validate(*jsonschema.ValidatorContext, any) {
	if b.m.left--; b.m.left < 0 {
		panic(errBudget) // caught in Check
	}
}

// Check returns what is wrong with data, a JSON text; empty for nothing.
func (s *Schema) Check(data []byte) (found string) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return "the data is no JSON"
	}
	if name := hugeNumber(value); name != "" {
		return printable(name + ": the number is out of range")
	}
	m, ok := s.machines.Get().(*machine)
	if !ok {
		if m, err = s.compile(); err != nil {
			return err.Error() // it has been compiled before
		}
	}
	m.left = maxVisits
	defer func() {
		if r := recover(); r != nil {
			if cause, ok := r.(error); !ok || !errors.Is(cause, errBudget) {
				panic(r)
			}
			found = "the data takes too long to check against the schema"
		}
		s.machines.Put(m)
	}()
	if bad := (*jsonschema.ValidationError)(nil); errors.As(m.schema.Validate(value), &bad) {
		return findings(bad)
	}
	return ""
}

var english = message.NewPrinter(language.English)

// findings are the first few causes of an error, each with its place.
func findings(e *jsonschema.ValidationError) string {
	var list []string
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			walk(cause)
		}
		if len(e.Causes) > 0 {
			return
		}
		list = append(list, cmp.Or(pointer(e.InstanceLocation...), "/")+": "+e.ErrorKind.LocalizedString(english))
	}
	walk(e)
	slices.Sort(list) // the order of an object's keys is not fixed
	list = slices.Compact(list)
	if n := len(list) - maxFindings; n > 0 {
		list = append(list[:maxFindings], fmt.Sprintf("and %d more", n))
	}
	return printable(strings.Join(list, "; "))
}

// pointer is a JSON pointer (RFC 6901).
func pointer(keys ...string) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(k))
	}
	return b.String()
}

// hugeNumber finds a number that is costly to compare, and returns its place;
// empty for none.
func hugeNumber(v any) string {
	var at []string
	var find func(v any) bool
	find = func(v any) bool {
		switch v := v.(type) {
		case json.Number:
			return isHuge(v.String())
		case []any:
			for i, item := range v {
				if find(item) {
					at = append(at, strconv.Itoa(i))
					return true
				}
			}
		case map[string]any:
			for k, item := range v {
				if find(item) {
					at = append(at, k)
					return true
				}
			}
		}
		return false
	}
	if !find(v) {
		return ""
	}
	slices.Reverse(at)
	return cmp.Or(pointer(at...), "/")
}

// isHuge reports whether a number is long, or as a double infinite or nearly
// nothing.
func isHuge(number string) bool {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || len(number) > maxNumber {
		return true
	}
	return math.Abs(f) < 1e-300 && strings.ContainsAny(mantissa(number), "123456789")
}

// mantissa is a number without its exponent.
func mantissa(number string) string {
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		return number[:i]
	}
	return number
}

// printable makes text fit for one line and for the store.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
	if len(s) <= maxMessage {
		return s
	}
	cut := maxMessage
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
