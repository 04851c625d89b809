// Command convoy is the webhooks gateway: one binary, one command per role.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"convoy/internal/app"
	"convoy/internal/config"
	"convoy/internal/run"
	"convoy/internal/telemetry"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := run.Signals(context.Background())
	defer stop()
	root := newRoot()
	root.SetContext(ctx)
	if err := root.ExecuteContext(ctx); err != nil {
		var invalid *config.InvalidError
		if errors.As(err, &invalid) {
			fmt.Fprintln(os.Stderr, "convoy: the configuration is refused:")
			for _, p := range invalid.Problems {
				fmt.Fprintln(os.Stderr, "  "+p)
			}
		} else {
			fmt.Fprintln(os.Stderr, "convoy: "+err.Error())
		}
		stop()
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use: "convoy", Short: "A webhooks gateway",
		Long: "Convoy takes events in, keeps them, and delivers each to the endpoints subscribed to it.\n\n" +
			"Start with \"convoy standalone\": it needs nothing else and says how to send the first event.",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(
		newStandalone(),
		newRole(config.RoleServer, "Serve the API", "serve", "s"),
		newRole(config.RoleAgent, "Route and deliver events, and take them in"),
		newRole(config.RoleWorker, "Route and deliver events"),
		newRole(config.RoleScheduler, "Do periodic work; run as many as you like, one acts"),
		newMigrate(), newBootstrap(), newSecrets(), newConfig(), newFunctions(), newVersion(),
	)
	return root
}

// load reads the configuration of a command.
func load(cmd *cobra.Command, role config.Role) (config.Config, app.Options, error) {
	cfg, warnings, err := config.Load(config.Sources{Role: role, Flags: cmd.Flags(), Env: os.Environ()})
	if err != nil {
		return cfg, app.Options{}, err
	}
	log := telemetry.NewLogger(os.Stderr, cfg.Logger.Level)
	for _, w := range warnings {
		log.Warn(w)
	}
	functions, err := functionsProcess()
	if err != nil {
		return cfg, app.Options{}, err
	}
	return cfg, app.Options{Role: role, Config: cfg, Version: version, Functions: functions, Log: log}, nil
}

// newRole is a command that runs until it is stopped.
func newRole(role config.Role, short string, aliases ...string) *cobra.Command {
	cmd := &cobra.Command{
		Use: string(role), Aliases: aliases, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, o, err := load(cmd, role)
			if err != nil {
				return err
			}
			o.Ready = func(addr string) { o.Log.Info("serving", "addr", addr) }
			return app.Run(cmd.Context(), o)
		},
	}
	config.Flags(cmd.Flags(), role)
	return cmd
}
