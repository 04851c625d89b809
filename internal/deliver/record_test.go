package deliver

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// picky is a store that refuses outcomes of some deliveries for ever: with an
// attempt, or altogether.
type picky struct {
	*store.Store
	attempts, all map[convoy.DeliveryID]bool
}

var errPicky = errors.New("refused")

func (s *picky) Record(ctx context.Context, outcomes []store.Outcome) error {
	if slices.ContainsFunc(outcomes, func(o store.Outcome) bool {
		return s.all[o.Delivery.ID] || o.Attempt != nil && s.attempts[o.Delivery.ID]
	}) {
		return errPicky
	}
	return s.Store.Record(ctx, outcomes)
}

// TestRecordIsolates records outcomes together with some that are refused: the
// others are recorded, with their attempts, and the refused as far as possible.
func TestRecordIsolates(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		cfg := p.config(t)
		s := &picky{Store: p.store, attempts: map[convoy.DeliveryID]bool{}, all: map[convoy.DeliveryID]bool{}}
		cfg.Store = s
		d := New(cfg)
		jobs := p.routed(t, p.endpoint(t, "http://endpoint.example"), 20, at(3))
		s.attempts[jobs[3].Delivery.ID] = true
		s.all[jobs[7].Delivery.ID] = true
		items := make([]done, len(jobs))
		for i, j := range jobs {
			after := decide(*j.Delivery, result{status: 200}, policy{}, time.Now())
			items[i] = done{&job{Job: j}, store.Outcome{Delivery: &after, Attempt: &convoy.Attempt{
				ID: convoy.AttemptID(j.Delivery.ID), DeliveryID: j.Delivery.ID, ProjectID: j.Delivery.ProjectID, CreatedAt: time.Now(),
			}}}
		}
		if err := d.record(t.Context(), items); err != nil {
			t.Fatal(err)
		}
		for i, j := range jobs {
			got, err := p.store.Delivery(t.Context(), j.Delivery.ProjectID, j.Delivery.ID)
			if err != nil {
				t.Fatal(err)
			}
			want, attempts := convoy.DeliverySuccess, 1
			switch i {
			case 3:
				attempts = 0
			case 7:
				want, attempts = convoy.DeliveryScheduled, 0
			}
			if n := len(p.attempts(t, got.ID)); got.Status != want || n != attempts {
				t.Errorf("delivery %d is %s with %d attempts, want %s with %d", i, got.Status, n, want, attempts)
			}
		}
	})
}

// scripted makes payloads as it is told.
type scripted struct {
	payload *convoy.Payload
	err     error
}

func (s *scripted) Transform(_ context.Context, _ *convoy.Event, d *convoy.Delivery) (*convoy.Payload, error) {
	if s.payload == nil {
		return nil, s.err
	}
	p := *s.payload
	p.Delivery = d.ID
	return &p, s.err
}

// TestPayloads sends what functions have made, and runs those that had failed
// again before it sends anything.
func TestPayloads(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p *place) {
		for name, tt := range map[string]struct {
			stored convoy.Payload
			made   *convoy.Payload
			body   string // empty: nothing is sent
		}{
			"made":          {convoy.Payload{Data: []byte(`"own"`)}, nil, `"own"`},
			"made late":     {convoy.Payload{Failure: "why"}, &convoy.Payload{Data: []byte(`"late"`)}, `"late"`},
			"fails again":   {convoy.Payload{Failure: "why"}, &convoy.Payload{Failure: "still"}, ""},
			"not needed":    {convoy.Payload{Failure: "why"}, nil, "{}"},
			"function gone": {convoy.Payload{Failure: "why"}, &convoy.Payload{Failure: "deleted"}, ""},
		} {
			sink := newSink(t, nil)
			cfg := p.config(t)
			cfg.Functions = &scripted{payload: tt.made}
			d := start(t, cfg)
			job := p.routed(t, p.endpoint(t, sink.URL), 1, at(3))[0]
			tt.stored.Delivery = job.Delivery.ID
			job.Payload = &tt.stored
			job.Event.Data = []byte("{}")
			d.Take(t.Context(), []convoy.Job{job})
			got := p.ended(t, []convoy.Job{job})[0]
			detail, err := p.store.DeliveryDetail(t.Context(), got.ProjectID, got.ID)
			if err != nil {
				t.Fatal(err)
			}
			reqs := sink.requests()
			if tt.body == "" {
				if got.Status != convoy.DeliveryFailure || got.Description != tt.made.Failure || len(reqs) != 0 || detail.Payload == nil || detail.Payload.Failure != tt.made.Failure {
					t.Errorf("%s: delivery %+v, payload %+v, %d requests", name, got, detail.Payload, len(reqs))
				}
			} else if got.Status != convoy.DeliverySuccess || len(reqs) != 1 || string(reqs[0].body) != tt.body {
				t.Errorf("%s: delivery %+v, requests %+v", name, got, reqs)
			} else if tt.stored.Failure != "" && (detail.Payload == nil || detail.Payload.Failure != "" || string(detail.Payload.Data) != tt.body) {
				t.Errorf("%s: payload %+v, want what was sent", name, detail.Payload)
			}
			d.stop()
		}
	})
}
