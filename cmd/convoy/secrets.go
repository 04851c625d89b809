package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"convoy"
	"convoy/internal/app"
	"convoy/internal/config"
	"convoy/internal/seal"
	"convoy/internal/store"
	"convoy/internal/store/sqldb"
)

func newSecrets() *cobra.Command {
	cmd := &cobra.Command{Use: "secrets", Short: "Look after the keys that secrets in the store are sealed with"}
	cmd.AddCommand(
		newSecretsStatus(), newSecretsInit(), newSecretsRotate(), newSecretsRewrap(),
		&cobra.Command{
			Use: "key", Short: "Print a new key for encryption.key, encryption.key_file or encryption.key_command", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), seal.NewKey().Reveal())
				return err
			},
		},
	)
	for _, c := range cmd.Commands() {
		if c.Name() != "key" {
			config.Flags(c.Flags(), config.RoleTool)
		}
	}
	return cmd
}

func newSecretsStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Count secrets by column and by the key they are sealed with", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDatabase(cmd, func(ctx context.Context, cfg config.Config, db sqldb.DB) error {
				status, err := app.Secrets(ctx, cfg, db)
				if err != nil {
					return err
				}
				return printSecrets(cmd.OutOrStdout(), status)
			})
		},
	}
}

func printSecrets(out io.Writer, status app.SecretsStatus) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if status.Key == 0 {
		fmt.Fprintln(w, "no keys: secrets are in the clear")
	} else {
		fmt.Fprintf(w, "secrets are sealed with the key %d\n", status.Key)
	}
	fmt.Fprintln(w, "COLUMN\tSEALED\tFORMER KEY\tCLEAR\tDAMAGED")
	for _, c := range status.Counts {
		former := 0
		for _, key := range slices.Sorted(maps.Keys(c.Sealed)) {
			if key != status.Key && key != 0 {
				former += c.Sealed[key]
			}
		}
		current := 0
		if status.Key != 0 {
			current = c.Sealed[status.Key]
		}
		fmt.Fprintf(w, "%s.%s\t%d\t%d\t%d\t%d\n", c.Table, c.Column, current, former, c.Clear, c.Sealed[0])
	}
	return w.Flush()
}

func newSecretsInit() *cobra.Command {
	return &cobra.Command{
		Use: "init", Short: "Seal secrets that are in the clear, while processes that have the key run", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, func(ctx context.Context, s *store.Store) error { return sealAll(ctx, cmd.OutOrStdout(), s, time.Now()) })
		},
	}
}

func newSecretsRotate() *cobra.Command {
	var (
		resume bool
		wait   time.Duration
	)
	cmd := &cobra.Command{
		Use: "rotate", Short: "Make a new key for secrets and seal all with it, while processes run", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait < 0 || wait > time.Hour {
				return convoy.E(convoy.Invalid, "--wait: want 0s to 1h")
			}
			return withStore(cmd, func(ctx context.Context, s *store.Store) error {
				if !resume {
					if err := s.RotateKeys(ctx, time.Now()); err != nil {
						return err
					}
					fmt.Fprintln(cmd.OutOrStdout(), "there is a new key; sealing with it")
				}
				return sealAll(ctx, cmd.OutOrStdout(), s, time.Now().Add(wait))
			})
		},
	}
	cmd.Flags().BoolVar(&resume, "resume", false, "make no new key, but finish what was broken off")
	cmd.Flags().DurationVar(&wait, "wait", app.RotationWait, "how long to go on, since other processes may seal with the former key for so long; 0s when none runs")
	return cmd
}

func newSecretsRewrap() *cobra.Command {
	var next seal.Source
	cmd := &cobra.Command{
		Use: "rewrap", Short: "Protect the keys in the store with another encryption key", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (next.File == "") == (next.Command == "") {
				return convoy.E(convoy.Invalid, "set one of --new-key-file and --new-key-command")
			}
			return withDatabase(cmd, func(ctx context.Context, cfg config.Config, db sqldb.DB) error {
				if err := app.RewrapSecrets(ctx, cfg, db, next); err != nil {
					return err
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "done: processes need the new key from their next start on; restart them soon")
				return err
			})
		},
	}
	cmd.Flags().StringVar(&next.File, "new-key-file", "", "file with the new key")
	cmd.Flags().StringVar(&next.Command, "new-key-command", "", "program with arguments that prints the new key")
	return cmd
}

// withStore runs fn with a store that seals.
func withStore(cmd *cobra.Command, fn func(context.Context, *store.Store) error) error {
	return withDatabase(cmd, func(ctx context.Context, cfg config.Config, db sqldb.DB) error {
		secrets, err := app.OpenSecrets(ctx, cfg, db)
		if err != nil {
			return err
		}
		return fn(ctx, store.New(db, secrets))
	})
}

// shownDamages bounds the values that do not open of which each is named.
const shownDamages = 20

func sealAll(ctx context.Context, out io.Writer, s *store.Store, until time.Time) error {
	done, err := app.SealAll(ctx, s, until)
	fmt.Fprintf(out, "%d rows sealed\n", done.Rows)
	if err != nil {
		return err
	}
	if n := len(done.Unopened); n > 0 {
		return convoy.Wrap(convoy.Conflict, fmt.Sprintf("%d values do not open and stay as they are", n), errors.Join(done.Unopened[:min(n, shownDamages)]...))
	}
	return nil
}
