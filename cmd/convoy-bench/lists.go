package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"convoy"
	"convoy/internal/store"
	"convoy/internal/store/explain"
	"convoy/internal/store/sqldb"
)

// lists measures the pages of the API on a store with much in it: every list
// with every filter, the usual and the rare, and how the database runs it.
type lists struct {
	bench
	events   int
	requests int
	plans    bool
}

func newListsCommand() *cobra.Command {
	l := &lists{}
	command := &cobra.Command{
		Use:   "lists",
		Short: "Fill private stores and measure the API's lists, with every filter",
		Long: "Lists fills a store of each system with events, deliveries and attempts of six days, of which few are\n" +
			"rare in every way a filter can ask for, starts the system on it, and asks for each list many times.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return l.run(cmd.Context()) },
	}
	l.register(command, time.Hour)
	flags := command.Flags()
	flags.StringSliceVar(&l.only, "only", []string{"embedded", "stored"}, "systems to measure")
	flags.IntVar(&l.events, "stored-events", 1_000_000, "events stored, with as many deliveries and 1.2 times as many attempts")
	flags.IntVar(&l.requests, "requests", 200, "requests per list, after a tenth as many that do not count")
	flags.BoolVar(&l.plans, "plans", true, "also print how the database runs each list")
	flags.StringVar(&l.convoy, "convoy", "", "binary to measure (default: build it)")
	flags.BoolVar(&l.keep, "keep", false, "keep the working directory with logs and data")
	return command
}

func (l *lists) run(ctx context.Context) (err error) {
	if l.events < 10_000 || l.requests < 1 {
		return errors.New("--stored-events must be 10,000 or more, --requests positive")
	}
	for _, name := range l.only {
		s, err := systemNamed(name)
		if err != nil {
			return err
		}
		if s.isCeiling() {
			return fmt.Errorf("%s has no lists", name)
		}
		l.systems = append(l.systems, s)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.timeout, fmt.Errorf("not done within --timeout %v", l.timeout))
	defer cancel()
	if err := l.prepare(ctx); err != nil {
		return errors.Join(err, l.close(l.keep))
	}
	defer func() { err = errors.Join(err, l.close(l.keep || err != nil)) }()
	for _, s := range l.systems {
		if err := l.measure(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// measure fills the store of one system and asks it for every list.
func (l *lists) measure(ctx context.Context, s system) (err error) {
	p, err := l.newPlace(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.drop(context.WithoutCancel(ctx), p)) }()
	// Once, so that the project and an endpoint exist.
	if _, err := l.on(ctx, s, p, func(*running) (measurement, error) { return measurement{}, nil }); err != nil {
		return err
	}
	db, err := l.openStore(ctx, s, p)
	if err != nil {
		return err
	}
	begin := time.Now()
	// Beside sealed ones, the system opens what is in the clear.
	data, err := fillLists(ctx, store.New(db, store.InTheClear()), p.target, l.events)
	db.Close()
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	if !s.sqlite {
		if err := l.sql(ctx, p.database, "VACUUM (ANALYZE)"); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "%s: %d events, %d deliveries and %d attempts stored in %v\n",
		s.name, data.events, data.deliveries, data.attempts, time.Since(begin).Round(time.Second))
	_, err = l.on(ctx, s, p, func(r *running) (measurement, error) {
		return measurement{}, l.table(ctx, s, r.target, data)
	})
	if err != nil || !l.plans {
		return err
	}
	return l.explain(ctx, s, p, data)
}

// openStore connects to the store of a stopped system.
func (l *lists) openStore(ctx context.Context, s system, p *place) (sqldb.DB, error) {
	if !s.sqlite {
		return sqldb.OpenPostgres(ctx, sqldb.PostgresConfig{URL: l.postgres.DSN(p.database), MaxOpen: 4})
	}
	files, err := filepath.Glob(filepath.Join(p.dir, "*.db"))
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("%s holds %d *.db files, want 1: %w", p.dir, len(files), errors.Join(err, os.ErrNotExist))
	}
	return sqldb.OpenSQLite(ctx, sqldb.SQLiteConfig{Path: files[0], Synchronous: "normal", Readers: 2})
}

// table asks for every list and prints how long the answers took.
func (l *lists) table(ctx context.Context, s system, t target, data *listData) error {
	fmt.Printf("\n### Lists, %s: %d events, %d deliveries, %d attempts; milliseconds of %d requests each\n\n",
		s.name, data.events, data.deliveries, data.attempts, l.requests)
	fmt.Print("| list | rows | p50 | p95 | p99 | max |\n|---|---|---|---|---|---|\n")
	client := &http.Client{Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	for _, q := range data.queries() {
		var took []time.Duration
		rows := 0
		for i := range l.requests + l.requests/10 {
			begin := time.Now()
			body, err := get(ctx, client, t, q.path)
			if errors.Is(err, errTookTooLong) {
				took = append(took, time.Since(begin))
				break
			}
			if err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			if i >= l.requests/10 {
				took = append(took, time.Since(begin))
			}
			rows = strings.Count(body, `"deleted_at"`)
		}
		d := distributionOf(took)
		fmt.Printf("| %s | %d | %.1f | %.1f | %.1f | %.1f |\n", q.name, q.count(rows), inMillis(d.P50), inMillis(d.P95), inMillis(d.P99), inMillis(d.Max))
	}
	return nil
}

// errTookTooLong is the server's answer to a search that it has ended. The row of
// the list then has the one request that was.
var errTookTooLong = errors.New("took too long")

func get(ctx context.Context, client *http.Client, t target, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url+"/api/v1/projects/"+t.project+"/"+path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+t.apiKey)
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode == http.StatusGatewayTimeout {
		return "", errTookTooLong
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d: %.300s", res.StatusCode, body)
	}
	return string(body), nil
}

// explain prints how the database runs each list.
func (l *lists) explain(ctx context.Context, s system, p *place, data *listData) error {
	db, err := l.openStore(ctx, s, p)
	if err != nil {
		return err
	}
	defer db.Close()
	e := &explain.DB{DB: db}
	st := store.New(e, store.InTheClear())
	fmt.Printf("\n### Plans, %s\n", s.name)
	for _, q := range data.queries() {
		if q.run == nil {
			continue
		}
		if err := q.run(ctx, st); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		fmt.Printf("\n%s\n\n```\n", q.name)
		for _, plan := range e.Take() {
			for _, step := range plan.Steps {
				fmt.Println(step)
			}
			fmt.Println()
		}
		fmt.Println("```")
	}
	return nil
}

// listQuery is one list as the API is asked for it and as the store is.
type listQuery struct {
	name, path string
	run        func(ctx context.Context, s *store.Store) error
	// stubs is how often "deleted_at" is in a row besides once.
	stubs int
}

func (q listQuery) count(marks int) int { return marks / (1 + q.stubs) }

// queries are the lists of the API with each filter.
func (d *listData) queries() []listQuery {
	project := convoy.ProjectID(d.project)
	return slices.Concat(d.eventQueries(project), d.deliveryQueries(project), []listQuery{
		{
			name: "attempts of a delivery", path: "eventdeliveries/" + string(d.middleDelivery) + "/deliveryattempts",
			run: func(ctx context.Context, s *store.Store) error {
				_, err := s.Attempts(ctx, project, d.middleDelivery, 10)
				return err
			},
		},
		{name: "endpoints", path: "endpoints"},
		{name: "endpoints by name", path: "endpoints?q=rare"},
		{name: "endpoints of an owner", path: "endpoints?ownerId=" + d.rareOwner},
		{name: "meta events", path: "meta-events"},
		{name: "sources", path: "sources"},
		{name: "event types", path: "event-types"},
		{name: "portal links", path: "portal-links"},
		{name: "jobs", path: "jobs"},
		{name: "subscriptions", path: "subscriptions", stubs: 1},
	})
}

func (d *listData) eventQueries(project convoy.ProjectID) []listQuery {
	from, to := d.start, d.end // as the API asks unless told
	events := func(name, query string, f store.EventFilter) listQuery {
		f.Project, f.From = project, from
		if f.To.IsZero() {
			f.To = to
		}
		return listQuery{name: "events " + name, path: "events?" + query, run: func(ctx context.Context, s *store.Store) error {
			_, err := s.Events(ctx, f)
			return err
		}}
	}
	containing := func(name, query, object string, f store.EventFilter) listQuery {
		c, err := store.ParseContainment(object)
		if err != nil {
			panic(err) // a constant of ours
		}
		f.Search.Contains = []store.Containment{c}
		return events(name, query+"body="+url.QueryEscape(object), f)
	}
	whole := store.EventFilter{}
	busy, rare := d.endpoints[:1], []convoy.EndpointID{d.rareEndpoint}
	middle := store.Page{Cursor: string(d.middleEvent)}
	return []listQuery{
		events("", "", store.EventFilter{}),
		events("from the middle", "next_page_cursor="+string(d.middleEvent), store.EventFilter{Page: middle}),
		events("before the middle", "direction=prev&prev_page_cursor="+string(d.middleEvent), store.EventFilter{Page: store.Page{Cursor: string(d.middleEvent), Prev: true}}),
		events("oldest first", "sort=ASC", store.EventFilter{Page: store.Page{Asc: true}}),
		events("100 a page", "perPage=100", store.EventFilter{Page: store.Page{PerPage: 100}}),
		events("of a day", "startDate="+d.day.Format("2006-01-02T15:04:05")+"&endDate="+d.day.Add(time.Hour).Format("2006-01-02T15:04:05"),
			store.EventFilter{To: d.day.Add(time.Hour)}),
		events("of a busy endpoint", "endpointId="+string(d.endpoints[0]), store.EventFilter{Endpoints: d.endpoints[:1]}),
		events("of a rare endpoint", "endpointId="+string(d.rareEndpoint), store.EventFilter{Endpoints: []convoy.EndpointID{d.rareEndpoint}}),
		events("of two endpoints", "endpointId="+string(d.endpoints[0])+"&endpointId="+string(d.rareEndpoint), store.EventFilter{Endpoints: []convoy.EndpointID{d.endpoints[0], d.rareEndpoint}}),
		events("of a rare source", "sourceId="+d.rareSource, store.EventFilter{Sources: []convoy.SourceID{convoy.SourceID(d.rareSource)}}),
		events("of a rare owner", "ownerId="+d.rareOwner, store.EventFilter{Endpoints: []convoy.EndpointID{d.rareEndpoint}}),
		events("by broker message", "brokerMessageId="+d.brokerMessage, store.EventFilter{BrokerMessage: d.brokerMessage}),
		events("searched for a usual word", "query=invoice", store.EventFilter{Search: store.Search{Text: "invoice"}}),
		events("searched for a rare word", "query=the-ke", store.EventFilter{Search: store.Search{Text: "the-ke"}}),
		events("searched for a part of a key", "query="+d.keyPart, store.EventFilter{Search: store.Search{Text: d.keyPart}}),
		events("searched for an id", "query="+string(d.middleEvent), store.EventFilter{Search: store.Search{Text: string(d.middleEvent)}}),
		events("searched for what none has", "query=none-has-this", store.EventFilter{Search: store.Search{Text: "none-has-this"}}),
		containing("with a usual value", "", `{"customer":{"tier":"gold"}}`, whole),
		containing("with a customer", "", `{"customer":{"id":"cus_77"}}`, whole),
		containing("with a customer, oldest first", "sort=ASC&", `{"customer":{"id":"cus_77"}}`, store.EventFilter{Page: store.Page{Asc: true}}),
		containing("with a rare value", "", `{"id":"the-one"}`, whole),
		containing("with two usual values that few have", "", `{"lines":[{"sku":"sku-7","quantity":3}]}`, whole),
		containing("with a value that none has", "", `{"customer":{"id":"nobody"}}`, whole),
		containing("of a busy endpoint with a customer", "endpointId="+string(busy[0])+"&", `{"customer":{"id":"cus_77"}}`, store.EventFilter{Endpoints: busy}),
		containing("of a rare endpoint with a usual value", "endpointId="+string(rare[0])+"&", `{"customer":{"tier":"gold"}}`, store.EventFilter{Endpoints: rare}),
		containing("of a rare endpoint with a customer", "endpointId="+string(rare[0])+"&", `{"customer":{"id":"cus_77"}}`, store.EventFilter{Endpoints: rare}),
		events("by key", "idempotencyKey="+d.key, store.EventFilter{IdempotencyKey: d.key}),
	}
}

func (d *listData) deliveryQueries(project convoy.ProjectID) []listQuery {
	deliveries := func(name, query string, f store.DeliveryFilter) listQuery {
		f.Project, f.From, f.To = project, d.start, d.end
		return listQuery{name: "deliveries " + name, path: "eventdeliveries?" + query, stubs: 1, run: func(ctx context.Context, s *store.Store) error {
			_, err := s.Deliveries(ctx, f)
			return err
		}}
	}
	statuses := func(s ...convoy.DeliveryStatus) []convoy.DeliveryStatus { return s }
	return []listQuery{
		deliveries("", "", store.DeliveryFilter{}),
		deliveries("from the middle", "next_page_cursor="+string(d.middleDelivery), store.DeliveryFilter{Page: store.Page{Cursor: string(d.middleDelivery)}}),
		deliveries("oldest first", "sort=ASC", store.DeliveryFilter{Page: store.Page{Asc: true}}),
		deliveries("100 a page", "perPage=100", store.DeliveryFilter{Page: store.Page{PerPage: 100}}),
		deliveries("that succeeded", "status=Success", store.DeliveryFilter{Statuses: statuses("Success")}),
		deliveries("that failed", "status=Failure", store.DeliveryFilter{Statuses: statuses("Failure")}),
		deliveries("discarded", "status=Discarded", store.DeliveryFilter{Statuses: statuses("Discarded")}),
		deliveries("to be retried", "status=Retry", store.DeliveryFilter{Statuses: statuses("Retry")}),
		deliveries("scheduled", "status=Scheduled", store.DeliveryFilter{Statuses: statuses("Scheduled")}),
		deliveries("failed or discarded", "status=Failure&status=Discarded", store.DeliveryFilter{Statuses: statuses("Failure", "Discarded")}),
		deliveries("in processing", "status=Processing", store.DeliveryFilter{Statuses: statuses("Processing")}),
		deliveries("of a usual type", "eventType=invoice.paid", store.DeliveryFilter{Type: "invoice.paid"}),
		deliveries("of a rare type", "eventType="+rareType, store.DeliveryFilter{Type: rareType}),
		deliveries("of an unknown type", "eventType=unknown", store.DeliveryFilter{Type: "unknown"}),
		deliveries("of a rare subscription", "subscriptionId="+d.rareSubscription, store.DeliveryFilter{Subscription: convoy.SubscriptionID(d.rareSubscription)}),
		deliveries("of a busy endpoint", "endpointId="+string(d.endpoints[0]), store.DeliveryFilter{Endpoints: d.endpoints[:1]}),
		deliveries("of a rare endpoint", "endpointId="+string(d.rareEndpoint), store.DeliveryFilter{Endpoints: []convoy.EndpointID{d.rareEndpoint}}),
		deliveries("of a busy endpoint that failed", "status=Failure&endpointId="+string(d.endpoints[0]),
			store.DeliveryFilter{Statuses: statuses("Failure"), Endpoints: d.endpoints[:1]}),
		deliveries("of a rare endpoint and type", "eventType="+rareType+"&endpointId="+string(d.rareEndpoint),
			store.DeliveryFilter{Type: rareType, Endpoints: []convoy.EndpointID{d.rareEndpoint}}),
		deliveries("of an event", "eventId="+string(d.middleEvent), store.DeliveryFilter{Event: d.middleEvent}),
		deliveries("of a rare owner", "ownerId="+d.rareOwner, store.DeliveryFilter{Endpoints: []convoy.EndpointID{d.rareEndpoint}}),
		deliveries("by broker message", "brokerMessageId="+d.brokerMessage, store.DeliveryFilter{BrokerMessage: d.brokerMessage}),
		deliveries("by key", "idempotencyKey="+d.key, store.DeliveryFilter{IdempotencyKey: d.key}),
	}
}
