package api

import (
	"errors"
	"slices"
	"strings"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/guard"
	"convoy/internal/urltemplate"
)

// metaEventRequest replaces a project's settings of meta events wholly, but for a
// secret that is left out, which stays.
type metaEventRequest struct {
	Enabled   bool     `json:"is_enabled"`
	Type      string   `json:"type,omitempty" enum:"http" doc:"How meta events are sent"`
	EventType []string `json:"event_type,omitempty" doc:"Which are sent: endpoint.created, endpoint.updated, endpoint.deleted, eventdelivery.success, eventdelivery.failed"`
	URL       string   `json:"url,omitempty" maxLength:"2048" doc:"Where they go; needed when they are enabled"`
	Secret    string   `json:"secret,omitempty" maxLength:"512" doc:"Signs them; the old one, or else a generated one, unless given"`
	// PubSub comes back from clients that read the settings before they write them.
	PubSub *metaPubSubRequest `json:"pub_sub,omitempty" hidden:"true"`
}

type metaPubSubRequest struct {
	Type string `json:"type"`
}

// maxMetaTypes leaves room for names that are repeated.
const maxMetaTypes = 32

// Texts of the contract.
const (
	textMetaURL      = "please provide the endpoint url"
	textMetaLoopback = "endpoint url must not point to localhost or loopback addresses"
)

// apply changes c as far as the request is right; found takes what is not.
func (q *metaEventRequest) apply(c *convoy.ProjectConfig, checker urlChecker, found *problems) {
	next := convoy.MetaEventConfig{Enabled: q.Enabled, Type: q.Type, URL: q.URL, Secret: q.Secret}
	if q.Type != "" && q.Type != convoy.MetaHTTP {
		found.add("type", "must be http, meta events are sent in no other way")
	}
	if q.PubSub != nil && q.PubSub.Type != "" {
		found.add("pub_sub", "is not supported, meta events are sent to a url")
	}
	found.text("secret", q.Secret, maxSecret)
	if len(q.EventType) > maxMetaTypes {
		found.add("event_type", "must not be more than "+itoa(maxMetaTypes))
		return
	}
	known := convoy.MetaEventTypes()
	for _, t := range q.EventType {
		if !slices.Contains(known, t) {
			found.add("event_type", "must be of "+strings.Join(known, ", "))
			break
		}
		if !slices.Contains(next.EventType, t) {
			next.EventType = append(next.EventType, t)
		}
	}
	if q.Enabled {
		next.Type = convoy.MetaHTTP
		checkMetaURL(q.URL, c.SSL.EnforceSecureEndpoints, checker, found)
	} else {
		found.text("url", q.URL, maxURL)
	}
	if next.Secret == "" {
		next.Secret = c.MetaEvent.Secret
	}
	if next.Secret == "" && q.Enabled {
		next.Secret = auth.NewSecret()
	}
	c.MetaEvent = next
}

// checkMetaURL checks where meta events are to go.
func checkMetaURL(url string, requireTLS bool, checker urlChecker, found *problems) {
	if url == "" {
		*found = append(*found, textMetaURL) // it names the field
		return
	}
	var denied *guard.DeniedError
	switch err := checker.CheckURL(url, requireTLS); {
	case errors.As(err, &denied) && denied.Class == guard.ClassLoopback && !denied.Blocked:
		*found = append(*found, textMetaLoopback)
	case err != nil:
		found.add("url", text(err))
	case urltemplate.Is(url):
		found.add("url", "must not have placeholders")
	}
}
