package convoy_test

import (
	"testing"

	"convoy"
)

func TestMetaProject(t *testing.T) {
	t.Parallel()
	const project = convoy.ProjectID("01KYYC8ABRZK98AK4MBFK0SN6V")
	hidden := project.Meta()
	if hidden == "" || hidden == project {
		t.Fatalf("hidden project %q", hidden)
	}
	if owner, ok := hidden.MetaOf(); !ok || owner != project {
		t.Errorf("%s belongs to %s, %v", hidden, owner, ok)
	}
	if _, ok := project.MetaOf(); ok {
		t.Error("a project counts as hidden")
	}
	for _, p := range []convoy.ProjectID{hidden, "", "P", "71KYYC8ABRZK98AK4MBFK0SN6V", project + "0"} {
		if got := p.Meta(); got != "" {
			t.Errorf("%q has the hidden project %q", p, got)
		}
	}
	for _, p := range []convoy.ProjectID{"", "4", "71KYYC8ABRZK98AK4MBFK0SN6V", hidden + "0"} {
		if owner, ok := p.MetaOf(); ok {
			t.Errorf("%q is hidden and belongs to %q", p, owner)
		}
	}
}

func TestMetaSettings(t *testing.T) {
	t.Parallel()
	p := &convoy.Project{ID: "01KYYC8ABRZK98AK4MBFK0SN6V", Config: convoy.DefaultProjectConfig()}
	p.Config.Strategy = convoy.StrategyConfig{Type: convoy.RetryExponential, Duration: 7, RetryCount: 3}
	p.Config.Signature = convoy.SignatureConfig{Header: "X-Other", Versions: []convoy.SignatureVersion{{Hash: "MD5", Encoding: "base64"}}}
	p.Config.RateLimit, p.Config.DisableEndpoint, p.Config.RequestIDHeader = convoy.RateLimitConfig{Count: 1, Duration: 60}, true, "X-Id"
	p.Config.MetaEvent = convoy.MetaEventConfig{Enabled: true, URL: "https://ops.example.com", Secret: "s", EventType: []string{convoy.MetaEndpointCreated}}
	hidden, e := p.Meta()
	want := convoy.DefaultProjectConfig()
	c := hidden.Config
	if hidden.ID != p.ID.Meta() || c.Strategy != p.Config.Strategy || c.MetaEvent.Enabled || c.DisableEndpoint || c.RateLimit != want.RateLimit ||
		c.Signature.Header != convoy.DefaultSignatureHeader || c.RequestIDHeader != convoy.DefaultRequestIDHeader {
		t.Errorf("settings %+v", c)
	}
	if e.ProjectID != hidden.ID || e.ID != convoy.MetaEndpoint(p.ID) || e.URL != p.Config.MetaEvent.URL || e.Secrets[0].Value != "s" ||
		e.AdvancedSignatures || e.Status != convoy.EndpointActive || e.Timeout() != convoy.DefaultHTTPTimeout {
		t.Errorf("endpoint %+v", e)
	}
	m := &p.Config.MetaEvent
	if !m.Wants(convoy.MetaEndpointCreated) || m.Wants(convoy.MetaEndpointDeleted) {
		t.Error("wrong types are wanted")
	}
	m.Enabled = false
	if _, e := p.Meta(); m.Wants(convoy.MetaEndpointCreated) || e.Status != convoy.EndpointInactive {
		t.Errorf("switched off, and %s", e.Status)
	}
}
