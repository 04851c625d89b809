package sqldb

import (
	"encoding/binary"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"
)

// A batch's columns go to PostgreSQL as arrays in binary, written here in one
// pass: pgx's own way boxes every element and grows its buffer as it goes. The
// format is that of array_recv
// (https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/arrayfuncs.c):
// the number of dimensions, whether there are NULLs, the type of the elements;
// the length and the lower bound; then the length and the bytes of each element.
// All numbers are big-endian and have 4 bytes.
type (
	textArray  []string
	intArray   []int64
	bytesArray [][]byte
)

const arrayHeader = 20

// arrayCodec encodes one of these types, and leaves everything else to pgx.
type arrayCodec[T textArray | intArray | bytesArray] struct {
	pgtype.Codec
	encode func(value T, buf []byte) []byte
}

// PlanEncode implements [pgtype.Codec].
func (c arrayCodec[T]) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.(T); ok && format == pgtype.BinaryFormatCode {
		return c
	}
	return c.Codec.PlanEncode(m, oid, format, value)
}

// Encode implements [pgtype.EncodePlan].
func (c arrayCodec[T]) Encode(value any, buf []byte) ([]byte, error) {
	return c.encode(value.(T), buf), nil //nolint:forcetypeassert // PlanEncode has looked
}

// registerArrays makes a connection encode the columns of batches.
func registerArrays(m *pgtype.Map) {
	register(m, pgtype.TextArrayOID, func(value textArray, buf []byte) []byte {
		size := 0
		for _, s := range value {
			size += 4 + len(s)
		}
		buf = appendHeader(slices.Grow(buf, arrayHeader+size), pgtype.TextOID, len(value))
		for _, s := range value {
			buf = append(binary.BigEndian.AppendUint32(buf, uint32(len(s))), s...)
		}
		return buf
	})
	register(m, pgtype.ByteaArrayOID, func(value bytesArray, buf []byte) []byte {
		size := 0
		for _, b := range value {
			size += 4 + len(b)
		}
		buf = appendHeader(slices.Grow(buf, arrayHeader+size), pgtype.ByteaOID, len(value))
		for _, b := range value {
			buf = append(binary.BigEndian.AppendUint32(buf, uint32(len(b))), b...)
		}
		return buf
	})
	register(m, pgtype.Int8ArrayOID, func(value intArray, buf []byte) []byte {
		buf = appendHeader(slices.Grow(buf, arrayHeader+12*len(value)), pgtype.Int8OID, len(value))
		for _, n := range value {
			buf = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(buf, 8), uint64(n))
		}
		return buf
	})
}

func register[T textArray | intArray | bytesArray](m *pgtype.Map, oid uint32, encode func(T, []byte) []byte) {
	if t, ok := m.TypeForOID(oid); ok {
		m.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: arrayCodec[T]{Codec: t.Codec, encode: encode}})
	}
}

// appendHeader begins an array of n elements, at least one.
func appendHeader(buf []byte, element uint32, n int) []byte {
	for _, x := range [...]uint32{1, 0, element, uint32(n), 1} {
		buf = binary.BigEndian.AppendUint32(buf, x)
	}
	return buf
}
