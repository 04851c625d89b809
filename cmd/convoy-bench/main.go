// Command convoy-bench measures a webhooks gateway from the outside: it
// publishes events through the public API, receives the deliveries, and
// reports throughput, end-to-end latency, losses, duplicates, and what each
// process spent on it.
//
// It drives any server with Convoy's publishing API. The ceiling it compares
// with is a program of its own, started and measured in the same way: it
// stores the same rows and makes the same requests without being a product.
//
// It is not part of the gateway and imports none of its packages, apart from
// the one that starts private PostgreSQL and Redis servers.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "convoy-bench:", err)
		if errors.Is(err, context.Canceled) {
			os.Exit(130)
		}
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "convoy-bench",
		Short:         "Measure a webhooks gateway and the limit of the machine it runs on",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newSinkCommand(), newLoadCommand(), newCeilingCommand(), newAllCommand(), newListsCommand())
	return root
}
