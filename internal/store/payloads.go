package store

import (
	"context"
	"fmt"
	"slices"

	"convoy"
	"convoy/internal/store/sqldb"
)

var (
	payloadColumns = []string{"id:text", "data:bytes", "failure:text"}
	// insertPayloads keeps what is there: it comes with the delivery.
	insertPayloads = sqldb.InsertBatch("delivery_payloads", "ON CONFLICT (id) DO NOTHING", payloadColumns...)
	putPayloads    = sqldb.InsertBatch("delivery_payloads",
		"ON CONFLICT (id) DO UPDATE SET data = excluded.data, failure = excluded.failure", payloadColumns...)
)

func bindPayloads(b *sqldb.Batch, payloads []*convoy.Payload) sqldb.Bound {
	return b.Bind(len(payloads), func(i int, w *sqldb.RowWriter) {
		p := payloads[i]
		w.Text(string(p.Delivery)).Bytes(p.Data).Text(p.Failure)
	})
}

// payloadsByID returns the payloads of those deliveries, by ids in ascending
// order, that have one of their own.
func (s *Store) payloadsByID(ctx context.Context, q sqldb.Querier, ids []convoy.DeliveryID) (map[convoy.DeliveryID]*convoy.Payload, error) {
	d := s.db.Dialect()
	rows, err := q.Query(ctx, `SELECT p.id, p.data, p.failure FROM delivery_payloads p
		WHERE p.id >= $2 AND p.id <= $3 AND `+d.In("p.id", "$1"), sqldb.Texts(d, ids), ids[0], ids[len(ids)-1])
	list, err := collect(rows, err, func(row sqldb.Row) (*convoy.Payload, error) {
		var p convoy.Payload
		err := row.Scan(&p.Delivery, &p.Data, &p.Failure)
		return &p, err
	})
	if err != nil {
		return nil, err
	}
	payloads := make(map[convoy.DeliveryID]*convoy.Payload, len(list))
	for _, p := range list {
		payloads[p.Delivery] = p
	}
	return payloads, nil
}

// KnownDeliveries returns those of the ids that are stored.
func (s *Store) KnownDeliveries(ctx context.Context, ids []convoy.DeliveryID) (map[convoy.DeliveryID]bool, error) {
	known := make(map[convoy.DeliveryID]bool)
	if len(ids) == 0 {
		return known, nil
	}
	d := s.db.Dialect()
	rows, err := s.db.Query(ctx, `SELECT d.id FROM deliveries d WHERE d.id >= $2 AND d.id <= $3 AND `+d.In("d.id", "$1"),
		sqldb.Texts(d, ids), slices.Min(ids), slices.Max(ids))
	list, err := collect(rows, err, scanID[convoy.DeliveryID])
	if err != nil {
		return nil, fmt.Errorf("known deliveries: %w", err)
	}
	for _, id := range list {
		known[id] = true
	}
	return known, nil
}
