package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/mail"
	"time"

	"github.com/spf13/cobra"

	"convoy"
	"convoy/internal/app"
	"convoy/internal/config"
	"convoy/internal/store/sqldb"
)

func newBootstrap() *cobra.Command {
	var (
		b      app.Bootstrap
		format string
		days   int
	)
	cmd := &cobra.Command{
		Use: "bootstrap", Short: "Create the first organisation, administrator and project of an empty instance", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a, err := mail.ParseAddress(b.Email); err != nil || a.Address != b.Email {
				return convoy.E(convoy.Invalid, fmt.Sprintf("--email: %q is not an e-mail address", b.Email))
			}
			if format != "json" && format != "human" {
				return convoy.E(convoy.Invalid, fmt.Sprintf("--format: %q is not allowed, use json or human", format))
			}
			if days < 0 || days > 36500 {
				return convoy.E(convoy.Invalid, "--api-key-expiration: want 0 (never) to 36500 days")
			}
			b.KeyLife = time.Duration(days) * 24 * time.Hour
			return withDatabase(cmd, func(ctx context.Context, cfg config.Config, db sqldb.DB) error {
				scheme := "http://"
				if cfg.Server.HTTP.SSL {
					scheme = "https://"
				}
				c, err := app.SetUp(ctx, db, scheme+cfg.Host, b)
				if err != nil {
					return err
				}
				if format == "json" {
					enc := json.NewEncoder(cmd.OutOrStdout())
					enc.SetIndent("", "  ")
					return enc.Encode(c)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "project   %s\nAPI key   %s\nadmin     %s\npassword  %s\n",
					c.ProjectID, c.APIKey, c.AdminEmail, c.AdminPassword)
				return err
			})
		},
	}
	config.Flags(cmd.Flags(), config.RoleTool)
	f := cmd.Flags()
	f.StringVar(&b.Email, "email", "", "e-mail address of the administrator (required)")
	f.StringVar(&b.FirstName, "first-name", "admin", "first name of the administrator")
	f.StringVar(&b.LastName, "last-name", "admin", "last name of the administrator")
	f.StringVar(&format, "format", "human", "json or human")
	f.BoolVar(&b.WithAPIKey, "with-api-key", false, "make an API key of the project too")
	f.StringVar(&b.KeyName, "api-key-name", "bootstrap-key", "name of that key")
	f.IntVar(&days, "api-key-expiration", 0, "days until that key expires; 0 is never")
	if err := cmd.MarkFlagRequired("email"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}
