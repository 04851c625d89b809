package api

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/catalog"
	"convoy/internal/id"
	"convoy/internal/verify"
)

// Ingest URLs take what third parties send: /ingest/{maskID}, and whatever is
// below it. As every such event passes here, it is written for its cost, like
// publishing.

const (
	ingestPrefix = "/ingest/"
	ingestRoute  = ingestPrefix + "{maskID}"

	ingestedMessage  = "Event received"
	duplicateMessage = "Duplicate event received, but will not be sent"

	headerSourceID = "X-Convoy-Source-Id"
)

var (
	errNoResource = convoy.E(convoy.NotFound, "Resource not found")
	errDisabled   = convoy.E(convoy.Invalid, "source is disabled")
	errEncoding   = &statusError{status: http.StatusUnsupportedMediaType, msg: "Content-Encoding is not supported"}
)

// ingesting are the routes of ingest URLs.
type ingesting struct{ post, get *route }

func (a *api) newIngesting() ingesting {
	i := ingesting{post: a.newRoute(ingestRoute, http.MethodPost), get: a.newRoute(ingestRoute, http.MethodGet)}
	i.post.publishes = true
	return i
}

// ingest serves a path below ingestPrefix, which is clean.
func (a *api) ingest(x *exchange, r *http.Request, path string) {
	mask, _, _ := strings.Cut(path[len(ingestPrefix):], "/")
	switch r.Method {
	case http.MethodPost:
		x.route = a.ingesting.post
	case http.MethodGet:
		x.route = a.ingesting.get
	default:
		a.fail(x, r, methodNotAllowed(http.MethodPost))
		return
	}
	if !auth.IsMask(mask) {
		a.fail(x, r, errNoResource)
		return
	}
	source, project, err := a.Catalog.Source(r.Context(), mask)
	if err == nil && source.Type != convoy.SourceHTTP || convoy.IsNotFound(err) {
		err = errNoResource
	}
	if err != nil {
		a.fail(x, r, err)
		return
	}
	x.project = source.ProjectID
	if source.Damaged != nil { // who may post is not known
		a.fail(x, r, convoy.Wrap(convoy.Unavailable, "source cannot be used now", source.Damaged))
		return
	}
	if r.Method == http.MethodGet {
		a.challenge(x, r, source)
		return
	}
	in := delivered{source: source, project: project, path: path, request: r}
	s := scratches.Get().(*scratch)
	defer s.release()
	if err := a.take(r.Context(), x, &in, s); err != nil {
		a.fail(x, r, err)
		if x.status < http.StatusInternalServerError {
			a.refuse(r.Context(), x, &in, err)
		}
		return
	}
	a.answerIngested(x, &in, s)
}

// delivered is a request to an ingest URL, and what becomes of it.
type delivered struct {
	source  *convoy.Source
	project *catalog.Project
	path    string
	request *http.Request
	// length is that of the body as it came, -1 when it was not read; size that
	// of the JSON made of it.
	length int64
	size   int
	event  *convoy.Event
}

// take checks a request and publishes its event. Nothing in a request is looked
// at before it is known to be genuine but what that takes.
func (a *api) take(ctx context.Context, x *exchange, in *delivered, s *scratch) error {
	src, r := in.source, in.request
	in.length = r.ContentLength
	if src.Disabled {
		return errDisabled
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return errEncoding
	}
	max := in.project.Settings().Config.MaxPayloadReadSize
	if max <= 0 {
		max = a.MaxBody
	}
	var err error
	if s.body, err = readBody(x.ResponseWriter, r, s.body[:0], max); err != nil {
		return err
	}
	in.length = int64(len(s.body))
	req := verify.Request{Header: r.Header, Body: s.body}
	if r.URL.RawQuery != "" {
		req.Query = r.URL.Query() // what can be read of it
	}
	if ct := r.Header.Get("Content-Type"); mayBeForm(ct) {
		if req.Data, err = verify.Form(ct, s.body, req.Query); err != nil {
			return err
		}
		req.Form = req.Data != nil
	}
	v, err := verify.New(src)
	if err != nil {
		return err
	}
	now := a.now()
	if err := v.Verify(&req, now); err != nil {
		return convoy.Wrap(convoy.Invalid, "Request verification failed", err)
	}
	// Whoever has no secret uses up nobody's rate.
	if err := a.IngestRate.take(ctx, 1); err != nil {
		return err
	}
	if !req.Form {
		req.Data = jsonText(s.body)
	}
	in.size = len(req.Data)
	e := &convoy.Event{
		ID: convoy.EventID(id.New(now)), ProjectID: src.ProjectID, Kind: convoy.KindSource, SourceID: src.ID, Type: src.MaskID, Data: req.Data,
		URLQuery: asciiQuery(r.URL.RawQuery), URLPath: textPath(in.path),
		Status: convoy.EventPending, AcknowledgedAt: now, CreatedAt: now, UpdatedAt: now,
	}
	if err := locate(src, &req, e); err != nil {
		return err
	}
	if e.Headers, err = forwarded(src, r.Header, v.Credentials()); err != nil {
		return err
	}
	if err := a.transform(ctx, src, e); err != nil {
		return err
	}
	if err := in.project.CheckData(e); err != nil {
		return err
	}
	in.event = e
	return a.Publisher.Publish(ctx, e)
}

// mayBeForm keeps the parsing of media types off the usual way.
func mayBeForm(contentType string) bool {
	switch contentType {
	case "", "application/json", "application/json; charset=utf-8", "application/json;charset=utf-8":
		return false
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/x-www-form-urlencoded" || kind == "multipart/form-data")
}

// jsonText is the payload of a body that is no form, as a JSON text that is
// valid UTF-8: JSON as it is, nothing as an empty object, and anything else as a
// string.
func jsonText(body []byte) []byte {
	switch {
	case blank(body):
		return []byte("{}")
	case !validJSON(body):
		return appendString(make([]byte, 0, len(body)+2+len(body)/16), string(body))
	}
	text := append(make([]byte, 0, len(body)), body...) // the buffer goes back to the pool
	return mended(text)
}

// locate sets the event type and idempotency key that a source finds in its
// requests.
func locate(src *convoy.Source, req *verify.Request, e *convoy.Event) error {
	if src.EventTypeLocation != "" {
		l, err := verify.ParseLocation(src.EventTypeLocation)
		if err != nil {
			return invalid("event_type_location", err.Error())
		}
		if e.Type, err = verify.EventType(&l, req); err != nil {
			return err
		}
		if text := badText(e.Type, maxEventType); text != "" {
			return invalid(src.EventTypeLocation, text)
		}
	}
	if len(src.IdempotencyKeys) == 0 {
		return nil
	}
	locations := make([]verify.Location, len(src.IdempotencyKeys))
	for i, text := range src.IdempotencyKeys {
		l, err := verify.ParseLocation(text)
		if err != nil {
			return badLocation(text, err)
		}
		locations[i] = l
	}
	key, err := verify.Key(src.Name, locations, req)
	e.IdempotencyKey = key
	return err
}

// answerIngested tells the producer that its event is safe.
func (a *api) answerIngested(x *exchange, in *delivered, s *scratch) {
	h := x.Header()
	if c := in.source.CustomResponse; c.Body != "" {
		contentType := c.ContentType
		if contentType == "" {
			contentType = "text/plain; charset=utf-8"
		}
		h.Set("Content-Type", contentType)
		// The body is a user's, on the host of the dashboard.
		h.Set("Content-Security-Policy", "sandbox")
		h.Set("X-Content-Type-Options", "nosniff")
		s.out = append(s.out[:0], c.Body...)
	} else {
		h["Content-Type"] = jsonType
		message := ingestedMessage
		if in.event.Duplicate {
			message = duplicateMessage
		}
		s.out = append(s.out[:0], `{"status":true,"message":"`...)
		s.out = append(append(s.out, message...), `","data":`...)
		s.out = append(strconv.AppendInt(s.out, int64(in.size), 10), '}')
	}
	x.WriteHeader(http.StatusOK)
	if _, err := x.Write(s.out); err != nil {
		return // the producer has gone; the event stays
	}
}

// challenge answers a GET: Twitter's question whether we know the secret, and
// nobody else's.
func (a *api) challenge(x *exchange, r *http.Request, src *convoy.Source) {
	query := r.URL.Query()
	if !query.Has("crc_token") {
		a.fail(x, r, methodNotAllowed(http.MethodPost))
		return
	}
	if err := mayChallenge(src); err != nil {
		a.fail(x, r, err)
		return
	}
	token, err := verify.ChallengeResponse(src.Verifier.HMAC.Secret, query.Get("crc_token"))
	if err != nil {
		a.fail(x, r, err)
		return
	}
	if now := a.now(); now.Sub(src.CRCVerifiedAt) >= stampEvery {
		ctx, cancel := context.WithTimeout(r.Context(), stampTimeout)
		defer cancel()
		if err := a.Store.MarkSourceVerified(ctx, src.ProjectID, src.ID, now); err != nil {
			a.Log.WarnContext(ctx, "verification of a source not noted", "source_id", src.ID, "err", err)
		} else {
			a.changed(ctx, src.ProjectID)
		}
	}
	x.Header()["Content-Type"] = jsonType
	x.WriteHeader(http.StatusOK)
	if _, err := x.Write(append(appendString([]byte(`{"response_token":`), token), '}')); err != nil {
		return // the asker has gone
	}
}

func mayChallenge(src *convoy.Source) error {
	switch {
	case src.Disabled:
		return errDisabled
	case src.Provider != verify.Twitter || src.Verifier.HMAC == nil:
		return convoy.E(convoy.Invalid, "Provider type undefined")
	}
	return nil
}

// textPath is a path that the store takes.
func textPath(p string) string {
	if badText(p, len(p)) == "" {
		return p
	}
	u := url.URL{Path: p}
	return u.EscapedPath()
}

// asciiQuery is a query that the store takes: the server lets bytes pass that
// are no ASCII and should have been escaped.
func asciiQuery(q string) string {
	i := strings.IndexFunc(q, func(c rune) bool { return c >= 0x80 || c == 0 })
	if i < 0 {
		return q
	}
	b := make([]byte, 0, len(q)+16)
	for _, c := range []byte(q) {
		if c < 0x80 && c != 0 {
			b = append(b, c)
			continue
		}
		const digits = "0123456789ABCDEF"
		b = append(b, '%', digits[c>>4], digits[c&15])
	}
	return string(b)
}
