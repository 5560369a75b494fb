package ingest

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ribd/internal/golden"
	"ribd/wire"
)

// What real speakers sent leaves what the model says, whatever the session has
// agreed on.
func TestRealMessagesAreTheirModel(t *testing.T) {
	var streams [][]byte
	files, err := filepath.Glob(filepath.Join(golden.Data(t, "pcap", "streams"), "*.bin"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, b)
	}
	for _, list := range []string{"exabgp-messages.tsv", "flowspec-rules-a.tsv"} {
		b, err := os.ReadFile(golden.Data(t, "messages", list))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Split(line, "\t"); len(f) > 1 {
				if m, err := hex.DecodeString(strings.TrimSpace(f[1])); err == nil {
					streams = append(streams, m)
				}
			}
		}
	}
	updates := 0
	for how := range byte(16) {
		p := newPair(t)
		p.session(how | how&4<<3) // some with a filter
		for i, b := range streams {
			run := []byte{}
			split(b, func(m []byte) {
				if wire.MessageType(m[18]) == wire.MsgUpdate {
					run = append(run, m...)
					updates++
				}
			})
			p.stream(run)
			if i%32 == 0 || i == len(streams)-1 {
				p.compare()
			}
		}
		if n := p.peer.Counters().Announced; how&8 == 0 && n < 300 {
			t.Errorf("%d routes", n)
		}
	}
	t.Log(updates, "messages")
}
