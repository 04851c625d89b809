package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"convoy/internal/app"
	"convoy/internal/config"
)

func newStandalone() *cobra.Command {
	cmd := &cobra.Command{
		Use: "standalone", Short: "Run everything in one process, on one node, with nothing else installed", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, o, err := load(cmd, config.RoleStandalone)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			o.Ready = func(string) {
				fmt.Fprintf(out, "Convoy %s is ready at http://localhost:%d (API documentation at /docs)\n", version, cfg.Server.HTTP.Port)
			}
			return app.Standalone(cmd.Context(), o, func(c app.Credentials) { greet(out, c, cfg.DataDir) })
		},
	}
	config.Flags(cmd.Flags(), config.RoleStandalone)
	return cmd
}

// greet prints what a first run has created and how to send the first event.
func greet(w io.Writer, c app.Credentials, dir string) {
	api := c.URL + "/api/v1/projects/" + c.ProjectID
	fmt.Fprintf(w, `A first project has been created. This is shown once and kept in %s/credentials.json:

  project   %s
  API key   %s
  admin     %s
  password  %s

Send the first event. Start a receiver (or use your own), make an endpoint for it, and publish:

  KEY=%s
  ENDPOINT=$(curl -s %s/endpoints -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \
    -d '{"name":"my endpoint","url":"http://localhost:8080/webhook","secret":"my secret"}' \
    | sed -n 's/.*"data":{"uid":"\([^"]*\)".*/\1/p')
  curl -s %s/events -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \
    -d '{"endpoint_id":"'$ENDPOINT'","event_type":"invoice.paid","data":{"amount":1200}}'
  curl -s %s/eventdeliveries -H "Authorization: Bearer $KEY"

`, dir, c.ProjectID, c.APIKey, c.AdminEmail, c.AdminPassword, c.APIKey, api, api, api)
}
