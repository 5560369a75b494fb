package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestNotificationsInWords(t *testing.T) {
	for _, c := range []struct {
		n                Notification
		name, text, line string
	}{
		{Notification{Code: 6, Subcode: 2}, "administrative shutdown", "", "cease, administrative shutdown (6/2)"},
		{Notification{6, 2, ShutdownData("maintenance")}, "administrative shutdown", "maintenance", "cease, administrative shutdown (6/2): maintenance"},
		{Notification{6, 4, ShutdownData("new keys")}, "administrative reset", "new keys", "cease, administrative reset (6/4): new keys"},
		{Notification{6, 2, []byte{9, 'x'}}, "administrative shutdown", "", "cease, administrative shutdown (6/2)"},
		{Notification{6, 1, MaxPrefixesData(IPv4Unicast, 1000)}, "maximum number of prefixes reached", "ipv4-unicast, limit 1000",
			"cease, maximum number of prefixes reached (6/1): ipv4-unicast, limit 1000"},
		{HardReset(Notification{6, 2, ShutdownData("bye")}), "hard reset", "bye", "cease, hard reset (6/9): cease, administrative shutdown (6/2): bye"},
		{Notification{Code: 6, Subcode: 9}, "hard reset", "", "cease, hard reset (6/9)"},
		{Notification{Code: 6, Subcode: 10}, "BFD down", "", "cease, BFD down (6/10)"},
		{Notification{Code: 6}, "cease", "", "cease (6/0)"},
		{Notification{Code: 6, Subcode: 77}, "cease, subcode 77", "", "cease (6/77)"},
		{Notification{Code: 4}, "hold timer expired", "", "hold timer expired (4/0)"},
		{Notification{Code: 8}, "send hold timer expired", "", "send hold timer expired (8/0)"},
		{Notification{Code: 5, Subcode: 3}, "unexpected message in Established state", "", "finite state machine error, unexpected message in Established state (5/3)"},
		{Notification{Code: 7, Subcode: 1}, "invalid message length", "", "ROUTE-REFRESH message error, invalid message length (7/1)"},
		{Notification{Code: 2, Subcode: 11}, "role mismatch", "", "OPEN message error, role mismatch (2/11)"},
		{Notification{2, 1, []byte{0, 4}}, "unsupported version number", "version 4 is supported", "OPEN message error, unsupported version number (2/1): version 4 is supported"},
		{Notification{2, 7, []byte{1, 4, 0, 1, 0, 1, 70, 0, 200, 1, 1}}, "unsupported capability",
			"multiprotocol ipv4-unicast, enhanced-route-refresh, unknown 200", ""},
		{Notification{Code: 2, Subcode: 200}, "OPEN message error, subcode 200", "", ""},
		{Notification{Code: 99, Subcode: 1}, "code 99, subcode 1", "", "unknown error (99/1)"},
		{Notification{}, "code 0", "", "unknown error (0/0)"},
	} {
		if got := c.n.Name(); got != c.name {
			t.Errorf("%v: name %q, want %q", c.n, got, c.name)
		}
		if got := c.n.Text(); got != c.text {
			t.Errorf("%v: text %q, want %q", c.n, got, c.text)
		}
		if got := c.n.String(); c.line != "" && got != c.line {
			t.Errorf("got  %q\nwant %q", got, c.line)
		}
	}
}

// TestNoNotificationMakesNamesPanic: every code and subcode, with data that says
// anything.
func TestNoNotificationMakesNamesPanic(t *testing.T) {
	for code := range 256 {
		for sub := range 256 {
			for _, data := range [][]byte{nil, {255}, {6, 9, 6, 9}, bytes.Repeat([]byte{9, 6}, 100)} {
				n := Notification{uint8(code), uint8(sub), data}
				if n.Name() == "" || n.String() == "" {
					t.Fatalf("%v has no name", n)
				}
			}
		}
	}
}

func TestShutdownMessages(t *testing.T) {
	for _, c := range []struct {
		name, say, want string
	}{
		{"short", "maintenance", "maintenance"},
		{"not ASCII", "Wartung für Zürich ✓", "Wartung für Zürich ✓"},
		{"too long", strings.Repeat("ü", 200), strings.Repeat("ü", 127)},
		{"255 octets", strings.Repeat("a", 255), strings.Repeat("a", 255)},
		{"not UTF-8", "a\xffb", "a\uFFFDb"},
		{"with control characters", "a\nb\x1b[31m", "ab[31m"},
	} {
		data := ShutdownData(c.say)
		if len(data) > 256 {
			t.Errorf("%s: %d octets", c.name, len(data))
		}
		if got, ok := ShutdownMessage(data); !ok || got != c.want {
			t.Errorf("%s: got %q %v, want %q", c.name, got, ok, c.want)
		}
	}
	if ShutdownData("") != nil {
		t.Error("no message has data")
	}
	for _, bad := range [][]byte{nil, {1}, {5, 'a'}, {1, 0xff}} {
		if s, ok := ShutdownMessage(bad); ok {
			t.Errorf("%x: got %q", bad, s)
		}
	}
	if s, ok := ShutdownMessage([]byte{0}); !ok || s != "" {
		t.Error("an empty message is one")
	}
}

func TestHardResets(t *testing.T) {
	in := Notification{CodeCease, CeaseAdminReset, []byte{1, 'x'}}
	n := HardReset(in)
	if got, ok := n.Unwrap(); !ok || !reflect.DeepEqual(got, in) {
		t.Errorf("got %v %v", got, ok)
	}
	for _, n := range []Notification{in, {CodeCease, CeaseHardReset, nil}, {CodeCease, CeaseHardReset, []byte{6}},
		HardReset(HardReset(in)), {CodeHoldTimer, CeaseHardReset, []byte{6, 2}}} {
		if got, ok := n.Unwrap(); ok {
			t.Errorf("%v holds %v", n, got)
		}
	}
}

// TestErrorsBecomeNotifications: the data is what RFC 4271 section 6 asks for.
func TestErrorsBecomeNotifications(t *testing.T) {
	keepalive := AppendKeepalive(nil)
	long := append(AppendKeepalive(nil), 0)
	long[17] = 20
	kind := AppendKeepalive(nil)
	kind[18] = 9
	marker := AppendKeepalive(nil)
	marker[3] = 0
	version := AppendOpen(nil, &Open{AS: 1, ID: 1})
	version[19] = 5
	param := append(AppendOpen(nil, &Open{AS: 1, ID: 1}), 1, 0)
	param[17], param[28] = param[17]+2, 2
	header := func(b []byte) *Error { _, _, err := ParseHeader(b, &Session{}); return err }
	open := func(b []byte) *Error { _, err := ParseOpen(b); return err }
	update := func(b []byte) *Error { var u Update; return u.Parse(b, &external) }
	for _, c := range []struct {
		name string
		msg  []byte
		err  *Error
		want Notification
	}{
		{"length", long, header(long), Notification{1, 2, []byte{0, 20}}},
		{"type", kind, header(kind), Notification{1, 3, []byte{9}}},
		{"marker", marker, header(marker), Notification{1, 1, nil}},
		{"version", version, open(version), Notification{2, 1, []byte{0, 4}}},
		{"parameter", param, open(param), Notification{2, 4, []byte{1, 0}}},
		{"cut", keepalive[:10], header(keepalive[:10]), Notification{1, 2, nil}},
		{"well-known attribute", nil, nil, Notification{3, 2, attr(0x40, 99, 1)}},
	} {
		if c.err == nil {
			c.msg = message(nil, join(mandatory, attr(0x40, 99, 1)), prefix)
			c.err = update(c.msg)
		}
		if c.err == nil {
			t.Fatalf("%s: no error", c.name)
		}
		n := c.err.Notification(c.msg)
		if n.Code != c.want.Code || n.Subcode != c.want.Subcode || !bytes.Equal(n.Data, c.want.Data) {
			t.Errorf("%s: got %d/%d %x, want %d/%d %x", c.name, n.Code, n.Subcode, n.Data, c.want.Code, c.want.Subcode, c.want.Data)
		}
		for i := range c.msg {
			c.msg[i] = 0xaa
		}
		if !bytes.Equal(n.Data, c.want.Data) {
			t.Errorf("%s: the data is the message's", c.name)
		}
	}
}
