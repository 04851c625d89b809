package storetest

import (
	"testing"
	"time"

	"convoy"
	"convoy/internal/store"
)

func portalLinks(t *testing.T, f *Fixture) {
	ctx := t.Context()
	p, other := f.Project(t), f.Project(t)
	e, owned := f.Endpoint(t, p), f.Endpoint(t, p)
	e.OwnerID, owned.OwnerID = "", "somebody"
	ok(t, f.S.UpdateEndpoint(ctx, e))
	ok(t, f.S.UpdateEndpoint(ctx, owned))
	make := func(project convoy.ProjectID, endpoints ...convoy.EndpointID) *convoy.PortalLink {
		return &convoy.PortalLink{
			ID: convoy.PortalLinkID(f.ID(f.Now)), ProjectID: project, Name: "Link", OwnerID: "owner", Auth: convoy.PortalRefresh, CanManage: true,
			Token: f.ID(f.Now), Endpoints: endpoints, CreatedAt: f.Now, UpdatedAt: f.Now,
		}
	}
	l := make(p.ID, e.ID)
	ok(t, f.S.CreatePortalLink(ctx, l))
	got, err := f.S.PortalLink(ctx, p.ID, l.ID)
	ok(t, err)
	same(t, got, l)
	_, err = f.S.PortalLink(ctx, other.ID, l.ID)
	refused(t, err, convoy.NotFound, "portal link not found")
	refused(t, f.S.CreatePortalLink(ctx, make(p.ID, e.ID, owned.ID)), convoy.Invalid, "endpoint "+string(owned.ID)+" already has owner_id somebody")
	refused(t, f.S.CreatePortalLink(ctx, make(other.ID, e.ID)), convoy.Invalid, "endpoint not found")

	counts, err := f.S.OwnerEndpoints(ctx, p.ID, []string{"owner", "somebody", "nobody"})
	ok(t, err)
	same(t, counts, map[string]int{"owner": 1, "somebody": 1})
	second := make(p.ID)
	second.Name, second.OwnerID, second.Endpoints = "Second", "somebody", []convoy.EndpointID{}
	ok(t, f.S.CreatePortalLink(ctx, second))
	ok(t, f.S.CreatePortalLink(ctx, make(other.ID)))
	for _, tt := range []struct {
		filter store.PortalLinkFilter
		want   []*convoy.PortalLink
	}{
		{store.PortalLinkFilter{}, []*convoy.PortalLink{second, l}},
		{store.PortalLinkFilter{Query: "sEC"}, []*convoy.PortalLink{second}},
		{store.PortalLinkFilter{Owner: "owner"}, []*convoy.PortalLink{l}},
		{store.PortalLinkFilter{Endpoints: []convoy.EndpointID{e.ID, "x"}}, []*convoy.PortalLink{l}},
		{store.PortalLinkFilter{Endpoints: []convoy.EndpointID{e.ID, owned.ID}, Page: store.Page{Asc: true}}, []*convoy.PortalLink{l, second}},
	} {
		tt.filter.Project = p.ID
		page, err := f.S.PortalLinks(ctx, tt.filter)
		ok(t, err)
		same(t, page.Items, tt.want)
	}

	l.Name, l.OwnerID, l.Auth, l.CanManage, l.Endpoints, l.UpdatedAt = "Renamed", "somebody", convoy.PortalStatic, false, nil, f.Now.Add(time.Second)
	ok(t, f.S.UpdatePortalLink(ctx, l))
	got, err = f.S.PortalLink(ctx, p.ID, l.ID)
	ok(t, err)
	l.Endpoints = []convoy.EndpointID{}
	same(t, got, l)

	opened, err := f.S.PortalLinkByToken(ctx, l.Token)
	ok(t, err)
	same(t, opened, l)
	l.Auth = convoy.PortalRefresh
	ok(t, f.S.UpdatePortalLink(ctx, l))
	_, err = f.S.PortalLinkByToken(ctx, l.Token)
	refused(t, err, convoy.NotFound, "portal link not found")
	keys := []convoy.PortalKey{
		{Hash: [32]byte{1}, LinkID: l.ID, ExpiresAt: f.Now.Add(time.Hour)},
		{Hash: [32]byte{2}, LinkID: l.ID, ExpiresAt: f.Now},
	}
	ok(t, f.S.KeepPortalKeys(ctx, keys, f.Now.Add(-time.Hour)))
	ok(t, f.S.KeepPortalKeys(ctx, keys[:1], f.Now)) // which forgets the second
	got, err = f.S.PortalLinkByKey(ctx, [32]byte{1}, f.Now)
	ok(t, err)
	same(t, got, l)
	_, err = f.S.PortalLinkByKey(ctx, [32]byte{2}, f.Now.Add(-time.Minute))
	refused(t, err, convoy.NotFound, "portal link not found")
	refused(t, f.S.RevokePortalLink(ctx, other.ID, l.ID, f.Now), convoy.NotFound, "portal link not found")
	ok(t, f.S.RevokePortalLink(ctx, p.ID, l.ID, f.Now))
	refused(t, f.S.RevokePortalLink(ctx, p.ID, l.ID, f.Now), convoy.NotFound, "portal link not found")
	refused(t, f.S.UpdatePortalLink(ctx, l), convoy.NotFound, "portal link not found")
	_, err = f.S.PortalLinkByKey(ctx, [32]byte{1}, f.Now)
	refused(t, err, convoy.NotFound, "portal link not found")
}
