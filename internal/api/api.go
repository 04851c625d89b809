// Package api serves the public REST API under /api/v1, what the dashboard needs besides
// under /ui, their OpenAPI document
// and pages, and the health checks. It turns requests into the vocabulary of
// package convoy, asks the store or the publisher, and turns results and errors
// into the envelope clients know. It routes and delivers nothing itself.
//
// The document and the control plane come from typed operations (register.go,
// one file per resource); publishing, which every event passes, is written by
// hand (publish.go).
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/sync/semaphore"

	"convoy"
	"convoy/internal/catalog"
	"convoy/internal/oauth"
	"convoy/internal/signin"
	"convoy/internal/store"
	"convoy/internal/telemetry"
)

// publisher takes events in. Publish returns when the event is durable and may
// set its status and whether it is a duplicate; its errors are *convoy.Error.
type publisher interface {
	Publish(ctx context.Context, e *convoy.Event) error
	// PublishAll is Publish for several events at once. It returns an error for
	// each, nil for those that are durable.
	PublishAll(ctx context.Context, events []*convoy.Event) []error
}

// directory answers what every request asks, from memory. Its errors are
// *convoy.Error: NotFound for what does not exist, Unavailable when that cannot
// be known now.
type directory interface {
	Key(ctx context.Context, token string) (*convoy.APIKey, error)
	Project(ctx context.Context, id convoy.ProjectID) (*catalog.Project, error)
	// Source finds a source by its public name.
	Source(ctx context.Context, mask string) (*convoy.Source, *catalog.Project, error)
	// Reload is Project as the store has it now.
	Reload(ctx context.Context, id convoy.ProjectID) (*catalog.Project, error)
	// Changed is called after every write to a project or to something in it.
	Changed(ctx context.Context, id convoy.ProjectID) error
	// KeysChanged is called after every write to API keys.
	KeysChanged(ctx context.Context) error
	// Session finds whom an access token speaks for, Membership what a person may do.
	Session(ctx context.Context, token string) (*store.Access, error)
	Membership(ctx context.Context, user convoy.UserID, org convoy.OrganisationID) (*convoy.Membership, error)
	// PortalLink finds the link that a static token opens, or with byKey a key.
	PortalLink(ctx context.Context, token string, byKey bool) (*convoy.PortalLink, error)
	// PeopleChanged is called after every write to memberships and portal links.
	PeopleChanged(ctx context.Context) error
}

// urlChecker decides which URLs may be saved; its errors are *convoy.Error.
type urlChecker interface {
	CheckURL(rawURL string, requireTLS bool) error
}

// pinger asks an endpoint's URL for a sign of life and gives up by itself.
type pinger interface {
	Ping(ctx context.Context, url string) error
}

// tokenTester asks an OAuth 2.0 token endpoint for a token.
type tokenTester interface {
	Fetch(ctx context.Context, a *convoy.OAuth2Auth) (oauth.Token, error)
}

// transformer runs functions. An error of kind Invalid is the function's.
type transformer interface {
	Transform(ctx context.Context, source string, payload []byte) ([]byte, error)
}

// replayer routes stored events again, under the name of a replay and its time.
type replayer interface {
	Replay(ctx context.Context, events []*convoy.Event, replay string, at time.Time) (deliveries, unmatched int, err error)
}

// alarm tells people behind an endpoint that it was activated again.
type alarm interface {
	Activated(ctx context.Context, p *convoy.Project, e *convoy.Endpoint)
}

// waker tells whoever works on batch jobs that one waits.
type waker interface{ Wake(ctx context.Context) }

// Check is one thing that must work for the process to take requests.
type Check struct {
	// Name is shown by /readyz.
	Name  string
	Probe func(ctx context.Context) error
}

// Config is what [New] needs. All fields without a note are required.
type Config struct {
	Store     *store.Store
	Catalog   directory
	Publisher publisher
	Guard     urlChecker
	// Ping checks https endpoints when they are saved; nil leaves that out.
	Ping pinger
	// Tokens tries OAuth 2.0 configurations out.
	Tokens tokenTester
	// Functions checks and tries users' functions; nil refuses them.
	Functions functionRunner
	// Transformer runs the functions of sources on what comes in. It is apart
	// from Functions, so that nobody who tries functions out keeps events waiting;
	// nil refuses what a function should change.
	Transformer transformer
	Replayer    replayer
	Jobs        waker
	// BatchRate is the most that a batch job processes in a second unless asked
	// otherwise; [DefaultBatchRate] when 0.
	BatchRate int
	// MaxRetry is shown as the bound on the wait between the tries of a delivery;
	// [DefaultMaxRetry] when 0.
	MaxRetry time.Duration
	// Alarm gives the all-clear for endpoints; optional.
	Alarm alarm
	// Taker hastens meta events; optional.
	Taker taker
	// SignIn is where people sign in.
	SignIn *signin.Desk
	// PortalDisabled refuses whoever holds a portal link.
	PortalDisabled bool
	// TrustedProxies are believed where they say a request comes from, and how.
	TrustedProxies []netip.Prefix
	// Ready are the checks of /readyz; optional.
	Ready []Check
	Log   *slog.Logger
	// Metrics is optional.
	Metrics *telemetry.Metrics
	// Version is the build's.
	Version string
	// APIVersion is the date of the API that callers get who do not ask for
	// one; the newest when empty.
	APIVersion string
	// PublicURL is where the outside world reaches this server, without a slash at
	// the end; links in answers begin with it.
	PublicURL string
	// RootPath is a prefix under which everything is served too, "/x" or "".
	RootPath string
	// IngestRate limits events, APIRate the other requests under /api/v1/projects.
	IngestRate, APIRate Rate
	// KeyRate and UserRate limit what each key and each person asks for besides
	// publishing, AddressRate what an address asks for without a credential that is
	// accepted.
	KeyRate, UserRate, AddressRate CallerRate
	// MaxBody is the longest request body in bytes; [DefaultMaxBody] when 0.
	MaxBody int64
	// Clock is the time; time.Now when nil.
	Clock func() time.Time
}

// DefaultMaxBody is the longest request body unless configured, in bytes.
const DefaultMaxBody = 1 << 20

// DefaultMaxRetry is the longest wait between tries unless configured.
const DefaultMaxRetry = 2 * time.Hour

// DefaultBatchRate is the pace of batch jobs unless configured.
const DefaultBatchRate = 1000

// api is the handler; its fields do not change after New.
type api struct {
	Config
	version apiVersion
	prefix  string // RootPath in clean form, "" for none
	mux     *http.ServeMux
	// routes are by the mux's patterns; pages, outside /api, by path.
	routes map[string]*route
	pages  map[string]page
	// publishing are the routes that take events, by their suffix.
	publishing map[string]*publishing
	lost       *route
	ingesting  ingesting
	refused    *sampler
	ids        requestIDs
	// batchBytes bounds the bodies of batches that are held at once.
	batchBytes *semaphore.Weighted
	document   []byte // openapi.json

	// versionHeader is shared by all responses and never written to.
	versionHeader []string
	// crossOrigin refuses what pages of other origins make a browser send.
	crossOrigin http.CrossOriginProtection
}

// New makes the handler.
func New(cfg Config) (http.Handler, error) {
	if cfg.Store == nil || cfg.Catalog == nil || cfg.Publisher == nil || cfg.Guard == nil || cfg.Tokens == nil || cfg.Log == nil ||
		cfg.Replayer == nil || cfg.Jobs == nil || cfg.SignIn == nil {
		return nil, errors.New("api: store, catalog, publisher, guard, tokens, replayer, jobs, sign-in and log are required")
	}
	if cfg.BatchRate <= 0 {
		cfg.BatchRate = DefaultBatchRate
	}
	if cfg.MaxRetry <= 0 {
		cfg.MaxRetry = DefaultMaxRetry
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Metrics == nil {
		cfg.Metrics = telemetry.Discard()
	}
	if cfg.APIVersion == "" {
		cfg.APIVersion = string(newestVersion)
	}
	version, ok := parseVersion(cfg.APIVersion)
	if !ok {
		return nil, errors.New("api: version " + cfg.APIVersion + " is not a date (YYYY-MM-DD)")
	}
	a := &api{
		Config:        cfg,
		version:       version,
		prefix:        rootPath(cfg.RootPath),
		mux:           http.NewServeMux(),
		routes:        make(map[string]*route),
		pages:         make(map[string]page),
		ids:           newRequestIDs(),
		batchBytes:    semaphore.NewWeighted(max(batchBudget, maxBatchBody(cfg.MaxBody))),
		versionHeader: []string{cfg.APIVersion},
	}
	if err := a.register(humago.New(a.mux, documentConfig(cfg.Version, a.prefix))); err != nil {
		return nil, err
	}
	for path, serve := range map[string]func(*exchange, *http.Request){
		"/healthz":      a.health,
		"/health":       a.health,
		"/readyz":       a.ready,
		"/openapi.json": a.openAPI,
		"/docs":         a.docs,
		"/portal":       a.portalPage,
	} {
		a.pages[path] = page{route: a.newRoute(path, ""), serve: serve}
	}
	a.lost = a.newRoute("unmatched", "")
	a.ingesting = a.newIngesting()
	a.refused = newSampler()
	return a, nil
}

// route is what logs and metrics say of a request instead of its path, so that
// their values are few.
type route struct {
	pattern string
	metrics *telemetry.HTTPRoute
	// publishes marks the routes that take events.
	publishes bool
	// access is what callers need; undeclared for what anybody may ask for.
	access access
	portal portalRight
}

// newRoute makes a route; an empty method stands for any.
func (a *api) newRoute(pattern, method string) *route {
	if method == "" {
		method = "any"
	}
	return &route{pattern: pattern, metrics: a.Metrics.HTTPRoute(pattern, method)}
}

// page is something served outside /api, to anybody.
type page struct {
	route *route
	serve func(*exchange, *http.Request)
}

// register makes all operations and, from them, the document.
func (a *api) register(h huma.API) error {
	r := &registrar{api: a, huma: h}
	a.projectRoutes(r)
	a.endpointRoutes(r)
	a.eventTypeRoutes(r)
	a.subscriptionRoutes(r)
	a.functionRoutes(r)
	a.filterRoutes(r)
	a.portalRoutes(r)
	a.onboardRoutes(r)
	a.eventRoutes(r)
	a.replayRoutes(r)
	a.deliveryRoutes(r)
	a.retryRoutes(r)
	a.jobRoutes(r)
	a.attemptRoutes(r)
	a.metaEventRoutes(r)
	a.sourceRoutes(r)
	a.signinRoutes(r)
	a.profileRoutes(r)
	a.sessionRoutes(r)
	a.totpRoutes(r)
	a.keyRoutes(r)
	a.organisationRoutes(r)
	a.dashboardRoutes(r)
	a.ownPortalRoutes(r)
	a.auditRoutes(r)
	a.memberRoutes(r)
	a.invitationRoutes(r)
	if len(r.undeclared) > 0 {
		return fmt.Errorf("operations %v do not declare what their callers need", r.undeclared)
	}
	var err error
	a.document, err = r.document()
	return err
}

// now is the time of a request, with the precision the store keeps, so that a
// created thing reads the same later.
func (a *api) now() time.Time { return a.Clock().UTC().Truncate(time.Microsecond) }
