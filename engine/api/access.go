package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"
)

// Role is what the holder of a token may do; each may do what the ones before it may.
type Role uint8

// The roles, from the smallest.
const (
	RoleNone     Role = iota // no token
	RoleRead                 // look-ups and lists
	RoleAnnounce             // originate routes and rules, load dumps
	RoleAdmin                // peers, files of the server
)

// String is the name of a role in the configuration.
func (r Role) String() string {
	switch r {
	case RoleRead:
		return "read"
	case RoleAnnounce:
		return "announce"
	case RoleAdmin:
		return "admin"
	}
	return "none"
}

// ParseRole reads the name of a role.
func ParseRole(s string) (Role, error) {
	for r := RoleRead; r <= RoleAdmin; r++ {
		if s == r.String() {
			return r, nil
		}
	}
	return RoleNone, fmt.Errorf("no role %q: read, announce or admin", s)
}

// Token is a bearer token. Name is for logs; Secret is compared in constant time.
type Token struct {
	Name   string
	Role   Role
	Secret string
}

// tokens holds hashes of equal length, so that a comparison tells nothing of a
// secret, not even its length.
type tokens []struct {
	name string
	role Role
	hash [sha256.Size]byte
}

func newTokens(list []Token) (tokens, error) {
	t := make(tokens, len(list))
	for i, k := range list {
		if strings.TrimSpace(k.Secret) == "" {
			return nil, fmt.Errorf("token %q: the secret is empty", k.Name)
		}
		t[i].name, t[i].role, t[i].hash = k.Name, k.Role, sha256.Sum256([]byte(k.Secret))
	}
	return t, nil
}

// role finds the role of a presented secret. It compares with every token, so
// that the time does not tell which one matched.
func (t tokens) role(secret []byte) (r Role, ok bool) {
	h := sha256.Sum256(secret)
	for i := range t {
		if subtle.ConstantTimeCompare(h[:], t[i].hash[:]) == 1 {
			r, ok = t[i].role, true
		}
	}
	return r, ok
}

// authorize decides whether a request may do what needs a role. RoleNone is for
// anybody who may connect; a token that nobody has is refused even there.
func (s *Server) authorize(ctx *fasthttp.RequestCtx, need Role) *problem {
	if len(s.tokens) > 0 {
		auth := ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)
		if len(auth) == 0 {
			if need == RoleNone {
				return nil
			}
			return fail(fasthttp.StatusUnauthorized, "Authorization", "changes need a bearer token with the role %s", need)
		}
		const scheme = "bearer "
		if len(auth) <= len(scheme) || !strings.EqualFold(string(auth[:len(scheme)]), scheme) {
			return fail(fasthttp.StatusUnauthorized, "Authorization", "is not of the form: Bearer TOKEN")
		}
		role, ok := s.tokens.role(auth[len(scheme):])
		if !ok {
			return fail(fasthttp.StatusUnauthorized, "Authorization", "nobody has this token")
		}
		if role < need {
			return fail(fasthttp.StatusForbidden, "Authorization", "the token's role is %s, this needs %s", role, need)
		}
		return nil
	}
	if need == RoleNone {
		return nil
	}
	return localChange(ctx)
}

// localChange is the rule for changes where no token is configured: the Unix
// socket, or loopback TCP by something that is neither a web page nor a proxy.
func localChange(ctx *fasthttp.RequestCtx) *problem {
	tcp, ok := ctx.RemoteAddr().(*net.TCPAddr)
	if !ok { // the Unix socket: its mode says who may
		return nil
	}
	if !tcp.IP.IsLoopback() {
		return fail(fasthttp.StatusForbidden, "", "without a configured token, changes are taken on the Unix socket and on loopback only")
	}
	h := &ctx.Request.Header
	for _, name := range [...]string{fasthttp.HeaderOrigin, fasthttp.HeaderForwarded, fasthttp.HeaderXForwardedFor} {
		if h.PeekBytes([]byte(name)) != nil {
			return fail(fasthttp.StatusForbidden, name, "without a configured token, changes are not taken from web pages and proxies (this header tells of one)")
		}
	}
	if !loopbackHost(string(h.Host())) {
		return fail(fasthttp.StatusForbidden, "Host", "%q is no loopback name: without a configured token, changes are asked of localhost, 127.0.0.1 or [::1]", shown(h.Host()))
	}
	return nil
}

func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback() && a.Zone() == ""
}

// allowListener closes connections from addresses that may not connect.
type allowListener struct {
	net.Listener
	s *Server
}

func (l allowListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.s.allowed(c.RemoteAddr()) {
			return c, nil
		}
		l.s.metrics.Refused.Inc()
		_ = c.Close()
	}
}

// allowed reports whether an address may connect. Unix sockets may: their mode
// has already decided.
func (s *Server) allowed(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return true
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if len(s.opts.Allow) == 0 {
		return ip.IsLoopback()
	}
	for _, p := range s.opts.Allow {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
