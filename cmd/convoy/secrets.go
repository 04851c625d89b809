package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"convoy/internal/seal"
)

func newSecrets() *cobra.Command {
	cmd := &cobra.Command{Use: "secrets", Short: "Look after the keys that secrets in the store are sealed with"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "key", Short: "Print a new key for encryption.key, encryption.key_file or encryption.key_command", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), seal.NewKey().Reveal())
				return err
			},
		},
	)
	return cmd
}
