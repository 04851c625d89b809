package config

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

const documentHead = `# Configuration

<!-- Generated from internal/config by "go test ./internal/config -run TestDocument -update". Do not edit. -->

Every setting has a key in a JSON file and a variable in the environment; some have a flag. Where several are
given, a flag wins over the environment, the environment over the file, and the file over the default.

- The file is the one that ` + "`--config`" + ` names, which must exist, or ` + "`" + DefaultFile + "`" + ` if it is there. A dot in a
  key below stands for a nested object: ` + "`server.http.port`" + ` is ` + "`" + `{"server": {"http": {"port": 5005}}}` + "`" + `.
- A variable that is empty counts as not set. Lists are comma separated; in the file they are arrays, and a flag
  may be repeated.
- A duration is written like ` + "`30s`, `10m` or `720h`" + `.
- An unknown key, an unknown variable that begins with ` + "`CONVOY_`" + ` and a value that is not allowed stop the process from
  starting. All such problems are reported at once. Variables that begin with ` + "`CONVOY_TEST_`" + ` or ` + "`CONVOY_BENCH_`" + `,
  and those that Kubernetes adds for a service whose name begins with ` + "`convoy`" + `, are ignored.
- A secret is never shown, neither in an error nor by ` + "`convoy config`" + `.
`

// WriteDoc writes the documentation of all settings as Markdown.
func WriteDoc(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString(documentHead)
	for _, sec := range sections {
		writeSection(&b, sec)
	}
	writeUnsupported(&b)
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write documentation: %w", err)
	}
	return nil
}

func writeSection(b *bytes.Buffer, sec section) {
	var rows []setting
	for _, s := range settings {
		if s.section == sec.key {
			rows = append(rows, s)
		}
	}
	if len(rows) == 0 {
		return
	}
	title := sec.key
	if title == "" {
		title = "General"
	}
	fmt.Fprintf(b, "\n## %s\n\n", title)
	if sec.doc != "" {
		fmt.Fprintf(b, "%s.\n\n", sec.doc)
	}
	b.WriteString("| Key | Environment | Flag | Default | Meaning |\n|---|---|---|---|---|\n")
	for _, s := range rows {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n",
			code(s.key), code(s.env), s.documentFlag(), s.documentDefault(), s.documentMeaning())
	}
}

func (s *setting) documentFlag() string {
	if s.flag == "" {
		return ""
	}
	out := code("--" + s.flag)
	if s.roles != nil {
		names := make([]string, len(s.roles))
		for i, r := range s.roles {
			names[i] = string(r)
		}
		out += " (" + strings.Join(names, ", ") + ")"
	}
	return out
}

func (s *setting) documentDefault() string {
	out := code(s.def)
	if s.standalone != "" {
		out += "; standalone: " + code(s.standalone)
	}
	return out
}

func (s *setting) documentMeaning() string {
	out := s.doc + "."
	if s.oneof != nil || s.min != "" || s.seconds {
		out += " Allowed: " + s.allowed() + "."
	}
	if s.secret {
		out += " Secret."
	}
	return strings.ReplaceAll(out, "|", `\|`)
}

func writeUnsupported(b *bytes.Buffer) {
	b.WriteString(`
## Settings that are not supported

Configurations that move here may hold these. They are refused, so that nobody relies on them in vain; those marked
"ignored" only cause a warning. A key stands for everything below it, and a variable that is empty is let through.

| Key | Environment | Why |
|---|---|---|
`)
	for _, u := range unsupportedSettings {
		why := u.why
		switch {
		case u.harmless && u.only != "":
			why += "; ignored when " + code(u.only)
		case u.harmless:
			why += "; ignored"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", codes(u.keys), codes(u.env), strings.ToUpper(why[:1])+why[1:])
	}
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func codes(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = code(n)
	}
	return strings.Join(out, ", ")
}
