package function

import (
	"strings"

	"github.com/grafana/sobek"
)

// console keeps what a function logs.
type console struct {
	lines []string
	bytes int
	full  bool
}

func (c *console) install(vm *machine) {
	object := vm.NewObject()
	for _, name := range []string{"log", "debug", "info", "warn", "error"} {
		// A new object takes any property.
		_ = object.Set(name, func(call sobek.FunctionCall) sobek.Value {
			c.add(vm, call.Arguments)
			return sobek.Undefined()
		})
	}
	_ = vm.Set("console", object)
}

// add keeps one line, with its arguments as JSON unless they are texts.
func (c *console) add(vm *machine, args []sobek.Value) {
	if c.full {
		return
	}
	var b strings.Builder
	for i, arg := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(text(vm, arg))
		if b.Len() > maxLogLine {
			break
		}
	}
	line := printable(b.String(), maxLogLine)
	if len(c.lines) == maxLogLines || c.bytes+len(line) > maxLog {
		c.lines, c.full = append(c.lines, "… and more"), true
		return
	}
	c.lines = append(c.lines, line)
	c.bytes += len(line)
}

func text(vm *machine, v sobek.Value) string {
	if _, ok := v.(*sobek.Object); !ok {
		return v.String()
	}
	s, err := vm.stringify(sobek.Undefined(), v)
	if err != nil || sobek.IsUndefined(s) { // functions, cycles
		return v.String()
	}
	return s.String()
}
