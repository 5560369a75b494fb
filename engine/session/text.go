package session

import (
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"ribd/engine/config"
)

func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func idText(id uint32) string {
	return netip.AddrFrom4([4]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}).String()
}

// asText says which AS numbers a peer may have.
func asText(c *config.Peer) string {
	if c.AS.Any {
		return "any"
	}
	var s []string
	for _, n := range c.AS.Numbers {
		s = append(s, itoa(n))
	}
	return strings.Join(s, " or ")
}

// limiter lets a line of the log through every ten seconds: strangers can make
// as many connections as they like.
type limiter struct {
	mu   sync.Mutex
	last time.Time
	more int // since
}

func (l *limiter) log(f func(more int)) {
	l.mu.Lock()
	if now := time.Now(); l.last.IsZero() || now.Sub(l.last) > 10*time.Second {
		more := l.more
		l.last, l.more = now, 0
		l.mu.Unlock()
		f(more)
		return
	}
	l.more++
	l.mu.Unlock()
}
