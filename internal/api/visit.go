package api

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"convoy/internal/signin"
)

// Cookies of a session. A browser takes those with the prefix only under TLS, for
// all of the host and from no other host (RFC 6265bis, section 4.1.3.2).
const (
	hostPrefix    = "__Host-"
	sessionCookie = "convoy_session"
	refreshCookie = "convoy_refresh"
)

// visit is what an operation may want to know of its request.
type visit struct {
	signin.Visit
	// secure says that the caller came over TLS, here or at a proxy that is trusted.
	secure bool
	// refresh is the refresh token among the cookies.
	refresh string
	// sso is the cookie of a sign-in at a provider.
	sso string
}

func (a *api) visitOf(r *http.Request) visit {
	v := visit{secure: a.secure(r)}
	v.IP, v.UserAgent = short(a.address(r)), short(r.UserAgent())
	v.refresh = cookieOf(r, refreshCookie, v.secure)
	v.sso = cookieOf(r, ssoCookie, v.secure)
	return v
}

// peer is the address of the connection, and whether it is a trusted proxy's.
func (a *api) peer(r *http.Request) (ip string, trusted bool) {
	ip = r.RemoteAddr
	if host, _, err := net.SplitHostPort(ip); err == nil {
		ip = host
	}
	return ip, a.trusted(ip)
}

func (a *api) trusted(ip string) bool {
	addr, err := netip.ParseAddr(ip)
	return err == nil && slices.ContainsFunc(a.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

// address is where a request comes from: the last address that no trusted proxy
// has.
func (a *api) address(r *http.Request) string {
	ip, trusted := a.peer(r)
	if !trusted {
		return ip
	}
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, f := range slices.Backward(forwarded) {
		f = strings.TrimSpace(f)
		if _, err := netip.ParseAddr(f); err != nil {
			break // what is before it was said by whoever said this
		}
		if ip = f; !a.trusted(f) {
			break
		}
	}
	return ip
}

// secure reports whether a request came over TLS.
func (a *api) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	_, trusted := a.peer(r)
	if !trusted {
		return false
	}
	proto := r.Header.Get("X-Forwarded-Proto")
	return strings.EqualFold(strings.TrimSpace(proto[strings.LastIndexByte(proto, ',')+1:]), "https")
}

// cookieOf returns a cookie of ours. Under TLS only the one with the prefix counts:
// the other could come from a neighbour's host or from a page without TLS.
func cookieOf(r *http.Request, name string, secure bool) string {
	if c, err := r.Cookie(hostPrefix + name); err == nil {
		return c.Value
	}
	if c, err := r.Cookie(name); err == nil && !secure {
		return c.Value
	}
	return ""
}

// keep sets the cookies of a session.
func (x *exchange) keep(t signin.Tokens, now time.Time) {
	x.cookie(sessionCookie, t.Access, t.AccessExpires.Sub(now))
	x.cookie(refreshCookie, t.Refresh, t.RefreshExpires.Sub(now))
}

// discard takes the cookies of a session away.
func (x *exchange) discard() {
	x.cookie(sessionCookie, "", -1)
	x.cookie(refreshCookie, "", -1)
}

// cookie sets a cookie for a time.
func (x *exchange) cookie(name, value string, life time.Duration) {
	if x.visit.secure {
		name = hostPrefix + name
	}
	age := -1
	if life > 0 {
		age = cmp.Or(int(life/time.Second), 1)
	}
	http.SetCookie(x, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: x.visit.secure, SameSite: http.SameSiteStrictMode,
	})
}
