package layers

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layer is a row of the house: the packages that are on it, by exact path or,
// ended by /…, with all below. The first row that fits counts.
type layer struct {
	level    int
	packages []string
}

// house is the order of the packages, from the top. A package imports only
// strictly lower levels; so siblings never import each other.
var house = []layer{
	{8, []string{"cmd/…", "bench/…", "fuzz/…", "sample/…"}},
	{7, []string{"engine", "."}},
	{6, []string{
		"engine/session", "engine/policy", "engine/rpki", "engine/adjout", "engine/mitigate", "engine/bmp",
		"engine/mrt", "engine/export", "engine/store", "engine/api",
	}},
	{5, []string{
		"engine/config", "engine/fsm", "engine/ingest", "engine/metrics", "engine/flow", "engine/origin",
		"engine/api/apiv1", "engine/api/ui",
	}},
	{4, []string{"shard"}},
	{3, []string{"shard/rib", "shard/rules"}},
	{2, []string{"wire/flowspec", "wire/bmp", "wire/mrt", "wire/rtr"}},
	{1, []string{"wire", "trie"}},
	{0, []string{"internal/…"}},
}

// inside are leaves that lean on each other: the ones that may be imported by
// other leaves.
var inside = []string{"internal/invariants", "internal/golden"}

// library is what an app that embeds ribd gets: the root package imports these
// and no more, so that it brings in neither HTTP nor policy.
var library = []string{"shard", "shard/rib", "shard/rules", "trie", "wire", "wire/flowspec", "wire/mrt", "engine/mrt"}

func level(pkg string) (int, bool) {
	for _, l := range house {
		for _, p := range l.packages {
			if below, ok := strings.CutSuffix(p, "/…"); ok && (pkg == below || strings.HasPrefix(pkg, below+"/")) || p == pkg {
				return l.level, true
			}
		}
	}
	return 0, false
}

// source is one file of the module: its package's path, whether it is a test
// and what it imports of the module.
type source struct {
	file, pkg string
	test      bool
	imports   []string
}

func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	module := moduleName(t, filepath.Join(root, "go.mod"))
	var all []source
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := e.Name()
		if e.IsDir() {
			if file != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || isModule(file)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		s := source{file: file, pkg: filepath.ToSlash(rel), test: strings.HasSuffix(name, "_test.go")}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if p == module {
				s.imports = append(s.imports, ".")
			} else if below, ok := strings.CutPrefix(p, module+"/"); ok {
				s.imports = append(s.imports, below)
			} else {
				s.imports = append(s.imports, "!"+p)
			}
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d files found", len(all))
	}
	return all
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func moduleName(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(strings.TrimPrefix(line, "module"))
}

func TestPackagesImportOnlyLowerLayers(t *testing.T) {
	for _, s := range sources(t) {
		mine, ok := level(s.pkg)
		if !ok {
			t.Errorf("%s: package %s is on no layer: give it one in this test and in ARCHITECTURE.md", s.file, s.pkg)
			continue
		}
		for _, i := range s.imports {
			if strings.HasPrefix(i, "!") || i == s.pkg { // another module, or the external test of the package itself
				continue
			}
			theirs, ok := level(i)
			switch {
			case !ok:
				t.Errorf("%s imports %s, which is on no layer", s.file, i)
			case theirs < mine, mine == 0 && slices.Contains(inside, i):
			case s.test && mine == 7 && theirs == 7: // the library's tests may use the whole of ribd
			case mine == 8 && theirs == 8 && strings.HasPrefix(i, path.Dir(s.pkg)+"/internal"):
			default:
				t.Errorf("%s: %s (layer %d) imports %s (layer %d): only lower layers may be imported", s.file, s.pkg, mine, i, theirs)
			}
		}
	}
}

func TestTheLibraryBringsInNeitherHTTPNorPolicy(t *testing.T) {
	files := map[string][]source{}
	for _, s := range sources(t) {
		if !s.test {
			files[s.pkg] = append(files[s.pkg], s)
		}
	}
	for _, s := range files["."] {
		for _, i := range s.imports {
			if !strings.HasPrefix(i, "!") && !slices.Contains(library, i) {
				t.Errorf("%s imports %s: the library has %v only", s.file, i, library)
			}
		}
	}
	// And nothing that it stands on does, however deep.
	seen := map[string]bool{}
	var walk func(pkg string, via []string)
	walk = func(pkg string, via []string) {
		if seen[pkg] {
			return
		}
		seen[pkg] = true
		via = append(via, pkg)
		for _, s := range files[pkg] {
			for _, i := range s.imports {
				if other, ok := strings.CutPrefix(i, "!"); ok {
					if other == "net/http" || strings.Contains(other, "fasthttp") || strings.Contains(other, "cel") && strings.Contains(other, "google") {
						t.Errorf("%s imports %s (by way of %v)", s.file, other, via)
					}
					continue
				}
				walk(i, via)
			}
		}
	}
	walk(".", nil)
}

func TestEveryPackageStartsWithDoc(t *testing.T) {
	files := map[string][]string{}
	for _, s := range sources(t) {
		if !s.test {
			files[s.pkg] = append(files[s.pkg], filepath.Base(s.file))
		}
	}
	for pkg, names := range files {
		// A package of one file says what it is in that file.
		if len(names) > 1 && !slices.Contains(names, "doc.go") {
			t.Errorf("package %s has no doc.go", pkg)
		}
	}
}

// rivals are modules that are measured or compared against: they never reach
// what is built, with two exceptions: GoBGP's packet library decodes rare
// families for display, in engine/api alone; patricia trees hold the prefix sets
// of policies, which are small, made once and only read.
var rivals = []string{"github.com/gaissmai/bart", "github.com/kentik/patricia", "github.com/osrg/gobgp"}

const (
	decoder = "engine/api"
	policy  = "engine/policy"
)

func TestRivalsAreForTestsAndBenchmarks(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.pkg, "bench") || strings.HasPrefix(s.pkg, "cmd/ribbench") || strings.HasPrefix(s.pkg, "internal/") || strings.HasPrefix(s.pkg, "fuzz") {
			continue
		}
		for _, i := range s.imports {
			for _, r := range rivals {
				allowed := s.pkg == decoder && strings.Contains(i, "gobgp/v3/pkg/packet/") ||
					s.pkg == policy && strings.HasPrefix(i, "!github.com/kentik/patricia")
				if strings.HasPrefix(i, "!"+r) && !allowed {
					t.Errorf("%s imports %s", s.file, i[1:])
				}
			}
		}
	}
}
