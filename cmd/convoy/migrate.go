package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"convoy/internal/app"
	"convoy/internal/config"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

func newMigrate() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Bring the database schema up to date"}
	config.Flags(cmd.PersistentFlags(), config.RoleTool)
	cmd.AddCommand(
		&cobra.Command{
			Use: "up", Short: "Apply pending migrations", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return withDatabase(cmd, func(ctx context.Context, cfg config.Config, db sqldb.DB) error {
					done, err := sqldb.Migrate(ctx, db)
					for _, m := range done {
						fmt.Fprintln(cmd.OutOrStdout(), "applied", m.Name)
					}
					if err != nil {
						return err
					}
					if len(done) == 0 {
						fmt.Fprintln(cmd.OutOrStdout(), "nothing to apply")
					}
					return store.New(db, store.Secrets{}).EnsurePartitions(ctx, time.Now(), cfg.Scheduler.PartitionsAhead)
				})
			},
		},
		&cobra.Command{
			Use: "status", Short: "List migrations, applied and pending", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return withDatabase(cmd, func(ctx context.Context, _ config.Config, db sqldb.DB) error {
					ms, err := sqldb.Migrations(ctx, db)
					for _, m := range ms {
						state := "pending"
						if !m.AppliedAt.IsZero() {
							state = "applied " + m.AppliedAt.UTC().Format(time.RFC3339)
						}
						fmt.Fprintf(cmd.OutOrStdout(), "%-20s %s\n", m.Name, state)
					}
					return err
				})
			},
		},
	)
	return cmd
}

// withDatabase runs fn with the configured database.
func withDatabase(cmd *cobra.Command, fn func(context.Context, config.Config, sqldb.DB) error) error {
	cfg, o, err := load(cmd, config.RoleTool)
	if err != nil {
		return err
	}
	db, err := app.OpenStore(cmd.Context(), cfg, o.Log)
	if err != nil {
		return err
	}
	defer db.Close()
	return fn(cmd.Context(), cfg, db)
}
