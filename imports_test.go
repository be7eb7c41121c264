package flytestar_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/flytestar/flytestar"

// imports says which of flytestar's packages each package may import: in one
// direction, from the leaves to the wiring. "DIR/..." means DIR and all below it.
// A package that isn't here has no place yet: give it one.
var imports = []struct {
	pkg string
	may []string
}{
	{"internal/text", nil},
	{"diag", []string{"internal/text"}},
	{"plan", []string{"diag", "internal/text"}},
	{"internal/durable", nil},
	{"internal/python", nil},
	{"workspace", []string{"diag", "plan", "internal/durable", "internal/python", "internal/text"}},
	{"internal/finding", []string{"diag", "plan"}},
	{"internal/startest", []string{"diag"}},
	{"internal/measure", []string{"diag"}},
	{"internal/home", nil},
	{"internal/ociref", nil},
	{"internal/statictest", nil},
	{"interp/summary", []string{"plan"}},
	{"interp/pyfmt", nil},
	{"interp", []string{"diag", "plan", "interp/pyfmt", "interp/summary", "internal/measure", "internal/text"}}, // not builtins: they come as a Language
	{"evaluator/wire", nil},
	{"evaluator/compiled", []string{"diag", "plan", "interp", "evaluator/wire", "internal/durable"}},
	{"evaluator/lockdown/...", []string{"diag", "evaluator/lockdown/..."}},
	{"evaluator", []string{"diag", "plan", "interp", "evaluator/...", "internal/text"}}, // not builtins nor language, as interp
	{"builtins/site", []string{"diag"}},
	{"builtins/unpack", []string{"diag"}},
	{"builtins/signature", []string{"plan"}}, // what it reads is text: it knows no Starlark
	{"builtins/value", []string{"diag", "plan", "builtins/unpack", "internal/measure"}},
	{"builtins", []string{"diag", "plan", "builtins/...", "internal/measure", "internal/ociref"}},                // not interp: it runs them
	{"language/...", []string{"diag", "plan", "builtins/...", "interp/...", "language/...", "internal/finding"}}, // where the two meet
	{"draw", []string{"diag", "plan", "internal/text"}},
	{"resolve/packages", []string{"diag", "plan", "workspace", "internal/python", "internal/text"}},
	{"resolve", []string{"diag", "plan", "resolve/packages", "workspace", "internal/finding", "internal/ociref", "internal/python", "internal/text"}},
	{"lint/findings", []string{"diag"}},
	{"lint", []string{"diag", "plan", "interp", "evaluator", "internal/text", "lint/findings"}},
	{"exec", []string{"diag", "plan"}},                                                                  // contracts only: not its own children, which implement them
	{"exec/engine", []string{"diag", "plan", "exec", "workspace", "internal/finding", "internal/text"}}, // not what implements the contracts: it is handed that
	{"exec/exectest", []string{"diag", "plan", "exec"}},
	{"exec/image", []string{"diag", "plan", "exec", "exec/image/...", "internal/durable", "internal/home", "internal/ociref", "internal/text", "workspace"}},
	{"exec/image/debian", []string{"plan", "diag", "exec", "exec/image/debian/archive", "exec/image/debian/control", "internal/text"}},
	{"exec/image/debian/archive", []string{"diag", "exec", "exec/image/debian/control"}},
	{"exec/image/debian/archivetest", nil},
	{"exec/image/debian/control", nil},
	{"exec/image/pip", []string{"diag", "plan", "exec", "exec/image/memo", "exec/image/oci", "exec/image/process", "internal/durable", "internal/text", "workspace"}}, // not the builder, which it hands layers to
	{"exec/image/oci", []string{"plan", "exec", "internal/durable"}},                                                                                                  // not how builds remember what they made
	{"exec/image/memo", []string{"internal/durable"}},
	{"exec/image/process", []string{"diag", "exec", "internal/text"}},
	{"exec/storetest", []string{"plan", "exec"}},
	{"exec/artifact", []string{"plan", "exec", "internal/durable"}},
	{"exec/sandbox", []string{"diag", "plan", "exec", "exec/sandbox/...", "internal/durable", "internal/home"}},
	{"exec/sandbox/layer", []string{"plan", "exec", "internal/durable"}},
	{"exec/sandbox/inside", nil}, // what runs in a container knows nothing but its config
	{"exec/sandbox/sandboxtest", []string{"exec/sandbox", "internal/home"}},
	{"exec/local", []string{"diag", "plan", "exec"}}, // not exec/artifact and exec/sandbox: it is handed both
	{".", []string{"diag", "plan", "interp", "evaluator/...", "language", "resolve", "lint/...", "exec/...", "workspace", "internal/home", "internal/ociref", "check"}},
	{"check", []string{"diag", "plan", "interp", "evaluator", "resolve", "lint/...", "workspace"}}, // not the facade, which sits on it
	{"cmd/flytestar/console", []string{"diag", "evaluator/lockdown", "exec", "internal/text"}},
	{"cmd/flytestar/values", []string{".", "diag", "plan", "internal/durable"}},
	{"cmd/...", []string{".", "diag", "plan", "draw", "evaluator/lockdown", "exec", "interp", "lint/...", "internal/text", "cmd/..."}}, // the facade, and what it hands out
	{"bench/...", []string{".", "diag", "plan", "resolve", "exec/..."}},
}

// homes says where packages of others may be imported: each has one home.
var homes = []struct {
	path string // and all below it
	in   []string
	why  string
}{
	{"github.com/spf13/cobra", []string{"cmd/..."}, "the command line has one home"},
	{"github.com/spf13/pflag", []string{"cmd/..."}, "the command line has one home"},
	{"github.com/mattn/go-runewidth", []string{"internal/text"}, "widths on a terminal have one home"},
	{"github.com/google/go-containerregistry/pkg/name", []string{"exec/image/...", "internal/ociref"}, "references to images are taken apart in one place"},
	{"github.com/google/go-containerregistry", []string{"exec/image/..."}, "images have one home"},
	{"github.com/ProtonMail/go-crypto", []string{"exec/image/..."}, "images have one home"},
	{"golang.org/x/sys", []string{"exec/sandbox/...", "evaluator/..."}, "system calls belong to the sandboxes"},
	{"github.com/elastic/go-seccomp-bpf", []string{"exec/sandbox/..."}, "system calls belong to the sandboxes"},
	{"github.com/landlock-lsm/go-landlock", []string{"exec/sandbox/...", "evaluator/lockdown"}, "system calls belong to the sandboxes"},
	{"golang.org/x/net/bpf", []string{"exec/sandbox/...", "evaluator/lockdown/..."}, "system calls belong to the sandboxes"},
	{"kernel.org/pub/linux/libs/security/libcap/psx", []string{"exec/sandbox/...", "evaluator/lockdown"}, "system calls belong to the sandboxes"},
	{"github.com/moby/profiles/seccomp", []string{"exec/sandbox/..."}, "system calls belong to the sandboxes"},
	{"github.com/moby/sys", []string{"exec/sandbox/..."}, "system calls belong to the sandboxes"},
	{"github.com/opencontainers/cgroups", []string{"exec/sandbox/..."}, "system calls belong to the sandboxes"},
	{"github.com/opencontainers/runtime-spec", []string{"exec/sandbox/..."}, "bundles have one home"},
	{"github.com/bazelbuild/buildtools", []string{"lint"}, "it overflows the stack on deep source: only lint's tools run it, in a process of their own"},
	{"go.starlark.net", []string{"interp/...", "builtins/...", "language/...", "lint", "internal/measure", "internal/startest"}, "plan is the contract: what runs a plan doesn't know Starlark"},
	{"github.com/bmatcuk/doublestar", []string{"workspace"}, "patterns have one home, which bounds them"},
	{"github.com/moby/patternmatcher", []string{"workspace"}, "patterns have one home, which bounds them"},
	{"github.com/pelletier/go-toml", []string{"workspace"}, "settings have one home"},
	{"C", nil, "everything builds without cgo"},
}

// eachFile calls f for every source file that isn't a test, also for those of other systems, with the
// folder of its package. It doesn't ask go list, whose answer the test cache would keep.
func eachFile(t *testing.T, f func(name, pkg string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != "." && (base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
		if err == nil {
			f(name, path.Dir(filepath.ToSlash(name)), file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// importsOf returns the paths that a file imports.
func importsOf(t *testing.T, file *ast.File) []string {
	t.Helper()
	var paths []string
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, imported)
	}
	return paths
}

// TestImports holds every import to the rules above.
func TestImports(t *testing.T) {
	seen := map[string]bool{}
	eachFile(t, func(name, pkg string, file *ast.File) {
		seen[pkg] = true
		for _, imported := range importsOf(t, file) {
			if msg := violation(pkg, imported); msg != "" {
				t.Errorf("%s: %s", name, msg)
			}
		}
	})
	for _, pkg := range []string{"diag", "plan", "interp", "evaluator", "language", "resolve", "exec"} {
		if !seen[pkg] {
			t.Errorf("package %s wasn't looked at", pkg)
		}
	}
}

// violation says why pkg, a folder of the module, may not import a path; "" if it may.
func violation(pkg, imported string) string {
	if own, ok := ownPackage(imported); ok {
		for _, r := range imports {
			if !within(pkg, []string{r.pkg}) {
				continue
			}
			if within(own, r.may) {
				return ""
			}
			return pkg + " may not import " + own + ": imports go one way (the rules are at the top of imports_test.go)"
		}
		return "package " + pkg + " has no rule in imports_test.go: say there what it may import"
	}
	for _, h := range homes { // the first that fits counts
		if imported != h.path && !strings.HasPrefix(imported, h.path+"/") {
			continue
		}
		if within(pkg, h.in) {
			return ""
		}
		return pkg + " may not import " + imported + ": " + h.why + " (" + strings.Join(h.in, ", ") + ")"
	}
	return ""
}

func ownPackage(imported string) (string, bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// within reports whether pkg is one of patterns.
func within(pkg string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		dir, below := strings.CutSuffix(p, "/...")
		return pkg == dir || below && strings.HasPrefix(pkg, dir+"/")
	})
}

func TestImportRules(t *testing.T) {
	tests := []struct {
		pkg, imported string
		ok            bool
	}{
		{"plan", module + "/diag", true},
		{"plan", module + "/exec", false},
		{"diag", module + "/plan", false},
		{"builtins", module + "/interp", false},
		{"interp", module + "/builtins", false},
		{"interp", module + "/evaluator", false},
		{"interp", module + "/language", false},
		{"interp", "golang.org/x/sys/unix", false},
		{"builtins", module + "/language", false},
		{"builtins/value", module + "/builtins", false},
		{"builtins/unpack", module + "/builtins/value", false},
		{"language", module + "/builtins", true},
		{"language", module + "/evaluator", false},
		{"evaluator", module + "/interp", true},
		{"evaluator", module + "/builtins", false},
		{"evaluator", module + "/language", false},
		{"evaluator", "go.starlark.net/starlark", false},
		{"evaluator", "github.com/landlock-lsm/go-landlock/landlock", false},
		{"evaluator/compiled", module + "/evaluator", false},
		{"evaluator/wire", module + "/evaluator", false},
		{"evaluator/lockdown", module + "/evaluator", false},
		{"evaluator/lockdown", module + "/interp", false},
		{"evaluator/lockdown", "github.com/landlock-lsm/go-landlock/landlock", true},
		{"exec", module + "/evaluator", false},
		{"exec", module + "/language", false},
		{"resolve", module + "/language", false},
		{".", "go.starlark.net/starlark", false},
		{"exec", module + "/resolve", false},
		{"exec", module + "/exec/image", false},
		{"exec", module + "/exec/engine", false},
		{"exec/engine", module + "/exec/local", false},
		{"exec/local", module + "/exec/engine", false},
		{"exec/local", module + "/exec/artifact", false},
		{"exec/artifact", module + "/exec/local", false},
		{"exec/storetest", module + "/exec/artifact", false},
		{"exec/image/debian", module + "/exec/local", false},
		{"exec/image", module + "/exec/image/pip", true},
		{"exec/image/pip", module + "/exec/image", false},
		{"exec/image/pip", module + "/exec/image/debian", false},
		{"exec/image/pip", module + "/exec/image/oci", true},
		{"exec/image/oci", module + "/exec/image/memo", false},
		{"exec/image/debian", module + "/exec/image/oci", false},
		{"exec/image/debian", module + "/exec/image/debian/archive", true},
		{"exec/image/debian/archive", module + "/exec/image/debian", false},
		{"exec/image/debian/control", module + "/exec/image/debian/archive", false},
		{"exec/image/memo", module + "/exec/image/oci", false},
		{"exec/image/process", module + "/exec/image/pip", false},
		{"exec/sandbox/inside", module + "/exec", false},
		{"exec/sandbox/layer", module + "/exec/sandbox", false},
		{"exec/local", module + "/exec/sandbox", false},
		{"exec/sandbox", module + "/exec/local", false},
		{"internal/durable", module + "/diag", false},
		{"resolve", "go.starlark.net/syntax", false},
		{"language/reach", "go.starlark.net/syntax", true},
		{"cmd/flytestar", module, true},
		{"resolve", module, false},
		{"exec/image", "github.com/spf13/cobra", false},
		{"cmd/flytestar", "github.com/spf13/cobra", true},
		{"exec", "golang.org/x/sys/unix", false},
		{"internal/ociref", "github.com/google/go-containerregistry/pkg/name", true},
		{"internal/ociref", "github.com/google/go-containerregistry/pkg/v1", false},
		{"resolve", "github.com/google/go-containerregistry/pkg/name", false},
		{"exec", "golang.org/x/sync/errgroup", true},
		{"exec/local", "C", false},
		{"resolve", module + "/workspace", true},
		{"workspace", module + "/resolve", false},
		{"workspace", module + "/exec", false},
		{"resolve", module + "/internal/finding", true},
		{"internal/finding", module + "/resolve", false},
		{"check", module + "/lint", true},
		{"check", module, false},
		{"lint", module + "/check", false},
		{"exec/local", module + "/workspace", false},
		{"resolve", "github.com/bmatcuk/doublestar/v4", false},
		{"new", module + "/diag", false},
	}
	for _, tt := range tests {
		if msg := violation(tt.pkg, tt.imported); (msg == "") != tt.ok {
			t.Errorf("%s imports %s: %q", tt.pkg, tt.imported, msg)
		}
	}
}
