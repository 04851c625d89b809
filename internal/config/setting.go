package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setting is one leaf of [Config] with what its tags say.
type setting struct {
	section    string // key of the section it is in, empty at the top
	key        string // dotted path in the file
	env        string
	flag       string
	roles      []Role // of the flag; nil is all
	def        string
	standalone string // default in that role, if it differs
	oneof      []string
	min, max   string
	seconds    bool
	secret     bool
	doc        string
	typ        reflect.Type
	index      []int // path for reflect.Value.FieldByIndex
}

// section is a struct inside [Config], or its top with an empty key.
type section struct{ key, doc string }

// settings and sections are in the order of the fields of [Config].
var settings, sections = describe()

// byKey and byEnv find a setting by its name in the file and in the environment.
var (
	byKey = indexBy(func(s *setting) string { return s.key })
	byEnv = indexBy(func(s *setting) string { return s.env })
)

func indexBy(name func(*setting) string) map[string]*setting {
	m := make(map[string]*setting, len(settings))
	for i := range settings {
		m[name(&settings[i])] = &settings[i]
	}
	return m
}

func describe() ([]setting, []section) {
	var leaves []setting
	subs := []section{{}}
	var walk func(t reflect.Type, prefix string, index []int)
	walk = func(t reflect.Type, prefix string, index []int) {
		for i := range t.NumField() {
			f := t.Field(i)
			path := append(slices.Clone(index), i)
			key := f.Tag.Get("json")
			if prefix != "" {
				key = prefix + "." + key
			}
			if f.Type.Kind() == reflect.Struct {
				subs = append(subs, section{key: key, doc: f.Tag.Get("doc")})
				walk(f.Type, key, path)
				continue
			}
			leaves = append(leaves, leaf(f, prefix, key, path))
		}
	}
	walk(reflect.TypeFor[Config](), "", nil)
	return leaves, subs
}

func leaf(f reflect.StructField, prefix, key string, index []int) setting {
	s := setting{
		section: prefix, key: key, index: index, typ: f.Type,
		env: f.Tag.Get("env"), flag: f.Tag.Get("flag"),
		def: f.Tag.Get("default"), standalone: f.Tag.Get("standalone"),
		min: f.Tag.Get("min"), max: f.Tag.Get("max"),
		seconds: f.Tag.Get("unit") == "seconds",
		secret:  f.Tag.Get("secret") == "true",
		doc:     f.Tag.Get("doc"),
	}
	if v, ok := f.Tag.Lookup("oneof"); ok {
		s.oneof = strings.Split(v, "|")
	}
	if v, ok := f.Tag.Lookup("roles"); ok {
		for r := range strings.SplitSeq(v, ",") {
			s.roles = append(s.roles, Role(r))
		}
	}
	return s
}

// fallback returns the default in the spelling of the environment.
func (s *setting) fallback(r Role) string {
	if r == RoleStandalone && s.standalone != "" {
		return s.standalone
	}
	return s.def
}

// errValue says that a value is not one the setting allows. Its text is not
// shown: what is allowed is said by [setting.allowed].
var errValue = errors.New("value not allowed")

// parseText reads a value as the environment and the flags spell it. The
// result is what koanf is given: string, int64, bool, [time.Duration],
// []string, or []any of maps with a dsn.
func (s *setting) parseText(text string) (any, error) {
	switch s.typ {
	case reflect.TypeFor[time.Duration]():
		return s.duration(text)
	case reflect.TypeFor[[]Replica]():
		return parseReplicas(text)
	case reflect.TypeFor[[]string](), reflect.TypeFor[[]netip.Prefix]():
		var items []string
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return s.list(items)
	}
	switch s.typ.Kind() {
	case reflect.String:
		return s.text(text)
	case reflect.Bool:
		return strconv.ParseBool(text)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, errValue
		}
		return s.integer(n)
	default:
		panic(fmt.Sprintf("config: setting %s has the unknown type %s", s.key, s.typ))
	}
}

// parseJSON reads a value as decoded from the file. A string is read as the
// environment would spell it.
func (s *setting) parseJSON(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return s.parseText(v)
	case bool:
		if s.typ.Kind() == reflect.Bool {
			return v, nil
		}
	case float64:
		// Numbers up to 2^53 are exact in a float64, and no setting allows more.
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return nil, errValue
		}
		if s.typ == reflect.TypeFor[time.Duration]() {
			return s.duration(strconv.FormatInt(int64(v), 10))
		}
		if k := s.typ.Kind(); k == reflect.Int || k == reflect.Int64 {
			return s.integer(int64(v))
		}
	case []any:
		return s.parseArray(v)
	}
	return nil, errValue
}

func (s *setting) parseArray(v []any) (any, error) {
	if s.typ == reflect.TypeFor[[]Replica]() {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, errValue
		}
		return parseReplicas(string(text))
	}
	if s.typ.Kind() != reflect.Slice {
		return nil, errValue
	}
	items := make([]string, len(v))
	for i, e := range v {
		text, ok := e.(string)
		if !ok {
			return nil, errValue
		}
		items[i] = text
	}
	return s.list(items)
}

func (s *setting) text(text string) (any, error) {
	if s.oneof != nil && !slices.Contains(s.oneof, text) {
		return nil, errValue
	}
	return text, nil
}

func (s *setting) integer(n int64) (any, error) {
	if low, err := strconv.ParseInt(s.min, 10, 64); err == nil && n < low {
		return nil, errValue
	}
	if high, err := strconv.ParseInt(s.max, 10, 64); err == nil && n > high {
		return nil, errValue
	}
	return n, nil
}

func (s *setting) duration(text string) (any, error) {
	if _, err := strconv.ParseUint(text, 10, 64); err == nil && s.seconds {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, errValue
	}
	if low, err := time.ParseDuration(s.min); err == nil && d < low {
		return nil, errValue
	}
	if high, err := time.ParseDuration(s.max); err == nil && d > high {
		return nil, errValue
	}
	return d, nil
}

func (s *setting) list(items []string) (any, error) {
	out := make([]string, 0, len(items))
	for _, item := range items {
		if s.typ == reflect.TypeFor[[]netip.Prefix]() {
			p, err := parsePrefix(item)
			if err != nil {
				return nil, errValue
			}
			item = p.String()
		}
		if s.oneof != nil && !slices.Contains(s.oneof, item) {
			return nil, errValue
		}
		out = append(out, item)
	}
	return out, nil
}

// parsePrefix reads a network, or an address as the network of itself alone.
func parsePrefix(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, errValue
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// parseReplicas reads a JSON array of objects that hold a dsn and nothing else.
func parseReplicas(text string) (any, error) {
	if text == "" {
		return []any{}, nil
	}
	var replicas []Replica
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&replicas); err != nil {
		return nil, errValue
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errValue
	}
	out := make([]any, len(replicas))
	for i, r := range replicas {
		if !validDSN(r.DSN) {
			return nil, errValue
		}
		out[i] = map[string]any{"dsn": r.DSN}
	}
	return out, nil
}

// allowed says which values the setting takes.
func (s *setting) allowed() string {
	switch s.typ {
	case reflect.TypeFor[time.Duration]():
		kind := `a duration such as "30s"`
		if s.seconds {
			kind += " or a number of seconds"
		}
		return kind + s.bounds()
	case reflect.TypeFor[[]Replica]():
		return `a JSON array of objects like {"dsn": "postgres://…"}`
	case reflect.TypeFor[[]netip.Prefix]():
		return "a list of networks such as 10.0.0.0/8, or of addresses"
	case reflect.TypeFor[[]string]():
		if s.oneof != nil {
			return "a list of " + strings.Join(s.oneof, ", ")
		}
		return "a list of text"
	}
	switch {
	case s.oneof != nil:
		named := slices.DeleteFunc(slices.Clone(s.oneof), func(v string) bool { return v == "" })
		if len(named) < len(s.oneof) {
			named = append(named, "empty for automatic")
		}
		return strings.Join(named[:len(named)-1], ", ") + " or " + named[len(named)-1]
	case s.typ.Kind() == reflect.Bool:
		return "true or false"
	case s.typ.Kind() == reflect.String:
		return "text"
	default:
		return "a whole number" + s.bounds()
	}
}

func (s *setting) bounds() string {
	switch {
	case s.min != "" && s.max != "":
		return fmt.Sprintf(", from %s to %s", s.min, s.max)
	case s.min != "":
		return ", at least " + s.min
	default:
		return ""
	}
}

// show renders a value that was refused: short, on one line, and never a secret.
func (s *setting) show(v any) string {
	if s.secret {
		return "a secret that is not shown"
	}
	if text, ok := v.(string); ok {
		return fmt.Sprintf("%.80q", text)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("a %T", v)
	}
	const most = 80
	if len(text) > most {
		return strings.ToValidUTF8(string(text[:most]), "") + "…"
	}
	return string(text)
}
