package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// manual returns docs/policies.md.
func manual(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "policies.md"))
	check(t, err)
	return string(b)
}

func TestTheManualsExamplesCompile(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(manual(t), -1)
	if len(blocks) < 2 {
		t.Fatalf("%d examples", len(blocks))
	}
	for _, b := range blocks {
		text := b[1]
		if !strings.HasPrefix(text, "policies:") { // terms
			text = "groups: {customers: {}}\npolicies:\n  p:\n" + regexp.MustCompile(`(?m)^- if: ('[^']*')`).ReplaceAllString(text, "    - {then: accept, if: $1}")
		} else {
			text = "as: 64512\nrouter_id: 192.0.2.9\n" + text
		}
		if got := complaints(t, text); got != "" {
			t.Errorf("%s\n%s", got, text)
		}
	}
}

// TestTheManualsTestsCompile takes the first column of its table of tests.
func TestTheManualsTestsCompile(t *testing.T) {
	_, table, _ := strings.Cut(manual(t), "| test | holds where |\n| --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	n := 0
	for _, row := range strings.Split(table, "\n") {
		first, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(first, -1) {
			if cond := m[1]; strings.ContainsAny(cond, " (") {
				n++
				if got := complaints(t, condition(cond)); got != "" {
					t.Errorf("%s: %s", cond, got)
				}
			}
		}
	}
	if n < 14 {
		t.Errorf("only %d tests found", n)
	}
}

func TestTheManualNamesEveryVariable(t *testing.T) {
	text := manual(t)
	for name, v := range variables {
		field := name
		if v.kind == varPeer || v.kind == varFrom {
			_, field, _ = strings.Cut(name, ".")
		}
		if !strings.Contains(text, "`"+field+"`") {
			t.Errorf("%s is not in docs/policies.md", name)
		}
	}
}
