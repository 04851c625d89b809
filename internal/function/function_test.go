package function

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"convoy"
)

func TestTransform(t *testing.T) {
	t.Parallel()
	caches(t, func(t *testing.T, c *Cache) {
		for _, tc := range []struct{ name, source, payload, want string }{
			{"unchanged", `function transform(p) { return p }`, `{ "a" : [1, true, null, "é\u0041\n"] }`, `{"a":[1,true,null,"éA\n"]}`},
			{"changed", `function transform(p) { p.b = p.a * 2; delete p.a; return p }`, `{"a":21}`, `{"b":42}`},
			{"arrow", `const transform = p => ({got: p})`, `7`, `{"got":7}`},
			{"modern", `const transform = ({a: [x, ...rest], ...others}) => ({x, n: rest?.length ?? 0, ...others, t: ` + "`${x}!`" + `})`, `{"a":[1,2,3],"b":4}`, `{"x":1,"n":2,"b":4,"t":"1!"}`},
			{"async", `async function transform(p) { const q = await p; return {q} }`, `1`, `{"q":1}`},
			{"scalar", `function transform(p) { return p.length }`, `[1,2]`, `2`},
			{"null", `function transform(p) { return null }`, `1`, `null`},
			{"own toJSON", `function transform(p) { return {toJSON: () => 'x'} }`, `1`, `"x"`},
			{"replaced JSON", `JSON.stringify = () => 'x'; JSON = null; function transform(p) { return p }`, `{"a":1}`, `{"a":1}`},
			{"touched prototypes", `Object.defineProperty(Object.prototype, 'a', {set() { throw 1 }}); function transform(p) { return p }`, `{"a":1}`, `{"a":1}`},
			{"prototype key", `function transform(p) { return {p, polluted: typeof ({}).x} }`, `{"__proto__":{"x":1}}`, `{"p":{"__proto__":{"x":1}},"polluted":"undefined"}`},
			{"same random numbers", `var a = Math.random(); function transform(p) { return a !== Math.random() && a >= 0 && a < 1 }`, `{}`, `true`},
			{"integer keys", `function transform(p) { return p }`, `{"b":1,"2":2,"1":3}`, `{"1":3,"2":2,"b":1}`},
			{"repeated keys", `function transform(p) { return p }`, `{"a":1,"a":2}`, `{"a":2}`},
			{"surrogates", `function transform(p) { return p }`, `"\ud83d\ude00 \ud800"`, "\"😀 \ufffd\""},
			{"empties", `function transform(p) { return p }`, ` { "a" : { } , "b" : [ ] , "c" : "" } `, `{"a":{},"b":[],"c":""}`},
		} {
			got, err := c.Transform(t.Context(), tc.source, []byte(tc.payload))
			if err != nil || string(got) != tc.want {
				t.Errorf("%s: %s, %v, want %s", tc.name, got, err, tc.want)
			}
		}
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	caches(t, func(t *testing.T, c *Cache) {
		for _, tc := range []struct{ name, source, payload, want string }{
			{"empty", " \n", `1`, "function must not be empty"},
			{"too long", "//" + strings.Repeat("x", MaxSource), `1`, "function must not be longer than 65536 bytes"},
			{"NUL", "function transform(p) { return '\x00' }", `1`, "function must be UTF-8 without NUL characters"},
			{"syntax", `function transform( { return 1 }`, `1`, "Line 1:"},
			{"no entry point", `function other(p) {}`, `1`, "function must define function transform(payload)"},
			{"entry point is no function", `var transform = 1`, `1`, "function must define function transform(payload)"},
			{"throws", `function transform(p) { throw new Error('no ' + p) }`, `"luck"`, "function threw: Error: no luck"},
			{"throws text", "function transform(p) { throw 'a\\u0000b\\nc' }", `1`, "function threw: a b c"},
			{"throws outside", `nowhere(); function transform() {}`, `1`, "ReferenceError: nowhere is not defined"},
			{"throws while printed", `function transform() { throw {toString() { throw 'twice' }} }`, `1`, "function"},
			{"rejects", `async function transform() { throw 'late' }`, `1`, "function threw: late"},
			{"never settles", `function transform() { return new Promise(() => {}) }`, `1`, "promise that nothing settles"},
			{"nothing", `function transform(p) {}`, `1`, "transform must return a JSON value"},
			{"a function", `function transform(p) { return transform }`, `1`, "transform must return a JSON value"},
			{"cycle", `function transform(p) { p.p = p; return p }`, `{}`, "circular"},
			{"big integer", `function transform(p) { return 1n }`, `{}`, "BigInt"},
			{"recursion", `function f(p) { return f(p) + 1 } function transform(p) { return f(p) }`, `1`, "more than 1000 calls"},
			{"no clock", `function transform(p) { return Date.now() }`, `1`, "a function has no clock here"},
			{"no eval", `function transform(p) { return eval('1') }`, `1`, "eval is not defined"},
			{"no Function", `function transform(p) { return new Function('return 1')() }`, `1`, "Function is not defined"},
			{"no Function by constructor", `function transform(p) { return transform.constructor('return 1')() }`, `1`, "TypeError"},
			{"no async Function", `function transform(p) { return (async () => {}).constructor('return 1')() }`, `1`, "TypeError"},
			{"no generator Function", `function transform(p) { return (function*() {}).constructor('return 1')() }`, `1`, "TypeError"},
			{"no require", `function transform(p) { return require('fs') }`, `1`, "require is not defined"},
			{"no import", `async function transform(p) { return await import('fs') }`, `1`, "function"},
			{"no source map", "function transform(p) { return nowhere }\n//# sourceMappingURL=/etc/passwd", `1`, "nowhere is not defined"},
			{"long message", `function transform(p) { throw 'é'.repeat(5000) }`, `1`, "…"},
			{"payload is no JSON", `function transform(p) { return p }`, `{"a":}`, "payload must be JSON"},
			{"payload is empty", `function transform(p) { return p }`, ``, "payload must be JSON"},
			{"payload too deep", `function transform(p) { return p }`, strings.Repeat("[", 1001) + strings.Repeat("]", 1001), "payload must not nest deeper than 1000 levels"},
			{"payload too long", `function transform(p) { return p }`, `"` + strings.Repeat("x", MaxPayload) + `"`, "payload must not be longer than 4194304 bytes"},
			{"output too long", `function transform(p) { return 'x'.repeat(5e6) }`, `1`, "function "}, // too slow, under the race detector
			{"endless", `function transform(p) { for (;;) {} }`, `1`, "function took longer than 1s"},
			{"endless despite catch", `function transform(p) { for (;;) { try { for (;;) {} } catch (e) {} finally {} } }`, `1`, "function took longer than 1s"},
			{"endless promises", `async function transform(p) { for (;;) { await 1 } }`, `1`, "function took longer than 1s"},
			{"endless outside", `for (;;) {} function transform(p) {}`, `1`, "function took longer than 1s"},
		} {
			got, err := c.Transform(t.Context(), tc.source, []byte(tc.payload))
			if convoy.KindOf(err) != convoy.Invalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %s, %v, want an error with %q", tc.name, got, err, tc.want)
			}
			if err != nil && (len(err.Error()) > 2*maxMessage || strings.ContainsAny(err.Error(), "\x00\n")) {
				t.Errorf("%s: the message is not fit for a line: %q", tc.name, err)
			}
		}
	})
}

// TestHostile is about what only a process of its own can bound.
func TestHostile(t *testing.T) {
	t.Parallel()
	c := sandboxed(t)
	const memory, slow = "of memory", "longer than"
	for _, tc := range []struct{ name, source, want string }{
		{"array scan", `function transform() { return Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1) }`, slow},
		{"array join", `function transform() { return new Array(4294967295).join('xxxxxxxx').length }`, ""},
		{"array fill", `function transform() { return new Array(1e9).fill(1).length }`, ""},
		{"array from", `function transform() { return Array.from({length: 1e9}).length }`, ""},
		{"spread", `function transform() { var a = [1]; for (;;) { a = [...a, ...a] } }`, ""},
		{"concat", `function transform() { var a = 'x'; for (;;) { a += a } }`, ""},
		{"repeat", `function transform() { return 'x'.repeat(2e9).length }`, ""},
		{"pad", `function transform() { return 'x'.padEnd(2e9).length }`, ""},
		{"array buffer", `function transform() { return new Uint8Array(new ArrayBuffer(4e9)).length }`, memory},
		{"many objects", `var a = []; function transform() { for (;;) { a.push({a: {b: {}}}) } }`, ""},
		{"generators", `function* g() { yield* g() } function transform() { return [...g()] }`, ""},
		{"backtracking", `function transform() { return /(a+)+(?=b)\1$/.test('a'.repeat(60)) }`, slow},
		{"nested arrays to text", `function transform() { var a = []; for (var i = 0; i < 300000; i++) a = [a]; return String(a).length }`, ""},
		{"nested arrays to JSON", `function transform() { var a = []; for (var i = 0; i < 300000; i++) a = [a]; return a }`, ""},
		{"nested JSON", `function transform() { return JSON.parse('['.repeat(4e6)) }`, ""},
		{"chain of prototypes", `function transform() { var o = {}; for (var i = 0; i < 1e6; i++) o = Object.create(o); return o.x }`, ""},
		{"chain of binds", `function transform() { var f = () => {}; for (var i = 0; i < 1e6; i++) f = f.bind(null); return f() }`, ""},
		{"chain of proxies", `function transform() { var o = {}; for (var i = 0; i < 1e6; i++) o = new Proxy(o, {}); return o.x }`, ""},
		{"big numbers", `function transform() { var n = 3n; for (;;) { n = n * n } }`, ""},
		{"deep source", strings.Repeat("(", 60000) + "1" + strings.Repeat(")", 5000), ""},
		{"deep operators", "function transform() { return " + strings.Repeat("!", 60000) + "1 }", ""},
		{"log", `function transform() { for (;;) console.log('x'.repeat(1e6)) }`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			begin := time.Now()
			got, err := c.Transform(t.Context(), tc.source, []byte(`{}`))
			if took := time.Since(begin); took > MaxTime+grace {
				t.Errorf("took %v", took)
			}
			if err == nil && tc.want == "" && len(got) < 100 {
				return // it may also succeed, in time and in bounds
			}
			if convoy.KindOf(err) != convoy.Invalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s, %v, want an error with %q", clip(string(got), 50), err, tc.want)
			}
			// The next function is none the worse for it.
			if got, err := c.Transform(t.Context(), `function transform(p) { return p }`, []byte(`{"a":1}`)); err != nil || string(got) != `{"a":1}` {
				t.Errorf("afterwards: %s, %v", got, err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	caches(t, func(t *testing.T, c *Cache) {
		if err := c.Check(t.Context(), `function transform(p) { throw 'not called' }`); err != nil {
			t.Error(err)
		}
		for _, source := range []string{``, `function transform(`, `var x`, `throw 1; function transform() {}`, `for (;;) {}`} {
			if err := c.Check(t.Context(), source); convoy.KindOf(err) != convoy.Invalid {
				t.Errorf("%q: %v", source, err)
			}
		}
	})
}

func TestLog(t *testing.T) {
	t.Parallel()
	caches(t, func(t *testing.T, c *Cache) {
		r, err := c.Test(t.Context(), `function transform(p) { console.log('got', p, 1, null, undefined); console.error([1, 'x'], () => 1); return p }`, []byte(`{"a":1}`), time.Time{})
		want := []string{`got {"a":1} 1 null undefined`, `[1,"x"] () => 1`}
		if err != nil || string(r.Payload) != `{"a":1}` || !cmp.Equal(r.Log, want) {
			t.Errorf("%s, %q, %v", r.Payload, r.Log, err)
		}
		r, err = c.Test(t.Context(), `function transform(p) { console.log('before'); throw 'x' }`, []byte(`1`), time.Time{})
		if err == nil || !cmp.Equal(r.Log, []string{"before"}) {
			t.Errorf("%q, %v: the log of what failed is of use", r.Log, err)
		}
		r, err = c.Test(t.Context(), `function transform(p) { for (var i = 0; i < 1e4; i++) console.log(i); return 1 }`, []byte(`1`), time.Time{})
		if err != nil || len(r.Log) != maxLogLines+1 || r.Log[maxLogLines-1] != "99" || r.Log[maxLogLines] != "… and more" {
			t.Errorf("%d lines, %v", len(r.Log), err)
		}
		r, err = c.Test(t.Context(), `function transform(p) { for (var i = 0; i < 50; i++) console.log('é'.repeat(5000)); return 1 }`, []byte(`1`), time.Time{})
		size := len(strings.Join(r.Log, ""))
		if err != nil || size > maxLog+100 || size < maxLog/2 {
			t.Errorf("%d bytes, %v", size, err)
		}
	})
}

func TestClock(t *testing.T) {
	t.Parallel()
	caches(t, func(t *testing.T, c *Cache) {
		now := time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)
		got, err := c.TransformAt(t.Context(), `var then = Date.now(); function transform(p) { return [new Date().toISOString(), then, Date.now() - then] }`, []byte(`1`), now)
		if want := `["2026-02-03T04:05:06.000Z",1770091506000,0]`; err != nil || string(got) != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	})
}

// TestRunsAreApart shows that nothing stays from one run to the next.
func TestRunsAreApart(t *testing.T) {
	t.Parallel()
	caches(t, func(t *testing.T, c *Cache) {
		for range 5 {
			got, err := c.Transform(t.Context(), `var n = 0; globalThis.m = (globalThis.m || 0) + 1; Array.prototype.k = (Array.prototype.k || 0) + 1;
				function transform(p) { n++; return [n, m, [].k] }`, []byte(`1`))
			if err != nil || string(got) != `[1,1,1]` {
				t.Fatalf("%s, %v", got, err)
			}
		}
	})
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	caches(t, func(t *testing.T, c *Cache) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 20 {
					source, want := `function transform(p) { return p }`, `{"a":1}`
					if i%4 == 3 {
						source, want = `function transform(p) { return [p.a] }`, `[1]`
					}
					if got, err := c.Transform(t.Context(), source, []byte(`{"a":1}`)); err != nil || string(got) != want {
						t.Errorf("%s, %v, want %s", got, err, want)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	caches(t, func(t *testing.T, c *Cache) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := c.Transform(ctx, `function transform(p) { for (;;) {} }`, []byte(`1`))
		if !errors.Is(err, context.DeadlineExceeded) || convoy.KindOf(err) != convoy.Internal {
			t.Errorf("%v: the function is not at fault", err)
		}
		if got, err := c.Transform(t.Context(), `function transform(p) { return p }`, []byte(`1`)); err != nil || string(got) != `1` {
			t.Errorf("afterwards: %s, %v", got, err)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := New(Config{Programs: 3})
	for i := range 20 {
		source := `function transform(p) { return p } //` + strings.Repeat("x", i)
		if _, err := c.Transform(t.Context(), source, []byte(`1`)); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.programs) > 3 {
		t.Errorf("%d programs are kept", len(c.programs))
	}
}

func TestNoProcess(t *testing.T) {
	t.Parallel()
	c := New(Config{Command: []string{"/nowhere/convoy"}})
	_, err := c.Transform(t.Context(), `function transform(p) { return p }`, []byte(`1`))
	if err == nil || convoy.KindOf(err) != convoy.Internal {
		t.Errorf("%v: the function is not at fault", err)
	}
}
