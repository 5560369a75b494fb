package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ribd/internal/golden"
)

// TestExaBGPMessages: the messages that ExaBGP sends parse, each with what its
// session negotiated, but for one that is not sound.
func TestExaBGPMessages(t *testing.T) {
	unsound := map[string]string{
		"encoding/conf-generic-attribute#2": "RFC 4271 6.3", // flags 0x60: unrecognized, and not optional
	}
	f, err := os.Open(golden.Data(t, "messages", "exabgp-messages.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	updates, others := 0, 0
	for sc.Scan() {
		cols := strings.Split(sc.Text(), "\t")
		if strings.HasPrefix(cols[0], "#") {
			continue
		}
		msg := unhex(t, cols[1])
		if len(msg) < HeaderLen || msg[0] != 0xff { // a few rows are bodies of UPDATEs
			msg = message(nil, nil, nil)[:HeaderLen]
			msg = append(msg, unhex(t, cols[1])...)
			binary.BigEndian.PutUint16(msg[16:], uint16(len(msg)))
		}
		typ, n, err := ParseHeader(msg, &Session{Extended: true})
		if err != nil || n != len(msg) {
			t.Errorf("%s: %v, length %d of %d", cols[0], err, n, len(msg))
			continue
		}
		if typ != MsgUpdate {
			others++
			checkRoundTrip(t, cols[0], msg, typ)
			continue
		}
		updates++
		var u Update
		e := parseAny(t, &u, msg)
		if want := unsound[cols[0]]; want != "" {
			if e == nil || e.RFC != want {
				t.Errorf("%s: got %v, want %s", cols[0], e, want)
			}
		} else if e != nil {
			t.Errorf("%s: %v", cols[0], e)
		}
	}
	if updates < 100 || others < 2 {
		t.Errorf("only %d UPDATEs and %d others", updates, others)
	}
}

// parseAny parses with each way that a session may have been: 4- or 2-octet AS
// numbers, without and with Add-Path. It returns the mildest error.
func parseAny(t testing.TB, u *Update, msg []byte) *Error {
	t.Helper()
	var mildest *Error
	for i := range 4 {
		s := Session{AS4: i&1 == 0, Extended: true}
		if i&2 != 0 {
			s.AddPath = AllFamilies()
		}
		err := parse(t, u, msg, &s)
		if err == nil {
			return nil
		}
		if mildest == nil || err.Action < mildest.Action {
			mildest = err
		}
	}
	return mildest
}

// checkRoundTrip: what is decoded encodes to the same octets.
func checkRoundTrip(t *testing.T, name string, msg []byte, typ MessageType) {
	t.Helper()
	var got []byte
	switch typ {
	case MsgOpen:
		o, err := ParseOpen(msg)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		got = AppendOpen(nil, &o)
		// Capabilities may be spread over parameters: then it is the meaning
		// that counts.
		if len(got) != len(msg) {
			again, err := ParseOpen(got)
			if err != nil || fmt.Sprint(again) != fmt.Sprint(o) {
				t.Errorf("%s: got %v (%v), want %v", name, again, err, o)
			}
			return
		}
	case MsgNotification:
		n, err := ParseNotification(msg, &Session{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		got = AppendNotification(nil, n)
	case MsgKeepalive:
		got = AppendKeepalive(nil)
	case MsgRouteRefresh:
		r, err := ParseRouteRefresh(msg, &Session{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		got = AppendRouteRefresh(nil, r)
	}
	if !slices.Equal(got, msg) {
		t.Errorf("%s: got %x, want %x", name, got, msg)
	}
}

// TestCaptures walks the captured streams: as many messages of each type as
// EXPECTED.tsv counts, and every UPDATE parses but for those of broken samples.
func TestCaptures(t *testing.T) {
	expected, err := os.ReadFile(golden.Data(t, "EXPECTED.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	broken := map[string]string{
		"tcpdump-bgp-infinite-loop":                       "length under that of an UPDATE",
		"tcpdump-bgpsec_invalid_signature_block_length":   "BGPSEC_PATH in the place of AS_PATH, which was not negotiated",
		"tcpdump-bgp-extended-optional-parameters-length": "made to be malformed",
		"tcpdump-bgp-bgp_capabilities_print-oobr-2":       "made to be malformed",
		"tcpdump-bgp_mp_reach_nlri-oobr":                  "made to be malformed",
	}
	isBroken := func(name string) bool {
		for b := range broken {
			if strings.HasPrefix(name, b) {
				return true
			}
		}
		return false
	}
	files, updates := 0, 0
	for line := range strings.Lines(string(expected)) {
		cols := strings.Split(strings.TrimSpace(line), "\t")
		if len(cols) < 3 || cols[1] != "whole_messages_by_type" || !strings.HasPrefix(cols[0], "pcap/") {
			continue
		}
		b, err := os.ReadFile(golden.Data(t, filepath.FromSlash(cols[0])))
		if err != nil {
			t.Fatal(err)
		}
		files++
		name := filepath.Base(cols[0])
		counts := map[byte]int{}
		for len(b) >= HeaderLen {
			n := int(binary.BigEndian.Uint16(b[16:]))
			if n < HeaderLen || n > len(b) {
				break
			}
			msg := b[:n]
			b = b[n:]
			counts[msg[18]]++
			if _, _, err := ParseHeader(msg, &Session{Extended: true}); err != nil {
				if !isBroken(name) {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if MessageType(msg[18]) != MsgUpdate {
				if !isBroken(name) {
					checkRoundTrip(t, name, msg, MessageType(msg[18]))
				}
				continue
			}
			updates++
			var u Update
			if err := parseAny(t, &u, msg); err != nil && !isBroken(name) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := countText(counts); got != cols[2] {
			t.Errorf("%s: got %s, want %s", name, got, cols[2])
		}
	}
	if files < 50 || updates < 300 {
		t.Errorf("only %d files, %d UPDATEs", files, updates)
	}
}

func countText(counts map[byte]int) string {
	var parts []string
	for typ := range 256 {
		if n := counts[byte(typ)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d:%d", typ, n))
		}
	}
	return strings.Join(parts, ",")
}
