package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"convoy"
)

// decode reads a JSON body leniently: unknown keys are ignored, keys match in
// any case, and null leaves a field as it is. The body must be UTF-8, which
// encoding/json would mend silently.
func decode(raw []byte, v any) error {
	if blank(raw) {
		return errBodyEmpty
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return decodeError(err)
	}
	if !utf8.Valid(raw) {
		return invalidUTF8(raw)
	}
	return nil
}

// decodeError says in words what encoding/json did not like.
func decodeError(err error) error {
	var (
		syntax *json.SyntaxError
		typ    *json.UnmarshalTypeError
		known  *convoy.Error
	)
	switch {
	case errors.As(err, &known):
		return known // a field's own decoder has said it
	case errors.As(err, &syntax):
		if syntax.Error() == "unexpected end of JSON input" {
			return errBodyMalformed
		}
		return convoy.E(convoy.Invalid, fmt.Sprintf("body contains badly-formed JSON (at character %d)", syntax.Offset))
	case errors.As(err, &typ) && typ.Field != "":
		return wrongType(typ.Field)
	case errors.As(err, &typ):
		return convoy.E(convoy.Invalid, fmt.Sprintf("body contains incorrect JSON type (at character %d)", typ.Offset))
	}
	return convoy.Wrap(convoy.Invalid, "body contains badly-formed JSON", err)
}

func wrongType(field string) error {
	return convoy.E(convoy.Invalid, fmt.Sprintf("body contains incorrect JSON type for field %q", field))
}

// invalidUTF8 names the value of a valid JSON text that is not UTF-8, by the keys
// that lead to it as far as they can be shown.
func invalidUTF8(raw []byte) error {
	var path []string
	for view := gjson.ParseBytes(raw); view.IsObject() || view.IsArray(); {
		object, found := view.IsObject(), false
		var inner gjson.Result
		view.ForEach(func(key, value gjson.Result) bool {
			if object && !utf8.ValidString(key.Raw) {
				return false
			}
			if utf8.ValidString(value.Raw) {
				return true
			}
			inner, found = value, !object || badText(key.Str, maxName) == ""
			if object && found {
				path = append(path, key.Str)
			}
			return false
		})
		if !found || len(path) == maxShownPath {
			break
		}
		view = inner
	}
	if len(path) == 0 {
		path = []string{"body"}
	}
	return invalid(strings.Join(path, "."), textUTF8)
}

// maxShownPath bounds the keys that lead to a value in an error.
const maxShownPath = 8

// blank reports whether a body holds nothing but white space.
func blank(raw []byte) bool {
	for _, c := range raw {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
	}
	return true
}
