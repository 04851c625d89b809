package filter

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Field is a place in an event of which an index asks the values.
type Field struct {
	scope scope
	path  string
}

// Value is a scalar as an index knows it. Scalars that a condition may hold equal
// have the same Value; so do some that are not equal, so that it only says whom to
// ask.
type Value string

// Term says that a field has a value, or an array with an element that has it.
type Term struct {
	Field Field
	Value Value
}

type scope byte

const (
	inBody scope = iota
	inHeaders
	inQuery
	inPath
)

// Bounds of what an index is told.
const (
	// maxTerms bounds a need: one that many values meet tells little.
	maxTerms = 32
	// maxNeeds bounds the needs of a program; those with the fewest terms are kept.
	maxNeeds = 8
	// maxValues bounds the values of a field in an event, elements of arrays counted.
	maxValues = 64
	// maxText bounds what a Value keeps of a text, in bytes.
	maxText = 128
)

// Needs are what an event must have to be matched by at least one of the programs:
// of each need, one of its terms. Nothing matches without, and a need without terms
// is met by nothing. There are no needs when a program may match whatever the event
// has. They are the same whenever they are asked for.
func Needs(programs ...*Program) [][]Term {
	if len(programs) == 1 {
		return programs[0].needs()
	}
	alternatives := make([][][]Term, len(programs))
	for i, p := range programs {
		alternatives[i] = p.needs()
	}
	if need, ok := either(alternatives); ok && len(programs) > 0 {
		return [][]Term{need}
	}
	return nil
}

func (p *Program) needs() [][]Term {
	needs := needsOf(inHeaders, p.headers)
	needs = append(needs, needsOf(inQuery, p.query)...)
	needs = append(needs, needsOf(inPath, p.path)...)
	needs = append(needs, needsOf(inBody, p.body)...)
	slices.SortStableFunc(needs, fewer)
	return needs[:min(len(needs), maxNeeds)]
}

func fewer(a, b []Term) int { return len(a) - len(b) }

// needsOf are the needs of conditions that must all be met.
func needsOf(in scope, nodes []node) (needs [][]Term) {
	for i := range nodes {
		n := &nodes[i]
		if n.or != nil {
			alternatives := make([][][]Term, len(n.or))
			for i, alternative := range n.or {
				alternatives[i] = needsOf(in, alternative)
			}
			if need, ok := either(alternatives); ok {
				needs = append(needs, need)
			}
			continue
		}
		if slices.Contains(strings.Split(n.path, "."), "$") {
			continue // an array may have more than are worth looking up
		}
		for j := range n.operators {
			if need, ok := n.operators[j].need(Field{in, n.path}); ok {
				needs = append(needs, need)
			}
		}
	}
	return needs
}

// either joins the needs of alternatives, the smallest of each. It fails when an
// alternative has none.
func either(alternatives [][][]Term) (need []Term, ok bool) {
	for _, needs := range alternatives {
		if len(needs) == 0 {
			return nil, false
		}
		for _, t := range slices.MinFunc(needs, fewer) {
			if slices.Contains(need, t) {
				continue
			}
			if len(need) == maxTerms {
				return nil, false
			}
			need = append(need, t)
		}
	}
	return need, true
}

// need is what a field must have to meet an operator.
func (op *operator) need(f Field) (need []Term, ok bool) {
	operands := []any{op.operand}
	switch op.kind {
	case opIs:
		switch op.operand.(type) {
		case nil, []any:
			return nil, true // equal to nothing
		}
	case opEq:
	case opIn:
		if list, isList := op.operand.([]any); isList {
			operands = list
		}
	default:
		return nil, false
	}
	for _, operand := range operands {
		v, scalar := valueOf(operand)
		switch {
		case !scalar && op.kind == opIn: // a member of nothing
			continue
		case !scalar:
			return nil, false
		case slices.Contains(need, Term{f, v}):
			continue
		case len(need) == maxTerms:
			return nil, false
		}
		need = append(need, Term{f, v})
	}
	return need, true
}

// valueOf is the Value of an operand.
func valueOf(operand any) (v Value, scalar bool) {
	switch o := operand.(type) {
	case nil:
		return "0", true
	case bool:
		if o {
			return "t", true
		}
		return "f", true
	case string:
		return textValue(o), true
	case json.Number:
		return numberValue(string(o)), true
	}
	return "", false
}

// resultValue is the Value of what a document has.
func resultValue(r gjson.Result) (v Value, scalar bool) {
	switch r.Type {
	case gjson.Null:
		return "0", true
	case gjson.True:
		return "t", true
	case gjson.False:
		return "f", true
	case gjson.String:
		return textValue(r.Str), true
	case gjson.Number:
		return numberValue(r.Raw), true
	}
	return "", false
}

// textValue is a number's when the text is one, as that is what it equals.
func textValue(s string) Value {
	if numeric(s) {
		return numberValue(s)
	}
	return Value("s" + s[:min(len(s), maxText)])
}

func numberValue(s string) Value {
	if whole(s) && len(s) <= maxText && s[len(s)-1] != '0' { // the usual case
		return Value("+" + s)
	}
	d := parseDecimal(s)
	digits := d.digits[:min(len(d.digits), maxText)]
	switch {
	case d.sign >= 0 && d.exponent == int64(len(digits)):
		return Value("+" + digits)
	case d.sign >= 0:
		return Value("+" + strconv.FormatInt(d.exponent, 10) + "e" + digits)
	}
	return Value("-" + strconv.FormatInt(d.exponent, 10) + "e" + digits)
}

// Values are those at a field, and the elements of arrays there. It is false when
// they are too many to be worth it.
func (d *Document) Values(f Field) (values []Value, ok bool) {
	at := d.remember(d.part(f.scope), f.path)
	if at == nil {
		return nil, false
	}
	if !at.listed {
		at.listed = true
		at.list()
	}
	return at.scalars, at.few
}

// list notes the scalars of a place.
func (at *place) list() {
	seen := 0
	add := func(r gjson.Result) bool {
		seen++
		if v, scalar := resultValue(r); scalar && !slices.Contains(at.scalars, v) {
			at.scalars = append(at.scalars, v)
		}
		return seen <= maxValues
	}
	at.few = true
	for i := range at.values {
		v := at.values[i].value
		if !v.IsArray() {
			at.few = add(v)
		} else {
			v.ForEach(func(_, element gjson.Result) bool {
				at.few = add(element)
				return at.few
			})
		}
		if !at.few {
			at.scalars = nil
			return
		}
	}
}
