package config

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// redacted stands for a secret that is set.
const redacted = "[redacted]"

// Redacted returns the configuration as indented JSON, nested as in the file,
// with every secret that is set replaced.
func (c Config) Redacted() []byte {
	top := make(map[string]any)
	for _, s := range settings {
		at, path := top, strings.Split(s.key, delim)
		for _, name := range path[:len(path)-1] {
			next, ok := at[name].(map[string]any)
			if !ok {
				next = make(map[string]any)
				at[name] = next
			}
			at = next
		}
		at[path[len(path)-1]] = s.redact(s.valueOf(&c))
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(top); err != nil {
		// Only text, numbers, booleans and lists of them are in it.
		panic("config: encode settings: " + err.Error())
	}
	return out.Bytes()
}

// redact returns what is shown of a value, in a form the file accepts.
func (s *setting) redact(v reflect.Value) any {
	if replicas, ok := v.Interface().([]Replica); ok {
		out := make([]Replica, len(replicas))
		for i := range out {
			out[i].DSN = redacted
		}
		return out
	}
	if s.secret && !v.IsZero() {
		return redacted
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return d.String()
	}
	if v.Kind() == reflect.Slice && v.Len() == 0 {
		return []string{}
	}
	return v.Interface()
}
