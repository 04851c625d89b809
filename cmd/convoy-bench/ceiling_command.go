package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
)

func newCeilingCommand() *cobra.Command {
	b := &bench{only: []string{"ceiling-sqlite", "ceiling-postgres"}}
	var engine string
	command := &cobra.Command{
		Use:   "ceiling",
		Short: "Measure the practical limit of this machine and engine",
		Long: "Ceiling starts, loads and measures a minimal program that accepts, group-commits the same rows as\n" +
			"Convoy, posts, and group-commits the outcome, without any feature of a product.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch engine {
			case "":
			case "sqlite", "postgres":
				b.only = []string{"ceiling-" + engine}
			default:
				return fmt.Errorf("--engine %q: want sqlite or postgres", engine)
			}
			return b.run(cmd.Context())
		},
	}
	b.flags(command, []string{"closed", "open"})
	command.Flags().StringVar(&engine, "engine", "", "sqlite or postgres (default: both)")
	command.AddCommand(newCeilingServeCommand())
	return command
}

// ceilingServe is the process that `ceiling` and `all` start and measure.
type ceilingServe struct {
	engine, dataDir, dsn, endpointURL string
	port                              int
}

func newCeilingServeCommand() *cobra.Command {
	c := &ceilingServe{}
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run the minimal program itself, for `convoy-bench load`",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	flags := command.Flags()
	flags.StringVar(&c.engine, "engine", "sqlite", "sqlite or postgres")
	flags.StringVar(&c.dataDir, "data-dir", "", "directory of the SQLite file")
	flags.StringVar(&c.dsn, "dsn", "", "PostgreSQL database")
	flags.StringVar(&c.endpointURL, "endpoint-url", "", "where every event is sent")
	flags.IntVar(&c.port, "port", 0, "port of 127.0.0.1 to listen on")
	_ = command.MarkFlagRequired("endpoint-url") // fails only for a flag that does not exist
	return command
}

func (c *ceilingServe) run(ctx context.Context) error {
	var l ledger
	var err error
	switch c.engine {
	case "sqlite":
		if err := os.MkdirAll(c.dataDir, 0o755); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		l, err = openSQLiteLedger(ctx, filepath.Join(c.dataDir, "ceiling.db"), c.endpointURL)
	case "postgres":
		l, err = openPostgresLedger(ctx, c.dsn, c.endpointURL)
	default:
		return fmt.Errorf("--engine %q: want sqlite or postgres", c.engine)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.engine, err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)))
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), l.close())
	}
	return errors.Join(newCeiling(l, c.endpointURL).run(ctx, listener), l.close())
}
