package wire

import (
	"os/exec"
	"strings"
	"testing"
)

// TestHotAccessorsInline: what a walk calls for each route costs no call but
// Next, and what each attribute costs is inside of the scan.
func TestHotAccessorsInline(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package")
	}
	out, err := exec.Command("go", "build", "-gcflags=-m", "ribd/wire").CombinedOutput()
	if err != nil {
		t.Skipf("no compiler here: %v", err)
	}
	for _, name := range []string{
		"(*NLRI4).Addr", "(*NLRI4).Len", "(*NLRI4).PathID", "(*NLRI6).Hi", "(*NLRI6).Lo", "(*NLRI6).Len", "(*NLRI6).PathID",
		"NewNLRI4", "NewNLRI6", "mask128", "makeItem", "item.typ", "(*scan).start", "(*Attributes).Value", "Family.AFI",
	} {
		if !strings.Contains(string(out), "can inline "+name+"\n") {
			t.Errorf("%s is not inlined", name)
		}
	}
}
