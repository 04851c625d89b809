package catalog

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"convoy"
	"convoy/internal/bus"
	"convoy/internal/filter"
	"convoy/internal/id"
	"convoy/internal/redisconn"
	"convoy/internal/store/sqldb"
	"convoy/internal/testenv"
)

// TestSubscriptionTakesEffect makes and changes a subscription in one process:
// another has it soon, on every bus. The clock stands still, so that no entry
// is read again because of its age.
func TestSubscriptionTakesEffect(t *testing.T) {
	t.Parallel()
	quiet := slog.New(slog.DiscardHandler)
	for name, pair := range map[string]func(t *testing.T) (one, two bus.Bus){
		"memory": func(*testing.T) (one, two bus.Bus) { m := bus.NewMemory(); return m, m },
		"redis": func(t *testing.T) (one, two bus.Bus) {
			addr, prefix := testenv.RedisAddr(t)
			open := func() bus.Bus {
				client, err := redisconn.Open(t.Context(), redisconn.Config{Addrs: []string{addr}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(client.Close)
				return bus.NewRedis(client, prefix, quiet)
			}
			return open(), open()
		},
		"postgres": func(t *testing.T) (one, two bus.Bus) {
			db, err := sqldb.OpenPostgres(context.WithoutCancel(t.Context()), sqldb.PostgresConfig{
				URL: testenv.PostgresDSN(t), MaxOpen: 4, MaxLifetime: time.Hour, Log: quiet,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(db.Close)
			return bus.NewStored(db, "takes_effect_", quiet), bus.NewStored(db, "takes_effect_", quiet)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			m1, m2 := pair(t)
			one, two := b.catalog(m1), b.catalog(m2)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = m1.Run(ctx) })
			if m1 != m2 {
				wg.Go(func() { _ = m2.Run(ctx) })
			}
			defer wg.Wait()
			defer cancel()
			takes := func(event string) bool {
				v, err := two.Project(ctx, b.project.ID)
				if err != nil {
					t.Fatal(err)
				}
				exact, patterns := v.SubscriptionsFor(event)
				return len(exact.All())+len(patterns.All()) > 0
			}
			// The first message shows that the second listens.
			if _, err := two.Project(ctx, b.project.ID); err != nil {
				t.Fatal(err)
			}
			b.rename(t, "Store")
			testenv.Eventually(t, 30*time.Second, func() bool {
				if err := one.Changed(ctx, b.project.ID); err != nil {
					return false
				}
				v, err := two.Project(ctx, b.project.ID)
				return err == nil && v.Settings().Name == "Store"
			})
			e, now := b.endpoint(t), time.Now()
			s := &convoy.Subscription{ID: convoy.SubscriptionID(id.New(now)), ProjectID: b.project.ID, EndpointID: e.ID, Mode: convoy.AtLeastOnce}
			for _, event := range []string{"made", "changed"} {
				s.Filters = filter.ForTypes(s.ID, []string{event}, nil, now)
				write := b.src.UpdateSubscription
				if event == "made" {
					write = b.src.CreateSubscription
				}
				if err := write(ctx, s); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if err := one.Changed(ctx, b.project.ID); err != nil {
					t.Fatal(err)
				}
				testenv.Eventually(t, 10*time.Second, func() bool { return takes(event) })
				if took := time.Since(start); took > time.Second {
					t.Errorf("%s: it took %v", event, took)
				}
			}
			if takes("made") {
				t.Error("the former event type is taken still")
			}
		})
	}
}
