package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/verify"
)

// Of what a source refuses, every process keeps some: a burst, then one in a
// while, so that whoever sends nonsense does not write to the database at will.
const (
	refusalBurst = 5
	refusalEvery = 10 * time.Second
	// maxSampled bounds the sources whose refusals are counted.
	maxSampled = 4096
	// refusalTimeout bounds the write, which the refused one waits for.
	refusalTimeout = 2 * time.Second
	// maxRefusalText bounds what is kept of a text that the sender chose.
	maxRefusalText = 256
)

// sampler says which refusals are kept.
type sampler struct {
	mu      sync.Mutex
	sources map[convoy.SourceID]*sample
}

// sample is a bucket of refusals that may be kept, and a count of those that
// were not.
type sample struct {
	left   int
	since  time.Time // when left was refilled last
	unkept int
}

func newSampler() *sampler { return &sampler{sources: make(map[convoy.SourceID]*sample)} }

// keep reports whether a refusal is to be kept, and how many were not since the
// last that was.
func (s *sampler) keep(source convoy.SourceID, now time.Time) (unkept int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.sources[source]
	if b == nil {
		for other := range s.sources {
			if len(s.sources) < maxSampled {
				break
			}
			delete(s.sources, other)
		}
		b = &sample{left: refusalBurst, since: now}
		s.sources[source] = b
	}
	if n := int(now.Sub(b.since) / refusalEvery); n > 0 {
		b.left, b.since = min(b.left+n, refusalBurst), b.since.Add(time.Duration(n)*refusalEvery)
	}
	if b.left == 0 {
		b.unkept++
		return 0, false
	}
	b.left--
	unkept, b.unkept = b.unkept, 0
	return unkept, true
}

// refuse keeps and logs a request that was not taken, if it is one of those.
// Nothing of its body is kept.
func (a *api) refuse(ctx context.Context, x *exchange, in *delivered, err error) {
	now := a.now()
	unkept, ok := a.refused.keep(in.source.ID, now)
	if !ok {
		return
	}
	r := in.request
	ip, _, splitErr := net.SplitHostPort(r.RemoteAddr)
	if splitErr != nil {
		ip = r.RemoteAddr
	}
	kept := &convoy.SourceRefusal{
		ID: id.New(now), SourceID: in.source.ID, Status: x.status, Reason: short(reason(err)), Unkept: unkept, IP: short(ip),
		UserAgent: short(r.UserAgent()), ContentType: short(r.Header.Get("Content-Type")), Length: in.length, CreatedAt: now,
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalTimeout)
	defer cancel()
	attrs := []slog.Attr{
		slog.String("source_id", string(kept.SourceID)), slog.String("project_id", string(in.source.ProjectID)),
		slog.Int("status", kept.Status), slog.String("reason", kept.Reason), slog.Int("unkept", unkept), slog.String("ip", kept.IP),
		slog.Int64("bytes", kept.Length), slog.String("request_id", x.id),
	}
	if err := a.Store.KeepRefusal(ctx, kept); err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	a.Log.LogAttrs(ctx, slog.LevelWarn, "ingest.refused", attrs...)
}

// reason is why a request was refused, for the owner of its source: more than
// the sender learns where that could help a forger.
func reason(err error) string {
	var (
		refusal verify.Refusal
		known   *convoy.Error
	)
	switch {
	case errors.As(err, &refusal):
		return refusal.Error()
	case errors.As(err, &known) && known.Err != nil:
		return known.Error()
	}
	return err.Error()
}

// short is the beginning of a text, fit for the store.
func short(s string) string {
	if len(s) > maxRefusalText {
		s = s[:maxRefusalText]
	}
	return cleanText(s)
}

// refusalView is a refusal as clients see it.
type refusalView struct {
	UID         string    `json:"uid"`
	Status      int       `json:"status" doc:"What the request was answered with"`
	Reason      string    `json:"reason"`
	Unkept      int       `json:"unkept" doc:"How many refusals before this one are not listed"`
	IP          string    `json:"ip_address"`
	UserAgent   string    `json:"user_agent"`
	ContentType string    `json:"content_type"`
	Length      int64     `json:"content_length" doc:"In bytes; -1 when it is not known"`
	CreatedAt   time.Time `json:"created_at"`
}

func (a *api) refusals(ctx context.Context, in *SourcePath) ([]refusalView, error) {
	s, err := a.findSource(ctx, in)
	if err != nil {
		return nil, err
	}
	list, err := a.Store.Refusals(ctx, s.ProjectID, s.ID)
	if err != nil {
		return nil, err
	}
	out := make([]refusalView, len(list))
	for i, r := range list {
		out[i] = refusalView{
			UID: r.ID, Status: r.Status, Reason: r.Reason, Unkept: r.Unkept, IP: r.IP, UserAgent: r.UserAgent,
			ContentType: r.ContentType, Length: r.Length, CreatedAt: r.CreatedAt,
		}
	}
	return out, nil
}
