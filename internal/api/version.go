package api

import "time"

// apiVersion is the date of an API version, "2006-01-02", so that versions
// compare as text. What changed on a date is undone for callers of an earlier
// version.
type apiVersion string

const (
	oldestVersion apiVersion = "0001-01-01"
	// durationsAsNumbers: endpoint durations are numbers of seconds, not Go
	// duration strings; advanced signatures are the default.
	durationsAsNumbers apiVersion = "2024-01-01"
	// plainNames: an endpoint's target_url and title became url and name.
	plainNames    apiVersion = "2024-04-01"
	newestVersion apiVersion = "2025-11-24"
)

// parseVersion reads a version; what is no date is the oldest version.
func parseVersion(s string) (apiVersion, bool) {
	if len(s) != len(time.DateOnly) {
		return oldestVersion, false
	}
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return oldestVersion, false
	}
	return apiVersion(s), true
}
