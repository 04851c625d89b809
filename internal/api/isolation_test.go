package api

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"convoy"
	"convoy/internal/auth"
	"convoy/internal/store/sqldb"
)

// intruder is somebody who may not do what is asked, with the credential.
type intruder struct {
	name, key string
	// may, if not nil, reports operations that are the intruder's right.
	may func(op *operationCall) bool
	// ownScope says that the intruder has a project, or a part of one, of its own, to
	// which operations without another id in their path apply whatever the path says.
	ownScope bool
}

// harmless are operations that answer anybody who may call them at all, whatever id
// they are given, and neither show nor change anything.
var harmless = map[string]string{
	"ToggleSubscriptionStatus": "does nothing and checks nothing (contract, 3.6)",
}

// intruders are everybody who may not touch the world.
func (w *world) intruders() []intruder {
	w.t.Helper()
	key := func(change func(*convoy.APIKey)) string {
		return w.newKey(func(k *convoy.APIKey) {
			k.Name, k.Role = "intruder", convoy.Role{Type: convoy.RoleProjectAdmin, Project: w.project.ID}
			change(k)
		})
	}
	views := func(op *operationCall) bool { a := w.accessOf(op); return a == viewsProject || a == viewsOrganisation }
	// What somebody does with an account of its own is nobody else's business.
	self := func(op *operationCall) bool {
		a := w.accessOf(op)
		return (a == signedIn || a == hasSession) && !strings.Contains(op.pattern, "{")
	}
	viewer := w.newUser(w.name("viewer") + "@example.com")
	w.join(viewer, convoy.RoleProjectViewer)
	elsewhere := w.newUser(w.name("elsewhere") + "@example.com")
	refreshing := w.portalLink("else", func(l *convoy.PortalLink) { l.Auth = convoy.PortalRefresh })
	portalKey := func(l *convoy.PortalLink, end time.Time) string {
		token := auth.NewPortalKey()
		if err := w.store.KeepPortalKeys(w.t.Context(), []convoy.PortalKey{{Hash: auth.Hash(token), LinkID: l.ID, ExpiresAt: end}}, w.now); err != nil {
			w.t.Fatal(err)
		}
		return token
	}
	revoked := w.portalLink("else", nil)
	if err := w.store.RevokePortalLink(w.t.Context(), w.project.ID, revoked.ID, w.now); err != nil {
		w.t.Fatal(err)
	}
	ended := w.session(w.user.ID, w.now)
	if err := w.store.EndSession(w.t.Context(), w.user.ID, ended.Session); err != nil {
		w.t.Fatal(err)
	}
	return []intruder{
		{name: "nobody", key: "-"},
		{name: "unknown key", key: "CO.0123456789abcdef." + strings.Repeat("0123456789abcdef", 4)},
		{name: "revoked key", key: key(func(k *convoy.APIKey) { k.RevokedAt = w.now })},
		{name: "expired key", key: key(func(k *convoy.APIKey) { k.ExpiresAt = w.now.Add(-time.Second) })},
		{name: "foreign key", key: w.rival.key, ownScope: true},
		{name: "viewing key", key: key(func(k *convoy.APIKey) { k.Role.Type = convoy.RoleProjectViewer }), may: views},
		{name: "foreign user", key: w.rival.person, may: self},
		{name: "user without an organisation", key: w.session(elsewhere.ID, w.now).Access, may: self},
		{name: "viewer", key: w.session(viewer.ID, w.now).Access, may: func(op *operationCall) bool { return views(op) || self(op) }},
		{name: "ended session", key: ended.Access},
		{name: "portal of another owner", key: w.portalLink("else", nil).Token, ownScope: true},
		{name: "portal key of another owner", key: portalKey(refreshing, w.now.Add(time.Hour)), ownScope: true},
		{name: "portal of another project", key: w.rival.portalLink("ada", nil).Token, ownScope: true},
		{name: "portal without an owner", key: w.portalLink("", nil).Token},
		{name: "revoked portal", key: revoked.Token},
		{name: "expired portal key", key: portalKey(refreshing, w.now.Add(-time.Second))},
		{name: "static token of a portal with keys", key: refreshing.Token},
	}
}

// accessOf is what an operation declares.
func (w *world) accessOf(op *operationCall) access {
	w.t.Helper()
	to := w.api.routes[op.method+" "+op.pattern]
	if to == nil {
		w.t.Fatalf("%s is not served", op.id)
	}
	return to.access
}

// itsOwn are path parameters whose values the intruder's own scope replaces.
var itsOwn = regexp.MustCompile(`\{(projectID|orgID|userID)\}`)

// trespass sends one request and says what is wrong with its answer. ids are the
// world's, which no answer may have.
func (w *world) trespass(op *operationCall, who *intruder, target string, ids []string) string {
	a := w.do(call{method: op.method, path: target, body: op.firstBody(), key: who.key})
	switch a.status {
	case 400, 401, 403, 404:
		return ""
	}
	short := fmt.Sprintf("%s as %s: %d %.300s", op.id, who.name, a.status, a.body)
	switch {
	case a.status >= 300:
		return short
	case harmless[op.id] != "":
		return ""
	case !who.ownScope, strings.Contains(itsOwn.ReplaceAllString(op.pattern, ""), "{"), strings.HasPrefix(op.pattern, uiPrefix):
		return short
	}
	for _, id := range ids {
		if strings.Contains(a.body, id) {
			return "shows " + id + ": " + short
		}
	}
	return ""
}

// TestIsolation asks for every operation of the document as everybody who may not
// have it, and as who may, with every id replaced by one of another tenant.
func TestIsolation(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		w := newWorld(t, db)
		d := walkedDocument(t, w.fixture)
		calls, intruders, foreign := w.ask(d), w.intruders(), w.foreign()
		// An owner's own things, so that the lists of its link have something to hide.
		ids := []string{string(w.project.ID), string(w.org.ID), string(w.user.ID), string(w.endpoint(w.name("hidden")))}
		requests := 0
		for i := range calls {
			op := &calls[i]
			declared := w.accessOf(op)
			if declared == anybody {
				continue
			}
			for j := range intruders {
				who := &intruders[j]
				if who.may != nil && who.may(op) || declared == holdsLink && who.ownScope && strings.Contains(who.name, "portal") {
					continue
				}
				shown := ids
				if strings.HasPrefix(who.name, "portal") && strings.HasSuffix(who.name, "another owner") {
					shown = ids[1:] // it is of this project
				}
				requests++
				if problem := w.trespass(op, who, op.target(w, nil, op.query), shown); problem != "" {
					t.Error(problem)
				}
			}
			if op.key != "" && strings.Contains(op.pattern, "{userID}") {
				continue // a person of its own, whom the next loop would take for the world's
			}
			for _, p := range op.doc.Parameters {
				id, ok := foreign[p.Name]
				if p.In != "path" || !ok {
					continue
				}
				requests++
				who := intruder{name: "its own person, with a foreign " + p.Name, key: op.credential(w)}
				if problem := w.trespass(op, &who, op.target(w, map[string]string{p.Name: id}, op.query), nil); problem != "" {
					t.Error(problem)
				}
			}
		}
		// Nothing of all that has changed anything of the rival's, or of ours.
		w.checkValid(w.ask(d), "after")
		t.Attr("requests", fmt.Sprint(requests))
		if requests < 1000 {
			t.Errorf("only %d requests", requests)
		}
	})
}
