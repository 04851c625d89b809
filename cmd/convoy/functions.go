package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"convoy/internal/function"
)

// functionsCommand is how this binary runs users' functions in a process of its
// own; see docs/functions.md.
const functionsCommand = "run-functions"

func newFunctions() *cobra.Command {
	return &cobra.Command{
		Use: functionsCommand, Short: "Run functions for the process that started this one", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return function.Serve(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// functionsProcess is the command line that runs functions.
func functionsProcess() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, to run functions: %w", err)
	}
	return []string{self, functionsCommand}, nil
}
