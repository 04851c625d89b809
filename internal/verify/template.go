package verify

import (
	"hash"
	"strings"

	"convoy"
)

// maxTemplate and maxTemplateParts bound what every request costs.
const (
	maxTemplate      = 256
	maxTemplateParts = 16
)

// template says which text is signed.
type template struct {
	parts []templatePart
	// timed says that the timestamp is part of it.
	timed bool
}

type templatePart struct {
	kind partKind
	text string // of a literal, or a header's name
}

type partKind uint8

const (
	literalPart partKind = iota
	bodyPart
	timestampPart
	headerPart
)

// CheckTemplate says what is wrong with the text of a template, if anything.
func CheckTemplate(text string) error {
	_, err := parseTemplate(text)
	return err
}

// parseTemplate reads a text with {body}, {timestamp} and {header:Name} in it;
// empty is the body alone.
func parseTemplate(text string) (template, error) {
	if text == "" {
		text = "{body}"
	}
	var t template
	if len(text) > maxTemplate {
		return t, badTemplate("must not be longer than 256 bytes")
	}
	covered := false
	for text != "" {
		literal, rest, found := strings.Cut(text, "{")
		if literal != "" {
			t.parts = append(t.parts, templatePart{literalPart, literal})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return t, badTemplate("has { without }")
		}
		text = after
		header, isHeader := strings.CutPrefix(name, "header:")
		switch {
		case name == "body":
			t.parts, covered = append(t.parts, templatePart{kind: bodyPart}), true
		case name == "timestamp":
			t.parts, t.timed = append(t.parts, templatePart{kind: timestampPart}), true
		case isHeader && header != "":
			t.parts = append(t.parts, templatePart{headerPart, header})
		default:
			return t, badTemplate("may have {body}, {timestamp} and {header:Name} in braces")
		}
	}
	switch {
	case len(t.parts) > maxTemplateParts:
		return t, badTemplate("must not have more than 16 parts")
	case !covered:
		return t, badTemplate("must have {body} in it for the body to be signed")
	}
	return t, nil
}

func badTemplate(text string) error { return convoy.E(convoy.Invalid, "template:"+text) }

// write adds the signed text of a request to h; it is false when a header that
// is part of it is missing.
func (t *template) write(h hash.Hash, r *Request, stamp string) bool {
	for _, p := range t.parts {
		switch p.kind {
		case literalPart:
			h.Write([]byte(p.text))
		case bodyPart:
			h.Write(r.Body)
		case timestampPart:
			h.Write([]byte(stamp))
		case headerPart:
			value := r.Header.Get(p.text)
			if value == "" {
				return false
			}
			h.Write([]byte(value))
		}
	}
	return true
}
