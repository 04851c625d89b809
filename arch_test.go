package convoy_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The rules of the layout. Each has its reason beside it; an exception is a line in a table here,
// with a reason of its own. The tests read the source of all systems and build tags, and need
// nothing but the checkout.

const module = "convoy"

// layers lists the packages from the bottom up, by their path below internal/ (a package's
// subpackages belong to it). A package imports lower layers; within its own layer only what the
// rule of the layer says.
var layers = []struct {
	name     string
	packages []string
	siblings bool // may packages of this layer import each other?
	reason   string
}{
	{
		"base", []string{"batch", "config", "filter", "function", "guard", "id", "meta", "oauth", "redisconn", "run", "schema", "seal", "sign", "telemetry", "urltemplate", "verify"},
		true, "tools that know no engine and no role, so that everyone can use them",
	},
	{
		"engine", []string{"breaker", "bus", "catalog", "limit", "lock", "queue", "store"},
		false, "each seam is replaced on its own: an engine that needs another one could not be",
	},
	{
		"access", []string{"auth", "signin"},
		false, "decides who may do what, for all that serve requests",
	},
	{
		"middle", []string{"api", "archive", "broker", "bulk", "deliver", "egress", "intake", "notify", "route", "schedule"},
		false, "a stage that needs another says so as an interface of one to three methods in its own " +
			"file: each can be read, tested and run in a process of its own",
	},
	{
		"app", []string{"app"},
		false, "the only place that picks engines and ties stages together",
	},
	{
		"top", []string{"cmd", "e2e", "bench"},
		false, "commands and black-box tests: nothing imports them",
	},
}

// siblingImports are the imports inside a layer that have a reason.
var siblingImports = map[[2]string]string{
	{"catalog", "store"}: "the catalog is the store's settings, kept in memory",
	{"catalog", "bus"}:   "which says when they have changed",
	{"signin", "auth"}:   "credentials are made and checked in one place",
}

// owners says who imports what: the import path (a prefix of whole elements) and the only
// directories (with those below) and files that may. Test files of engines drive the real thing.
var owners = []struct {
	imports []string
	allowed []string // directories, or patterns of path.Match for files
	reason  string
}{
	{
		[]string{"github.com/jackc/pgx/v5", "modernc.org/sqlite", "github.com/pressly/goose/v3"},
		[]string{"internal/store/sqldb", "internal/testenv", "cmd/convoy-bench", "e2e"},
		"two databases are one to everybody else; the bench measures the bare drivers as its ceiling",
	},
	{
		[]string{"github.com/redis/rueidis"},
		[]string{
			"internal/*/*_redis.go", "internal/redisconn", "e2e",
			"internal/breaker/*_test.go", "internal/bus/*_test.go", "internal/limit/*_test.go", "internal/lock/*_test.go",
			"internal/queue/*_test.go", "internal/testenv/*_test.go",
		},
		"an engine without Redis must not change when Redis does",
	},
	{
		[]string{
			"github.com/twmb/franz-go", "github.com/rabbitmq/amqp091-go", "github.com/aws/aws-sdk-go-v2/service/sqs",
			"cloud.google.com/go/pubsub/v2", "github.com/nats-io/nats.go",
		},
		[]string{"internal/broker", "e2e"},
		"a broker's SDK must not shape what an event is",
	},
	{[]string{"github.com/danielgtaylor/huma/v2"}, []string{"internal/api"}, "HTTP ends at the API"},
	{[]string{"github.com/grafana/sobek"}, []string{"internal/function"}, "the bounds on users' code are in one place"},
	{
		[]string{"github.com/santhosh-tekuri/jsonschema", "github.com/getkin/kin-openapi"},
		[]string{"internal/schema", "internal/api/*_test.go"}, "the bounds on users' schemas are in one place; tests compare with our own",
	},
	{[]string{"github.com/tink-crypto/tink-go/v2"}, []string{"internal/seal"}, "what is sealed can be opened for years: one place knows the format"},
	{[]string{"github.com/knadh/koanf"}, []string{"internal/config"}, "settings reach the others as values"},
	{[]string{"github.com/spf13/cobra"}, []string{"cmd", "internal/config"}, "flags belong to commands"},
	{
		[]string{module + "/internal/testenv"},
		[]string{"internal/testenv", "cmd/convoy-bench", "e2e", "*_test.go", "internal/*/*_test.go", "internal/*/*/*_test.go", "cmd/*/*_test.go", "internal/*/*test/*.go"},
		"it starts servers, which the gateway never does",
	},
}

// junk are names that say nothing, so that anything fits and everything ends up there.
var junk = []string{"util", "utils", "common", "helper", "helpers", "types", "models", "pkg", "misc", "shared", "base", "core"}

// longFiles are the files with more than maxLines lines that are better off in one piece.
var longFiles = map[string]string{}

const maxLines = 500

// sleepers are the test files that may call time.Sleep outside of testing/synctest.
var sleepers = map[string]string{}

// source is a Go file of this module.
type source struct {
	path    string // slash-separated, from the root
	dir     string // "." for the root
	test    bool
	lines   int
	syntax  *ast.File
	imports []string
}

var readSources = sync.OnceValues(func() ([]source, error) {
	var sources []source
	set := token.NewFileSet()
	err := walk(func(name string) error {
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		s := source{
			path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			lines: bytes.Count(text, []byte("\n")), syntax: syntax,
		}
		for _, spec := range syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("import in %s: %w", name, err)
			}
			s.imports = append(s.imports, imported)
		}
		sources = append(sources, s)
		return nil
	})
	return sources, err
})

// walk visits the files of the checkout, except what is not ours or not kept.
func walk(visit func(name string) error) error {
	return filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case ".git", "node_modules", "testdata", "bin", "dist":
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || name == ".git" { // a file in a worktree
			return nil
		}
		return visit(filepath.ToSlash(name))
	})
}

func sources(t *testing.T) []source {
	t.Helper()
	all, err := readSources()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no source: the test must run in the root of the checkout")
	}
	return all
}

// unit returns the name in layers that a directory belongs to: "cmd" for cmd/convoy, "store" for
// internal/store/sqldb, "" for the root.
func unit(dir string) string {
	dir = strings.TrimPrefix(dir, "internal/")
	first, _, _ := strings.Cut(dir, "/")
	return strings.TrimPrefix(first, ".")
}

func layerOf(name string) (int, bool) {
	for i, layer := range layers {
		if slices.Contains(layer.packages, name) {
			return i, true
		}
	}
	return 0, false
}

func TestArchLayers(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		from := unit(s.dir)
		if from == "" || from == "testenv" {
			continue // see TestArchRootIsPlain, and owners
		}
		layer, ok := layerOf(from)
		if !ok {
			t.Errorf("%s: package %s is in no layer: give it its place in layers of arch_test.go", s.path, from)
			continue
		}
		for _, imported := range s.imports {
			dir, ours := strings.CutPrefix(imported, module+"/")
			to := unit(dir)
			if !ours || to == "testenv" || to == from && from != "cmd" {
				continue
			}
			if problem := checkLayer(from, to, layer); problem != "" {
				t.Errorf("%s imports %s: %s", s.path, imported, problem)
			}
		}
	}
}

// checkLayer says what is wrong with an import of another package of this module, "" for nothing.
func checkLayer(from, to string, layer int) string {
	target, ok := layerOf(to)
	rule := layers[layer]
	switch {
	case to == "web" && layer == len(layers)-1, to == "web" && rule.name == "app", to == "web" && from == "api":
		return "" // the embedded files of the dashboard
	case !ok:
		return "it is in no layer: give it its place in layers of arch_test.go"
	case target < layer, target == layer && rule.siblings, siblingImports[[2]string{from, to}] != "":
		return ""
	case target == layer:
		return fmt.Sprintf("packages of layer %s do not import each other (%s)", rule.name, rule.reason)
	default:
		return fmt.Sprintf("layer %s is above %s (%s)", layers[target].name, rule.name, layers[target].reason)
	}
}

func TestArchCheckLayer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from, to string
		ok       bool
	}{
		{"deliver", "store", true},
		{"deliver", "sign", true},
		{"deliver", "route", false},
		{"api", "auth", true},
		{"auth", "api", false},
		{"api", "web", true},
		{"deliver", "web", false},
		{"app", "deliver", true},
		{"deliver", "app", false},
		{"queue", "store", false},
		{"catalog", "store", true},
		{"store", "catalog", false},
		{"sign", "guard", true},
		{"sign", "queue", false},
		{"cmd", "app", true},
		{"app", "cmd", false},
		{"deliver", "unheard", false},
	} {
		layer, ok := layerOf(tc.from)
		if !ok {
			t.Fatalf("%s is in no layer", tc.from)
		}
		if problem := checkLayer(tc.from, tc.to, layer); (problem == "") != tc.ok {
			t.Errorf("%s imports %s: %q", tc.from, tc.to, problem)
		}
	}
}

// The root package is the vocabulary: everyone imports it, so what it imports, everyone does.
func TestArchRootIsPlain(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.dir != "." || s.test {
			continue
		}
		for _, imported := range s.imports {
			first, _, _ := strings.Cut(imported, "/")
			if first == module || strings.Contains(first, ".") {
				t.Errorf("%s imports %s: the root package imports the standard library only", s.path, imported)
			}
		}
	}
}

func TestArchOwners(t *testing.T) {
	t.Parallel()
	for _, rule := range owners {
		for _, s := range sources(t) {
			if slices.ContainsFunc(rule.allowed, func(place string) bool { return within(s.path, place) }) {
				continue
			}
			for _, imported := range s.imports {
				if slices.ContainsFunc(rule.imports, func(owned string) bool { return isBelow(imported, owned) }) {
					t.Errorf("%s imports %s, which only %v may: %s", s.path, imported, rule.allowed, rule.reason)
				}
			}
		}
	}
}

// within reports whether a file is in a directory, or matches a pattern.
func within(file, place string) bool {
	if strings.HasSuffix(place, ".go") {
		ok, err := path.Match(place, file)
		return ok && err == nil
	}
	return isBelow(file, place)
}

func TestArchWithin(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		file, place string
		want        bool
	}{
		{"internal/queue/queue_redis.go", "internal/*/*_redis.go", true},
		{"internal/queue/redis.go", "internal/*/*_redis.go", false},
		{"internal/queue/x/queue_redis.go", "internal/*/*_redis.go", false},
		{"internal/broker/kafka.go", "internal/broker", true},
		{"internal/broker/sub/kafka.go", "internal/broker", true},
		{"internal/brokers/kafka.go", "internal/broker", false},
		{"internal/store/storetest/run.go", "internal/*/*test/*.go", true},
	} {
		if got := within(tc.file, tc.place); got != tc.want {
			t.Errorf("%s in %s: %v", tc.file, tc.place, got)
		}
	}
}

func isBelow(name, prefix string) bool {
	return name == prefix || strings.HasPrefix(name, prefix+"/")
}

// A package that nobody can describe in a sentence is two packages, or none.
func TestArchPackagesAreDocumented(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		documented[s.dir] = documented[s.dir] || s.syntax.Doc != nil && strings.TrimSpace(s.syntax.Doc.Text()) != ""
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package in %s has no doc comment: say what it is for and what it is not", dir)
		}
	}
}

// A name says what is inside, and never makes an import of the standard library ambiguous.
func TestArchPackageNames(t *testing.T) {
	t.Parallel()
	list, err := exec.CommandContext(t.Context(), "go", "list", "std").Output()
	if err != nil {
		t.Fatalf("list of the standard library: %v", err)
	}
	standard := map[string]string{}
	for imported := range strings.FieldsSeq(string(list)) {
		if !isBelow(imported, "vendor") && !slices.Contains(strings.Split(imported, "/"), "internal") {
			standard[path.Base(imported)] = imported
		}
	}
	checked := map[string]bool{}
	for _, s := range sources(t) {
		name := strings.TrimSuffix(s.syntax.Name.Name, "_test")
		if checked[s.dir+" "+name] {
			continue
		}
		checked[s.dir+" "+name] = true
		for _, part := range append(strings.Split(s.dir, "/"), name) {
			if slices.Contains(junk, part) {
				t.Errorf("%s: %q says nothing about what is inside", s.dir, part)
			}
		}
		if standard[name] != "" {
			t.Errorf("%s: package %s has the name of %s of the standard library", s.dir, name, standard[name])
		}
	}
}

// What a program does follows from its settings, which internal/config reads once.
func TestArchEnvironment(t *testing.T) {
	t.Parallel()
	readers := []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}
	for _, s := range sources(t) {
		if s.test || isBelow(s.dir, "cmd") || isBelow(s.dir, "internal/testenv") {
			continue
		}
		for _, name := range uses(s, "os") {
			if slices.Contains(readers, name) {
				t.Errorf("%s reads the environment by os.%s: take a value from the caller", s.path, name)
			}
		}
	}
}

// A test that sleeps is slow when the time is too long and wrong when it is too short. In files
// that use testing/synctest, the time is not real.
func TestArchTestsDoNotSleep(t *testing.T) {
	t.Parallel()
	sleeping := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test || slices.Contains(s.imports, "testing/synctest") || !slices.Contains(uses(s, "time"), "Sleep") {
			continue
		}
		sleeping[s.path] = true
		if sleepers[s.path] == "" {
			t.Errorf("%s calls time.Sleep: wait for a signal, use testenv.Eventually or testing/synctest", s.path)
		}
	}
	checkExceptions(t, "sleepers", sleepers, sleeping)
}

// uses returns the names that a file takes from an imported package.
func uses(s source, imported string) []string {
	local := ""
	for _, spec := range s.syntax.Imports {
		if spec.Path.Value == strconv.Quote(imported) {
			local = path.Base(imported)
			if spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	if local == "" {
		return nil
	}
	var names []string
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local {
				names = append(names, sel.Sel.Name)
			}
		}
		return true
	})
	return names
}

// A file that does not fit in the head is two files.
func TestArchFileLength(t *testing.T) {
	t.Parallel()
	long := map[string]bool{}
	for _, s := range sources(t) {
		// A conformance suite, in a directory like queuetest, is a test in all but name.
		if s.test || strings.HasSuffix(s.dir, "test") || s.lines <= maxLines || ast.IsGenerated(s.syntax) {
			continue
		}
		long[s.path] = true
		if longFiles[s.path] == "" {
			t.Errorf("%s has %d lines, more than %d: split it by topic, or give the reason in longFiles", s.path, s.lines, maxLines)
		}
	}
	checkExceptions(t, "longFiles", longFiles, long)
}

// checkExceptions fails for exceptions that are no longer needed.
func checkExceptions(t *testing.T, table string, exceptions map[string]string, needed map[string]bool) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(exceptions)) {
		if !needed[name] {
			t.Errorf("%s needs no exception in %s any more", name, table)
		}
	}
}

// A path of the machine that a file was written on is of no use elsewhere.
func TestArchNoMachinePaths(t *testing.T) {
	t.Parallel()
	leaks := regexp.MustCompile(`(^|[^\w./-])/(work|root)/`)
	err := walk(func(name string) error {
		info, err := os.Stat(name)
		if err != nil || info.Size() > 1<<20 {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			return err
		}
		for n, line := range bytes.Split(text, []byte("\n")) {
			if leaks.Match(line) {
				t.Errorf("%s:%d holds a path of one machine: %s", name, n+1, bytes.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
