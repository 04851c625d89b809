package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	jsonparser "github.com/knadh/koanf/parsers/json"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// DefaultFile is read when no file is named and it exists.
const DefaultFile = "./convoy.json"

// maxFile bounds what is read of a file, in bytes; all settings with their
// longest sensible values are a few KB.
const maxFile = 1 << 20

const delim = "."

// Sources are the places settings come from.
type Sources struct {
	Role Role
	// Flags were registered with [Flags] for the same role, and are parsed.
	// May be nil.
	Flags *pflag.FlagSet
	// Env has the form of [os.Environ].
	Env []string
	// File is the file to read, which must exist. The --config flag, when
	// given, replaces it. When neither is there, [DefaultFile] is read if it
	// exists.
	File string
}

// InvalidError lists everything that is wrong with a configuration.
type InvalidError struct{ Problems []string }

func (e *InvalidError) Error() string {
	return "configuration refused:\n  " + strings.Join(e.Problems, "\n  ")
}

// Load reads the configuration of a role: flags over environment over file over
// defaults. A variable of the environment that is empty counts as not set.
//
// Names it does not know and values that are not allowed are refused. The error
// is then an [*InvalidError] with all of them. The warnings are for the log.
func Load(src Sources) (Config, []string, error) {
	name, data, err := src.file()
	if err != nil {
		return Config{}, nil, err
	}
	return load(src, name, data)
}

// file returns the name and contents of the file, or an empty name when there
// is none.
func (src Sources) file() (string, []byte, error) {
	name := src.File
	if src.Flags != nil {
		if f := src.Flags.Lookup(fileFlag); f != nil && f.Changed {
			name = f.Value.String()
			if name == "" {
				return "", nil, errors.New("configuration file: --config names no file")
			}
		}
	}
	optional := name == ""
	if optional {
		name = DefaultFile
	}
	f, err := os.Open(name)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("configuration file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", nil, fmt.Errorf("configuration file: %w", err)
	}
	if len(data) > maxFile {
		return "", nil, fmt.Errorf("configuration file: %s is larger than %d bytes", name, maxFile)
	}
	return name, data, nil
}

// loader gathers what one load finds.
type loader struct {
	role     Role
	given    map[string]string // key of a setting → where its value comes from
	problems []string
	warnings []string
}

func load(src Sources, name string, data []byte) (Config, []string, error) {
	l := &loader{role: src.Role, given: make(map[string]string)}
	k := koanf.New(delim)

	layers := []koanf.Provider{confmap.Provider(l.defaults(), delim)}
	if name != "" {
		layers = append(layers, confmap.Provider(l.file(name, data), delim))
	}
	layers = append(layers, env.Provider(delim, env.Opt{
		EnvironFunc:   func() []string { return src.Env },
		TransformFunc: l.variable,
	}))
	if src.Flags != nil {
		layers = append(layers, l.flags(src.Flags))
	}
	for _, layer := range layers {
		if err := k.Load(layer, nil); err != nil {
			return Config{}, nil, fmt.Errorf("merge configuration: %w", err)
		}
	}

	var c Config
	if err := k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{Tag: "json"}); err != nil {
		return Config{}, nil, fmt.Errorf("decode configuration: %w", err)
	}
	l.check(c)
	if len(l.problems) > 0 {
		return Config{}, l.warnings, &InvalidError{Problems: l.problems}
	}
	return c, l.warnings, nil
}

func (l *loader) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

func (l *loader) warn(format string, args ...any) {
	l.warnings = append(l.warnings, fmt.Sprintf(format, args...))
}

func (l *loader) defaults() map[string]any {
	flat := make(map[string]any, len(settings))
	for _, s := range settings {
		def := s.fallback(l.role)
		v, err := s.parseText(def)
		if err != nil {
			panic(fmt.Sprintf("config: default %q of %s is not allowed", def, s.key))
		}
		flat[s.key] = v
	}
	return flat
}

// take parses a value from source, and notes where it came from or that it was
// refused.
func (l *loader) take(s *setting, source string, v any) (any, bool) {
	parsed, err := s.parseJSON(v)
	if err != nil {
		l.problem("%s (%s): got %s, want %s", s.key, source, s.show(v), s.allowed())
		return nil, false
	}
	l.given[s.key] = source
	return parsed, true
}

// file returns the settings in the file, by key.
func (l *loader) file(name string, data []byte) map[string]any {
	top, err := jsonparser.Parser().Unmarshal(data)
	if err != nil {
		l.problem("%s: %s", name, jsonFault(data, err))
		return nil
	}
	if top == nil {
		l.problem("%s: got null, want an object", name)
		return nil
	}
	flat := make(map[string]any)
	l.object(name, "", top, flat)
	return flat
}

// object adds the settings in one object of the file to flat. It goes down only
// into sections, so a dot in a key never stands for nesting.
func (l *loader) object(file, prefix string, object, flat map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		key, v := name, object[name]
		if prefix != "" {
			key = prefix + delim + name
		}
		switch {
		case strings.Contains(name, delim):
			l.problem("%s: unknown key %q; sections are nested objects", file, key)
		case byKey[key] != nil:
			if parsed, ok := l.take(byKey[key], file, v); ok {
				flat[key] = parsed
			}
		case isSection(key):
			nested, ok := v.(map[string]any)
			if !ok {
				l.problem("%s: %s: want an object", file, key)
				continue
			}
			l.object(file, key, nested, flat)
		default:
			if nested, ok := v.(map[string]any); ok && unsupportedPart(key) {
				l.object(file, key, nested, flat)
				continue
			}
			l.unknownKey(file, key, v)
		}
	}
}

func isSection(key string) bool {
	return slices.ContainsFunc(sections, func(s section) bool { return key != "" && s.key == key })
}

func (l *loader) unknownKey(file, key string, v any) {
	if u := unsupportedKey(key); u != nil {
		l.unsupported(u, fmt.Sprintf("%s: %s", file, key), v)
		return
	}
	known := slices.Collect(maps.Keys(byKey))
	for _, s := range sections {
		known = append(known, s.key)
	}
	l.problem("%s: unknown key %q%s", file, key, suggest(key, known))
}

// jsonFault says where in data a syntax error is.
func jsonFault(data []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return "want a JSON object"
	}
	before := string(data[:min(int(syntax.Offset), len(data))])
	line := strings.Count(before, "\n") + 1
	return fmt.Sprintf("line %d: %s", line, syntax.Error())
}

const envPrefix = "CONVOY_"

// ignoredPrefixes are for programs around this one: its tests and benchmarks.
var ignoredPrefixes = []string{"CONVOY_TEST_", "CONVOY_BENCH_"}

// variable turns a variable of the environment into a key and a value, or an
// empty key when it is not, or not validly, a setting.
func (l *loader) variable(name, text string) (string, any) {
	s := byEnv[name]
	switch {
	case s == nil && !strings.HasPrefix(name, envPrefix), serviceLink(name, text):
		return "", nil
	case s != nil:
		if text == "" {
			return "", nil
		}
		v, ok := l.take(s, name, text)
		if !ok {
			return "", nil
		}
		return s.key, v
	}
	for _, p := range ignoredPrefixes {
		if strings.HasPrefix(name, p) {
			return "", nil
		}
	}
	if u := unsupportedEnv(name); u != nil {
		l.unsupported(u, name, text)
		return "", nil
	}
	if !serviceName.MatchString(name) {
		l.problem("unknown environment variable %s%s", name, suggest(name, slices.Collect(maps.Keys(byEnv))))
	}
	return "", nil
}

// serviceName matches the variables that Kubernetes adds to every container for
// a service whose name begins with "convoy", and which are nobody's settings
// (Kubernetes documentation, "Service", "Environment variables").
var serviceName = regexp.MustCompile(
	`^CONVOY_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)$`)

// serviceLink recognises the one of those variables that may have the name of a
// setting: CONVOY_REDIS_PORT is tcp://10.0.0.1:6379 beside a service convoy-redis.
func serviceLink(name, text string) bool {
	if !strings.HasSuffix(name, "PORT") {
		return false
	}
	scheme, _, found := strings.Cut(text, "://")
	return found && (scheme == "tcp" || scheme == "udp" || scheme == "sctp")
}

// suggest names the known name nearest to an unknown one, if any is near.
func suggest(unknown string, known []string) string {
	best, least := "", 1+max(2, len(unknown)/4)
	slices.Sort(known)
	for _, name := range known {
		if d := distance(unknown, name, least); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance counts the single-byte edits between a and b (Levenshtein), or
// returns limit when there are at least that many.
func distance(a, b string, limit int) int {
	if max(len(a), len(b))-min(len(a), len(b)) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], limit)
}
