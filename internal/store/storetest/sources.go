package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

// Source makes a source without storing it.
func (f *Fixture) Source(p *convoy.Project) *convoy.Source {
	n := f.next()
	exchange := "exchange"
	return &convoy.Source{
		ID: convoy.SourceID(f.ID(f.Now)), ProjectID: p.ID, MaskID: fmt.Sprintf("mask%012d", n), Name: fmt.Sprintf("source %d", n),
		Type: convoy.SourceHTTP, Provider: "github", Disabled: true,
		Verifier: convoy.Verifier{Type: convoy.VerifierHMAC, HMAC: &convoy.HMACVerifier{
			Header: "X-Signature", Hash: "SHA512", Secret: "s", Encoding: "hex", Template: "{timestamp}.{body}", Tolerance: 60,
		}},
		CustomResponse: convoy.CustomResponse{Body: "ok", ContentType: "text/plain"},
		CRCVerifiedAt:  f.Now.Add(-time.Hour),
		ForwardHeaders: []string{"X-A", "X-B"},
		PubSub: &convoy.PubSub{
			Type: convoy.BrokerAMQP, Workers: 2, AMQP: &convoy.AMQPConfig{Host: "h", Auth: &convoy.AMQPAuth{User: "u"}, BoundExchange: &exchange},
			Google: &convoy.GoogleConfig{ServiceAccount: []byte("{}")},
		},
		IdempotencyKeys: []string{"request.body.id"}, EventTypeLocation: "request.body.type",
		BodyFunction: "function transform(p) { return p }", HeaderFunction: "function transform(h) { return h }",
		CreatedAt: f.Now, UpdatedAt: f.Now,
	}
}

func (f *Fixture) createSource(t *testing.T, p *convoy.Project, change func(*convoy.Source)) *convoy.Source {
	t.Helper()
	src := f.Source(p)
	change(src)
	ok(t, f.S.CreateSource(t.Context(), src))
	return src
}

func sources(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	a := f.createSource(t, p, func(*convoy.Source) {})
	b := f.createSource(t, p, func(src *convoy.Source) {
		src.Disabled, src.Provider, src.CRCVerifiedAt = false, "", time.Time{}
		src.Verifier = convoy.Verifier{Type: convoy.VerifierBasic, Basic: &convoy.BasicAuth{Username: "u", Password: "p"}}
		src.ForwardHeaders, src.PubSub, src.IdempotencyKeys = nil, nil, nil
	})
	for _, want := range []*convoy.Source{a, b} {
		got, err := f.S.Source(ctx, p.ID, want.ID)
		ok(t, err)
		same(t, got, want)
		got, err = f.S.SourceByMask(ctx, want.MaskID)
		ok(t, err)
		same(t, got, want)
	}
	_, err := f.S.Source(ctx, other.ID, a.ID)
	refused(t, err, convoy.NotFound, "source not found")
	_, err = f.S.SourceByMask(ctx, "nobody")
	refused(t, err, convoy.NotFound, "source not found")
	taken := f.Source(p)
	taken.MaskID = a.MaskID
	if err := f.S.CreateSource(ctx, taken); err == nil {
		t.Error("two sources with one mask id")
	}

	changed := *a
	changed.Name, changed.Type, changed.Provider, changed.Disabled = "Renamed", convoy.SourcePubSub, "", false
	changed.Verifier = convoy.Verifier{Type: convoy.VerifierNone}
	changed.CustomResponse = convoy.CustomResponse{}
	changed.ForwardHeaders, changed.IdempotencyKeys, changed.PubSub = []string{}, nil, &convoy.PubSub{Type: convoy.BrokerKafka, Kafka: &convoy.KafkaConfig{Brokers: []string{"h:1"}}}
	changed.EventTypeLocation, changed.BodyFunction, changed.HeaderFunction = "", "", ""
	changed.UpdatedAt = f.Now.Add(time.Minute)
	written := changed
	written.CRCVerifiedAt, written.MaskID = f.Now, "another" // must not be written
	ok(t, f.S.UpdateSource(ctx, &written))
	got, err := f.S.Source(ctx, p.ID, a.ID)
	ok(t, err)
	same(t, got, changed)
	foreign := changed
	foreign.ProjectID = other.ID
	refused(t, f.S.UpdateSource(ctx, &foreign), convoy.NotFound, "source not found")

	changed.CRCVerifiedAt = f.Now.Add(time.Hour)
	refused(t, f.S.MarkSourceVerified(ctx, other.ID, a.ID, f.Now), convoy.NotFound, "source not found")
	ok(t, f.S.MarkSourceVerified(ctx, p.ID, a.ID, changed.CRCVerifiedAt))
	all, err := f.S.AllSources(ctx, p.ID)
	ok(t, err)
	same(t, all, []*convoy.Source{&changed, b})
	all, err = f.S.AllSources(ctx, other.ID)
	ok(t, err)
	same(t, all, []*convoy.Source{})
}

func sourcePages(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p := f.Project(t)
	f.createSource(t, f.Project(t), func(*convoy.Source) {})
	var all []*convoy.Source
	for i, name := range []string{"Alpha", "alphabet", "100%", "under_score"} {
		all = append(all, f.createSource(t, p, func(src *convoy.Source) {
			src.Name = name
			if i%2 == 0 {
				src.Type, src.Provider = convoy.SourcePubSub, "twitter"
			}
		}))
	}
	gone := f.createSource(t, p, func(*convoy.Source) {})
	ok(t, f.S.DeleteSource(ctx, p.ID, gone.ID, f.Now))
	for _, tt := range []struct {
		filter store.SourceFilter
		want   []int
	}{
		{store.SourceFilter{}, []int{3, 2, 1, 0}},
		{store.SourceFilter{Page: store.Page{Asc: true}}, []int{0, 1, 2, 3}},
		{store.SourceFilter{Type: convoy.SourcePubSub}, []int{2, 0}},
		{store.SourceFilter{Provider: "github"}, []int{3, 1}},
		{store.SourceFilter{Provider: "Github"}, nil},
		{store.SourceFilter{Name: "ALPHA"}, []int{1, 0}},
		{store.SourceFilter{Name: "%"}, []int{2}},
		{store.SourceFilter{Name: "_", Type: convoy.SourceHTTP}, []int{3}},
		{store.SourceFilter{Name: "a", Type: convoy.SourcePubSub, Provider: "twitter"}, []int{0}},
	} {
		tt.filter.Project = p.ID
		page, err := f.S.Sources(ctx, tt.filter)
		ok(t, err)
		want := []*convoy.Source{}
		for _, i := range tt.want {
			want = append(want, all[i])
		}
		same(t, page.Items, want)
	}
	var ids []string
	for _, src := range slices.Backward(all) {
		ids = append(ids, string(src.ID))
	}
	walk(t, ids, func(at store.Page) (list, error) {
		page, err := f.S.Sources(ctx, store.SourceFilter{Project: p.ID, Page: at})
		return listed(page, func(src *convoy.Source) string { return string(src.ID) }), err
	})
}

func sourceDelete(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	src := f.createSource(t, p, func(*convoy.Source) {})
	e := f.Endpoint(t, p)
	sub, kept := f.Subscription(e), f.Subscription(e)
	sub.SourceID = src.ID
	ok(t, f.S.CreateSubscription(ctx, sub))
	ok(t, f.S.CreateSubscription(ctx, kept))
	ok(t, f.S.KeepRefusal(ctx, &convoy.SourceRefusal{ID: f.ID(f.Now), SourceID: src.ID, CreatedAt: f.Now}))

	refused(t, f.S.DeleteSource(ctx, other.ID, src.ID, f.Now), convoy.NotFound, "source not found")
	ok(t, f.S.DeleteSource(ctx, p.ID, src.ID, f.Now))
	refused(t, f.S.DeleteSource(ctx, p.ID, src.ID, f.Now), convoy.NotFound, "source not found")
	refused(t, f.S.UpdateSource(ctx, src), convoy.NotFound, "source not found")
	refused(t, f.S.MarkSourceVerified(ctx, p.ID, src.ID, f.Now), convoy.NotFound, "source not found")
	_, err := f.S.Source(ctx, p.ID, src.ID)
	refused(t, err, convoy.NotFound, "source not found")
	_, err = f.S.SourceByMask(ctx, src.MaskID)
	refused(t, err, convoy.NotFound, "source not found")
	all, err := f.S.AllSubscriptions(ctx, p.ID)
	ok(t, err)
	same(t, all, []*convoy.Subscription{kept})
	again := f.Source(p)
	again.MaskID = src.MaskID
	if err := f.S.CreateSource(ctx, again); err == nil {
		t.Error("an old mask id leads to a new source")
	}
}

func sourceRefusals(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	src, second := f.createSource(t, p, func(*convoy.Source) {}), f.createSource(t, p, func(*convoy.Source) {})
	refuse := func(source convoy.SourceID, n int) convoy.SourceRefusal {
		at := f.Now.Add(time.Duration(n) * time.Second)
		r := convoy.SourceRefusal{
			ID: f.ID(at), SourceID: source, Status: 400 + n, Reason: "signature does not match", Unkept: n, IP: "192.0.2.1",
			UserAgent: "a", ContentType: "b", Length: -1, CreatedAt: at,
		}
		ok(t, f.S.KeepRefusal(ctx, &r))
		return r
	}
	kept := []convoy.SourceRefusal{refuse(second.ID, 0)}
	var want []convoy.SourceRefusal
	for n := range store.MaxRefusals + 3 {
		want = append(want, refuse(src.ID, n))
	}
	slices.Reverse(want)
	for _, tt := range []struct {
		project *convoy.Project
		source  *convoy.Source
		want    []convoy.SourceRefusal
	}{
		{p, src, want[:store.MaxRefusals]}, {p, second, kept}, {other, src, []convoy.SourceRefusal{}},
	} {
		got, err := f.S.Refusals(ctx, tt.project.ID, tt.source.ID)
		ok(t, err)
		same(t, got, tt.want)
	}
	ok(t, f.S.DeleteSource(ctx, p.ID, src.ID, f.Now))
	got, err := f.S.Refusals(ctx, p.ID, src.ID)
	ok(t, err)
	same(t, got, []convoy.SourceRefusal{})
}
