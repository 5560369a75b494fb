package api

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestMetricsAreTheDocumentedOnes(t *testing.T) {
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(ribd_[a-z_]+)` ").FindAllStringSubmatch(string(doc), -1) {
		listed[m[1]] = true
	}
	_, s := small(t)
	s.opts.Loads = &fakeLoads{}
	s.do("GET", "/api/v1/lookup/10.1.2.3", "")
	_, body, _ := s.do("GET", "/metrics", "")
	written := map[string]bool{}
	for _, line := range strings.Split(body, "\n") {
		if name, _, ok := strings.Cut(line, " "); ok && strings.HasPrefix(name, "ribd_") {
			name, _, _ = strings.Cut(name, "{")
			written[name] = true
		}
	}
	for n := range written {
		if !listed[n] {
			t.Errorf("%s is written, not documented", n)
		}
	}
	for n := range listed {
		if !written[n] {
			t.Errorf("%s is documented, not written", n)
		}
	}
}
