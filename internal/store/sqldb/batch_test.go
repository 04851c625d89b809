package sqldb

import (
	"database/sql/driver"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgtype"
)

func TestInsertBatch(t *testing.T) {
	t.Parallel()
	b := InsertBatch("things", "ON CONFLICT (id) DO NOTHING", "id:text", "size:int", "data:bytes")
	want := &Batch{
		Columns: []Type{Text, Int, Bytes},
		Postgres: "INSERT INTO things (id, size, data) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[]) " +
			"ON CONFLICT (id) DO NOTHING",
		SQLite: "INSERT INTO things (id, size, data) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
	}
	if d := cmp.Diff(want, b); d != "" {
		t.Error(d)
	}
	panics(t, "a column without a type", func() { InsertBatch("things", "", "id") })
	panics(t, "an unknown type", func() { InsertBatch("things", "", "id:uuid") })
}

func TestBind(t *testing.T) {
	t.Parallel()
	b := InsertBatch("things", "", "id:text", "size:int", "data:bytes", "on:int")
	bound := b.Bind(2, func(i int, w *RowWriter) {
		w.Text([]string{"a", "b"}[i]).Int(int64(i - 1)).Bytes([][]byte{[]byte("x"), nil}[i]).Bool(i == 1)
	})
	wantArrays := []any{[]string{"a", "b"}, []int64{-1, 0}, [][]byte{[]byte("x"), {}}, []int64{0, 1}}
	if d := cmp.Diff(wantArrays, bound.arrays(false)); d != "" {
		t.Errorf("arrays: %s", d)
	}
	for i, a := range bound.arrays(true) {
		if got, want := reflect.ValueOf(a), reflect.ValueOf(wantArrays[i]); !reflect.DeepEqual(got.Convert(want.Type()).Interface(), wantArrays[i]) {
			t.Errorf("array %d: %v, want %v", i, a, wantArrays[i])
		}
	}
	for i, want := range [][]driver.Value{{"a", int64(-1), []byte("x"), int64(0)}, {"b", int64(0), []byte{}, int64(1)}} {
		var got []driver.Value
		for c, v := range bound.row(i, nil) {
			if v.Ordinal != c+1 || v.Name != "" {
				t.Errorf("parameter %d of row %d: %+v", c+1, i, v)
			}
			got = append(got, v.Value)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("row %d: %s", i, d)
		}
	}
	panics(t, "a row with too few columns", func() { b.Bind(1, func(_ int, w *RowWriter) { w.Text("a") }) })
	panics(t, "a column of another type", func() { b.Bind(1, func(_ int, w *RowWriter) { w.Int(1) }) })
	panics(t, "scalars that the text has not", func() { bound.With("x") })
	scalar := Batch{Columns: []Type{Int}, Scalars: 2}
	with := scalar.Bind(1, func(_ int, w *RowWriter) { w.Int(7) }).With("lo", "hi")
	if d := cmp.Diff([]any{[]int64{7}, "lo", "hi"}, with.arrays(false)); d != "" {
		t.Errorf("scalars: %s", d)
	}
}

func panics(t *testing.T, what string, fn func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s is accepted", what)
		}
	}()
	fn()
}

func TestTexts(t *testing.T) {
	t.Parallel()
	type name string
	for _, tt := range []struct {
		in     []name
		sqlite string
	}{{nil, `[]`}, {[]name{}, `[]`}, {[]name{"a", `"b\`}, `["a","\"b\\"]`}} {
		if got := Texts(SQLite, tt.in); got != tt.sqlite {
			t.Errorf("Texts(SQLite, %q) = %v, want %s", tt.in, got, tt.sqlite)
		}
		got, ok := Texts(Postgres, tt.in).([]string)
		if !ok || len(got) != len(tt.in) {
			t.Errorf("Texts(Postgres, %q) = %v", tt.in, got)
		}
	}
}

// FuzzArrays compares our encoding of arrays with that of pgx.
func FuzzArrays(f *testing.F) {
	f.Add("a", "", []byte("x"), int64(-1))
	f.Add(`"{}\,`, "NULL", []byte{0, 255}, int64(1<<62))
	f.Fuzz(func(t *testing.T, a, b string, c []byte, n int64) {
		theirs, ours := pgtype.NewMap(), pgtype.NewMap()
		registerArrays(ours)
		if c == nil {
			c = []byte{}
		}
		for _, tt := range []struct {
			oid        uint32
			plain, own any
		}{
			{pgtype.TextArrayOID, []string{a, b}, textArray{a, b}},
			{pgtype.TextArrayOID, []string{b}, textArray{b}},
			{pgtype.ByteaArrayOID, [][]byte{c, {}, []byte(a)}, bytesArray{c, {}, []byte(a)}},
			{pgtype.Int8ArrayOID, []int64{n, 0, -n}, intArray{n, 0, -n}},
		} {
			want, err := theirs.Encode(tt.oid, pgtype.BinaryFormatCode, tt.plain, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ours.Encode(tt.oid, pgtype.BinaryFormatCode, tt.own, []byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(append([]byte("before"), want...), got); d != "" {
				t.Errorf("%v: %s", tt.plain, d)
			}
			// Plain slices go the usual way.
			if got, err = ours.Encode(tt.oid, pgtype.BinaryFormatCode, tt.plain, nil); err != nil || !cmp.Equal(got, want) {
				t.Errorf("%v as a plain slice: %x, %v", tt.plain, got, err)
			}
		}
	})
}
