// Package telemetry is what a process says about itself: its logger and its
// metrics.
//
// It decides names, labels and buckets, and nothing else: what is counted, and
// when, is up to those who do the work. No label grows with the data: there are
// none for projects, endpoints, sources or event types.
package telemetry

import (
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes one JSON object per line to w, from
// level on: debug, info, warn or error. Anything else means info.
func NewLogger(w io.Writer, level string) *slog.Logger {
	var least slog.Level
	switch level {
	case "debug":
		least = slog.LevelDebug
	case "warn":
		least = slog.LevelWarn
	case "error":
		least = slog.LevelError
	default:
		least = slog.LevelInfo
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least}))
}
