package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
)

//go:embed portal.html
var portalHTML []byte

// portalPolicy lets the page run its own script and style, ask this server, and
// nothing else. Who may frame it follows.
var portalPolicy = "default-src 'none'; script-src '" + hashOf(portalHTML, "script") + "'; style-src '" + hashOf(portalHTML, "style") +
	"'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "

// hashOf is the source expression (CSP Level 3, 2.3.1) of the only inline element of
// a name in a page.
func hashOf(page []byte, name string) string {
	_, rest, _ := bytes.Cut(page, []byte("<"+name+">"))
	content, _, _ := bytes.Cut(rest, []byte("</"+name+">"))
	sum := sha256.Sum256(content)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// portalPage serves the page of the customer portal, which a portal link leads to.
// The page is the same for everybody; what it shows it asks for with the link's
// token. A token that opens nothing gets it, too, and is told so there.
func (a *api) portalPage(x *exchange, r *http.Request) {
	err := onlyGet(r)
	if err == nil {
		err = a.takeAddress(r)
	}
	if err != nil {
		a.fail(x, r, err)
		return
	}
	h := x.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", portalPolicy+a.portalFrames(r))
	x.WriteHeader(http.StatusOK)
	if _, err := x.Write(portalHTML); err != nil {
		return // the reader has gone
	}
}

// portalFrames says which pages may show the portal of the request's link in a frame.
func (a *api) portalFrames(r *http.Request) string {
	const nobody = "'none'"
	q := r.URL.Query()
	token := q.Get("auth_token")
	if token == "" {
		token = q.Get("token")
	}
	c, err := a.authenticateLink(r.Context(), token)
	if err != nil {
		return nobody
	}
	p, err := a.Catalog.Project(r.Context(), c.link.ProjectID)
	if err != nil || len(p.Settings().Config.PortalFrameAncestors) == 0 {
		return nobody
	}
	return strings.Join(p.Settings().Config.PortalFrameAncestors, " ")
}

const (
	maxFrameAncestors = 50
	maxOriginLength   = 255
)

// frameAncestor is an origin as a policy names it: a scheme, a host, of which the
// first label may be a wildcard, and perhaps a port (CSP Level 3, 2.3.1).
var frameAncestor = regexp.MustCompile(`^https?://(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*(:[0-9]{1,5})?$`)

// frameAncestors reads the pages that may show a project's portals.
func frameAncestors(given []string, found *problems) []string {
	const field = "portal_frame_ancestors"
	if len(given) > maxFrameAncestors {
		found.add(field, "must have at most 50 origins")
		return nil
	}
	out := make([]string, 0, len(given))
	for _, origin := range given {
		origin = strings.ToLower(origin)
		if len(origin) > maxOriginLength || !frameAncestor.MatchString(origin) {
			found.add(field, "must be origins, such as https://app.example.com or https://*.example.com")
			return nil
		}
		out = append(out, origin)
	}
	return out
}
