package config

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/posflag"
	"github.com/spf13/pflag"
)

// Role is what a process is for.
type Role string

// The roles. RoleTool is every command that does one thing and ends.
const (
	RoleServer     Role = "server"
	RoleAgent      Role = "agent"
	RoleWorker     Role = "worker"
	RoleScheduler  Role = "scheduler"
	RoleStandalone Role = "standalone"
	RoleTool       Role = "tool"
)

const fileFlag = "config"

// Flags registers on fs the flags of a role. Their values are read, and
// checked, by [Load].
func Flags(fs *pflag.FlagSet, role Role) {
	fs.String(fileFlag, "", "JSON file with settings (default "+DefaultFile+", if there is one)")
	for _, s := range settings {
		if !s.flagFor(role) {
			continue
		}
		def := s.fallback(role)
		f := fs.VarPF(&flagValue{text: def, kind: s.flagKind()}, s.flag, "", s.doc)
		if s.typ.Kind() == reflect.Bool {
			f.NoOptDefVal = "true"
		}
		if s.secret {
			f.DefValue = ""
		}
	}
}

func (s *setting) flagFor(role Role) bool {
	return s.flag != "" && (s.roles == nil || slices.Contains(s.roles, role))
}

// flagKind is the word that stands for the value in the help text.
func (s *setting) flagKind() string {
	switch {
	case s.typ.Kind() == reflect.Slice:
		return "list"
	case s.typ.Kind() == reflect.Bool:
		return "bool"
	case s.typ.Kind() == reflect.String:
		return "text"
	case s.seconds:
		return "seconds"
	default:
		return "number"
	}
}

// flagValue keeps a flag as it was written, so that a bad value is reported by
// [Load] together with all other problems. It is a [pflag.Value].
type flagValue struct {
	text   string   // the default, then the last value given
	values []string // every value given
	kind   string
}

func (v *flagValue) String() string { return v.text }
func (v *flagValue) Type() string   { return v.kind }

func (v *flagValue) Set(text string) error {
	v.values = append(v.values, text)
	v.text = text
	return nil
}

// written joins what was given, in the spelling of the environment. A list may
// be given in several flags.
func (v *flagValue) written(s *setting) string {
	switch {
	case s.typ == reflect.TypeFor[[]Replica]():
		replicas := make([]Replica, 0, len(v.values))
		for _, dsn := range v.values {
			if dsn != "" {
				replicas = append(replicas, Replica{DSN: dsn})
			}
		}
		text, err := json.Marshal(replicas)
		if err != nil {
			panic("config: a slice of strings is always JSON: " + err.Error())
		}
		return string(text)
	case s.typ.Kind() == reflect.Slice:
		return strings.Join(v.values, ",")
	default:
		return v.text
	}
}

// flags is the layer of the flags that were given.
func (l *loader) flags(fs *pflag.FlagSet) *posflag.Posflag {
	byFlag := make(map[string]*setting)
	for i := range settings {
		if s := &settings[i]; s.flagFor(l.role) {
			byFlag[s.flag] = s
		}
	}
	return posflag.ProviderWithFlag(fs, delim, nil, func(f *pflag.Flag) (string, any) {
		s := byFlag[f.Name]
		written, ok := f.Value.(*flagValue)
		if s == nil || !ok || !f.Changed {
			return "", nil
		}
		v, ok := l.take(s, "--"+f.Name, written.written(s))
		if !ok {
			return "", nil
		}
		return s.key, v
	})
}
