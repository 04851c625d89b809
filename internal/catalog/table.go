package catalog

import (
	"hash/maphash"
	"maps"
)

const shards = 64

// table is a map in shards. A copy of a table shares them with the first, and
// takes a shard over when it writes to it: so a version of a project differs from
// the one before by what has changed, whatever the size of the project.
type table[K ~string, V any] struct {
	maps [shards]map[K]V
	// owned has a bit for each shard that nobody else has.
	owned uint64
}

var seed = maphash.MakeSeed()

func shard[K ~string](k K) uint64 { return maphash.String(seed, string(k)) % shards }

// tableOf makes a table of what a map has.
func tableOf[K ~string, V any](m map[K]V) (t table[K, V]) {
	for k, v := range m {
		t.put(k, v)
	}
	t.seal()
	return t
}

func (t *table[K, V]) get(k K) (v V, ok bool) {
	v, ok = t.maps[shard(k)][k]
	return v, ok
}

// own makes the shard of a key this table's alone.
func (t *table[K, V]) own(k K) map[K]V {
	i := shard(k)
	if t.owned&(1<<i) == 0 {
		t.owned |= 1 << i
		t.maps[i] = maps.Clone(t.maps[i])
	}
	if t.maps[i] == nil {
		t.maps[i] = make(map[K]V)
	}
	return t.maps[i]
}

func (t *table[K, V]) put(k K, v V) { t.own(k)[k] = v }

func (t *table[K, V]) remove(k K) {
	if _, ok := t.get(k); ok {
		delete(t.own(k), k)
	}
}

// seal makes the table ready to be copied: neither it nor a copy may write to a
// shard without taking it over.
func (t *table[K, V]) seal() { t.owned = 0 }

// each calls fn for all.
func (t *table[K, V]) each(fn func(K, V)) {
	for _, m := range t.maps {
		for k, v := range m {
			fn(k, v)
		}
	}
}

// size is how many there are.
func (t *table[K, V]) size() (n int) {
	for _, m := range t.maps {
		n += len(m)
	}
	return n
}
