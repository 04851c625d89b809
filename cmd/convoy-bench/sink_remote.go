package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// maxTallied bounds the memory of a tally: 8 bytes per event.
const maxTallied = 20_000_000

// remoteSink is a `convoy-bench sink` in another process or on another host.
// End-to-end latency then depends on how well the two clocks agree.
type remoteSink struct {
	base   string
	client *http.Client
}

func newRemoteSink(base string) *remoteSink {
	return &remoteSink{strings.TrimSuffix(base, "/"), &http.Client{Timeout: 10 * time.Second}}
}

func (s *remoteSink) expect(ctx context.Context, run int64, events int) error {
	_, err := s.call(ctx, http.MethodPost, fmt.Sprintf("%s?run=%d&events=%d", expectPath, run, events))
	return err
}

func (s *remoteSink) progress(ctx context.Context) (int64, error) {
	r, err := s.result(ctx)
	return r.Unique, err
}

func (s *remoteSink) result(ctx context.Context) (received, error) {
	text, err := s.call(ctx, http.MethodGet, resultPath)
	if err != nil {
		return received{}, err
	}
	var r received
	if err := json.Unmarshal(text, &r); err != nil {
		return received{}, fmt.Errorf("sink result: %w", err)
	}
	return r, nil
}

func (s *remoteSink) call(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("sink request: %w", err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	defer response.Body.Close()
	// 20 million events are a bitmap of 2.5 MB, at most 7 MB as JSON numbers.
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("sink answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("sink answered %s to %s", response.Status, path)
	}
	return body, nil
}

func newSinkCommand() *cobra.Command {
	var listen string
	command := &cobra.Command{
		Use:   "sink",
		Short: "Receive deliveries, for a generator in another process (load --sink)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSink(cmd.Context(), listen)
			if err != nil {
				return err
			}
			fmt.Fprintln(os.Stdout, s.url())
			<-cmd.Context().Done()
			s.down()
			return nil
		},
	}
	command.Flags().StringVar(&listen, "listen", "127.0.0.1:9900", "address to listen on")
	return command
}
