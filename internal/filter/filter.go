package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"convoy"
)

// Bounds of one scope of a filter. With them, the work of a match grows with the
// document at worst as conditions × depth; [maxWork] bounds that.
const (
	maxBytes      = 64 << 10
	maxConditions = 256
	// maxSegments bounds paths, and so how deep a filter may be.
	maxSegments = 32
	// maxRegexp bounds a pattern, in bytes.
	maxRegexp = 1024
	// maxInstructions bounds all patterns of a scope once they are compiled: a
	// few bytes of pattern can ask for megabytes of program.
	maxInstructions = 4000
)

// Program is a compiled filter. It does not change, and is safe for concurrent
// use.
type Program struct {
	body, headers, query, path []node
}

// Compile reads a filter. Its errors are *convoy.Error of kind Invalid and name
// the scope and the field.
func Compile(f *convoy.Filter) (*Program, error) {
	var p Program
	for _, scope := range []struct {
		name string
		text json.RawMessage
		into *[]node
	}{{"body", f.Body, &p.body}, {"headers", f.Headers, &p.headers}, {"query", f.Query, &p.query}, {"path", f.Path, &p.path}} {
		nodes, err := compileScope(scope.text, scope.name == "headers")
		if err != nil {
			return nil, convoy.E(convoy.Invalid, scope.name+": "+err.Error())
		}
		*scope.into = nodes
	}
	return &p, nil
}

// Conditional reports whether the program asks anything of an event.
func (p *Program) Conditional() bool {
	return len(p.body)+len(p.headers)+len(p.query)+len(p.path) > 0
}

// Match reports whether a document meets every condition. A value of another
// type than a condition asks for does not meet it; nothing is an error. Nor does
// a document meet conditions that would take more than [maxWork] to ask.
func (p *Program) Match(d *Document) bool {
	d.left = maxWork
	d.matches++
	return (len(p.headers) == 0 || d.all(p.headers, d.headerPart())) &&
		(len(p.query) == 0 || d.all(p.query, d.queryPart())) &&
		(len(p.path) == 0 || d.all(p.path, d.pathPart())) &&
		(len(p.body) == 0 || d.all(p.body, d.bodyPart())) &&
		d.left >= 0
}

// node is a condition, or several joined.
type node struct {
	// or, if not nil, holds alternatives: of each, all must be met.
	or [][]node
	// path is a field, its segments joined by dots; operators is what is asked of
	// its value.
	path      string
	operators []operator
}

type compiler struct {
	conditions   int
	instructions int // of the patterns so far
	fold         bool
}

// compileScope reads one scope; fold makes the names of fields lower case.
func compileScope(text json.RawMessage, fold bool) ([]node, error) {
	if s := bytes.TrimSpace(text); len(s) == 0 || string(s) == "null" {
		return nil, nil
	}
	if len(text) > maxBytes {
		return nil, fmt.Errorf("must not be longer than %d bytes", maxBytes)
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("must be valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("must be JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("must be one JSON object")
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("must be a JSON object")
	}
	c := compiler{fold: fold}
	return c.object(object, "")
}

// object compiles the members of an object, which are about the field at path.
func (c *compiler) object(object map[string]any, path string) ([]node, error) {
	var (
		nodes []node
		here  []operator // what is asked of the field itself
	)
	for _, key := range sortedKeys(object) {
		value := object[key]
		switch {
		case key == "$or" || key == "$and":
			n, err := c.join(key, value, path)
			if err != nil {
				return nil, err
			}
			nodes = append(nodes, n...)
		case Operator(key):
			if path == "" {
				return nil, fmt.Errorf("%s must be below a field", key)
			}
			if err := c.count(); err != nil {
				return nil, err
			}
			op, err := c.operator(key, value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			here = append(here, op)
		default:
			n, err := c.field(key, value, path)
			if err != nil {
				return nil, err
			}
			nodes = append(nodes, n...)
		}
	}
	if len(here) > 0 {
		nodes = append(nodes, node{path: path, operators: here})
	}
	return nodes, nil
}

// Operator reports whether a name in a filter is an operator's, known or not;
// "$" and what begins with "$." are fields.
func Operator(name string) bool {
	return strings.HasPrefix(name, "$") && name != "$" && !strings.HasPrefix(name, "$.")
}

// field compiles a member of an object.
func (c *compiler) field(key string, value any, path string) ([]node, error) {
	at := key
	if path != "" {
		at = path + "." + key
	}
	if len(at) > maxBytes {
		return nil, fmt.Errorf("fields must not be deeper than %d", maxSegments)
	}
	if c.fold {
		at = strings.ToLower(at)
	}
	segments := strings.Split(at, ".")
	if last := segments[len(segments)-1]; len(segments) > 1 && len(last) > 1 && last[0] == '$' {
		// An operator at the end of a path, as filters are shown flattened.
		return c.object(map[string]any{last: value}, strings.Join(segments[:len(segments)-1], "."))
	}
	if slices.Contains(segments, "") {
		return nil, fmt.Errorf("%q: names of fields must not be empty", at)
	}
	if len(segments) > maxSegments {
		return nil, fmt.Errorf("fields must not be deeper than %d", maxSegments)
	}
	if object, ok := value.(map[string]any); ok && len(object) > 0 {
		return c.object(object, at)
	}
	if err := c.count(); err != nil {
		return nil, err
	}
	return []node{{path: at, operators: []operator{{kind: opIs, operand: value}}}}, nil
}

// join compiles $or and $and.
func (c *compiler) join(key string, value any, path string) ([]node, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("%s must be an array of filters", key)
	}
	if strings.Count(path, ".") >= maxSegments {
		return nil, fmt.Errorf("fields must not be deeper than %d", maxSegments)
	}
	var (
		both []node
		or   = [][]node{}
	)
	for _, item := range list {
		object, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s must be an array of filters, each a JSON object", key)
		}
		if err := c.count(); err != nil {
			return nil, err
		}
		nodes, err := c.object(object, path)
		if err != nil {
			return nil, err
		}
		both, or = append(both, nodes...), append(or, nodes)
	}
	if key == "$and" {
		return both, nil
	}
	return []node{{or: or}}, nil
}

// pattern compiles a regular expression, and says how many instructions it has.
func (c *compiler) pattern(text string) (*regexp.Regexp, int, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, 0, fmt.Errorf("$regex must be a regular expression (RE2): %w", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, 0, fmt.Errorf("$regex must be a regular expression (RE2): %w", err)
	}
	if c.instructions += len(program.Inst); c.instructions > maxInstructions {
		return nil, 0, fmt.Errorf("$regex is too large: patterns must not compile to more than %d instructions in all", maxInstructions)
	}
	pattern, err := regexp.Compile(text)
	if err != nil {
		return nil, 0, fmt.Errorf("$regex must be a regular expression (RE2): %w", err)
	}
	return pattern, len(program.Inst), nil
}

func (c *compiler) count() error {
	if c.conditions++; c.conditions > maxConditions {
		return fmt.Errorf("must not have more than %d conditions", maxConditions)
	}
	return nil
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// kind is an operator's name.
type kind string

const (
	// opIs is a plain value: equal to it, or an array with an element that is.
	opIs     kind = "is"
	opEq     kind = "$eq"
	opNeq    kind = "$neq"
	opGt     kind = "$gt"
	opGte    kind = "$gte"
	opLt     kind = "$lt"
	opLte    kind = "$lte"
	opIn     kind = "$in"
	opNin    kind = "$nin"
	opRegex  kind = "$regex"
	opExists kind = "$exist"
)

// operator is one thing asked of a value.
type operator struct {
	kind    kind
	operand any
	pattern *regexp.Regexp // of $regex
	members set            // of $in and $nin with an array
	// instructions of the pattern.
	instructions int
}

// cost is what it takes at worst to ask a value.
func (op *operator) cost(v gjson.Result) int {
	n := len(v.Raw)
	switch {
	case v.Type == gjson.JSON:
		return n + perValue*(1+strings.Count(v.Raw, ","))
	case op.kind == opRegex:
		return n * op.instructions * perStep
	}
	return n
}

func (c *compiler) operator(name string, operand any) (operator, error) {
	op := operator{kind: kind(name), operand: operand}
	switch op.kind {
	case opEq, opNeq:
	case opGt, opGte, opLt, opLte:
		if _, ok := operand.(json.Number); !ok {
			return op, fmt.Errorf("%s must be a number", name)
		}
	case opIn, opNin:
		switch operand := operand.(type) {
		case []any:
			op.members = setOf(operand)
		case string:
		default:
			return op, fmt.Errorf("%s must be an array, or a string that an array must have", name)
		}
	case opRegex:
		text, ok := operand.(string)
		if !ok || len(text) > maxRegexp {
			return op, fmt.Errorf("$regex must be a string of at most %d bytes", maxRegexp)
		}
		var err error
		if op.pattern, op.instructions, err = c.pattern(text); err != nil {
			return op, err
		}
	case opExists:
		if _, ok := operand.(bool); !ok {
			return op, fmt.Errorf("$exist must be true or false")
		}
	default:
		return op, fmt.Errorf("unknown operator %s, must be $eq, $neq, $gt, $gte, $lt, $lte, $in, $nin, $regex, $exist, $or or $and", name)
	}
	return op, nil
}
