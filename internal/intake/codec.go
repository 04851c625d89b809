package intake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"convoy"
)

// The log's entries: one version byte, then events until the end. An event is
// its fields in a fixed order; a text is its length as an unsigned varint and
// its bytes, a list is its length and its elements, a time is Unix
// microseconds as a signed varint. Entries live for seconds, but a new release
// may read what an older one wrote, so a change of the order is a new version.
const codecVersion = 3

var errCorrupt = errors.New("corrupt log entry")

// appendEvents appends an entry with events to buf.
func appendEvents(buf []byte, events []*convoy.Event) []byte {
	buf = append(buf, codecVersion)
	for _, e := range events {
		buf = appendText(buf, string(e.ID))
		buf = appendText(buf, string(e.ProjectID))
		buf = appendText(buf, e.Type)
		buf = appendText(buf, string(e.SourceID))
		buf = appendText(buf, string(e.Kind)) // from here to TargetURL: since version 2
		buf = appendText(buf, e.OwnerID)
		buf = appendText(buf, e.TargetURL)
		buf = binary.AppendUvarint(buf, uint64(len(e.Endpoints)))
		for _, id := range e.Endpoints {
			buf = appendText(buf, string(id))
		}
		buf = binary.AppendUvarint(buf, uint64(len(e.Headers)))
		for name, values := range e.Headers {
			buf = appendText(buf, name)
			buf = binary.AppendUvarint(buf, uint64(len(values)))
			for _, v := range values {
				buf = appendText(buf, v)
			}
		}
		buf = binary.AppendUvarint(buf, uint64(len(e.Data)))
		buf = append(buf, e.Data...)
		buf = appendText(buf, e.IdempotencyKey)
		buf = appendText(buf, e.URLQuery)
		buf = appendText(buf, e.URLPath)
		buf = binary.AppendVarint(buf, e.AcknowledgedAt.UnixMicro())
		buf = appendText(buf, e.SchemaError) // since version 3
	}
	return buf
}

func appendText(buf []byte, s string) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(s)))
	return append(buf, s...)
}

// parseEvents reads an entry. The events share buf's memory.
func parseEvents(buf []byte) ([]*convoy.Event, error) {
	if len(buf) == 0 {
		return nil, errCorrupt
	}
	version := buf[0]
	if version < 1 || version > codecVersion {
		return nil, fmt.Errorf("log entry of version %d, want at most %d", version, codecVersion)
	}
	d := decoder{buf: buf[1:]}
	var events []*convoy.Event
	for len(d.buf) > 0 && !d.bad {
		e := &convoy.Event{
			ID: convoy.EventID(d.text()), ProjectID: convoy.ProjectID(d.text()), Type: d.text(),
			SourceID: convoy.SourceID(d.text()), Status: convoy.EventPending,
		}
		if version >= 2 {
			e.Kind, e.OwnerID, e.TargetURL = convoy.EventKind(d.text()), d.text(), d.text()
		}
		for range d.count() {
			e.Endpoints = append(e.Endpoints, convoy.EndpointID(d.text()))
		}
		if n := d.count(); n > 0 {
			e.Headers = make(map[string][]string, n)
			for range n {
				name := d.text()
				values := make([]string, d.count())
				for i := range values {
					values[i] = d.text()
				}
				e.Headers[name] = values
			}
		}
		e.Data = d.bytes()
		e.IdempotencyKey, e.URLQuery, e.URLPath = d.text(), d.text(), d.text()
		at := time.UnixMicro(d.varint()).UTC()
		e.AcknowledgedAt, e.CreatedAt, e.UpdatedAt = at, at, at
		if version >= 3 {
			e.SchemaError = d.text()
		}
		events = append(events, e)
	}
	if d.bad {
		return nil, errCorrupt
	}
	return events, nil
}

// decoder reads fields until the first that does not fit; then everything is
// empty and bad is set.
type decoder struct {
	buf []byte
	bad bool
}

func (d *decoder) bytes() []byte {
	n, w := binary.Uvarint(d.buf)
	if w <= 0 || n > uint64(len(d.buf)-w) {
		d.bad, d.buf = true, nil
		return nil
	}
	b := d.buf[w : w+int(n) : w+int(n)]
	d.buf = d.buf[w+int(n):]
	return b
}

func (d *decoder) text() string { return string(d.bytes()) }

// count reads the length of a list; an element takes at least a byte, so a
// length beyond the rest of the entry is corrupt and allocates nothing.
func (d *decoder) count() int {
	n, w := binary.Uvarint(d.buf)
	if w <= 0 || n > uint64(len(d.buf)-w) || n > math.MaxInt32 {
		d.bad, d.buf = true, nil
		return 0
	}
	d.buf = d.buf[w:]
	return int(n)
}

func (d *decoder) varint() int64 {
	n, w := binary.Varint(d.buf)
	if w <= 0 {
		d.bad, d.buf = true, nil
		return 0
	}
	d.buf = d.buf[w:]
	return n
}
