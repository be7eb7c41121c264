package workspace_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

// TestPythonModule: as which module a file is imported.
func TestPythonModule(t *testing.T) {
	const (
		srcDir  = "[tool.setuptools.package-dir]\n\"\" = \"code\"\n"
		renamed = "[tool.setuptools.package-dir]\n\"shop.cart\" = \"lib/shop/cart\"\n"
		find    = "[tool.setuptools.packages.find]\nwhere = [\"lib\"]\n"
		listed  = "[tool.setuptools]\npackages = [\"shop\", \"shop.cart\"]\n"
		named   = "[project]\nname = \"My-Shop\"\n"
		tools   = "[tool.ruff]\nline-length = 100\n"
	)
	tests := []struct {
		files      string // those that are there, besides the task's; pyproject.toml is where "@" stands
		project    string // its content
		root, file string // of the task
		want       string // root:name, or what the error has
	}{
		{"", "", "", "run.py", ".:run"},
		{"", "", "", "a/b/run.py", "a/b:run"},
		{"pkg/__init__.py", "", "", "pkg/m.py", ".:pkg.m"},
		{"pkg/__init__.py pkg/sub/__init__.py", "", "", "pkg/sub/n.py", ".:pkg.sub.n"},
		{"a/pkg/__init__.py a/pkg/sub/__init__.py", "", "", "a/pkg/sub/n.py", "a:pkg.sub.n"},
		{"a/pkg/__init__.py", "", "", "a/pkg/sub/n.py", "a/pkg/sub:n"},
		{"pkg/__init__.py", "", "", "pkg/__init__.py", ".:pkg"},
		{"__init__.py", "", "", "run.py", ".:run"},
		{"__init__.py pkg/__init__.py", "", "", "pkg/run.py", ".:pkg.run"},
		{"@", tools, "", "src/app/main.py", "src:app.main"},
		{"@ src/__init__.py src/app/__init__.py", tools, "", "src/app/main.py", "src:app.main"},
		{"@", tools, "", "app/main.py", "app:main"},
		{"@ app/__init__.py", tools, "", "app/main.py", ".:app.main"},
		{"@", tools, "", "main.py", ".:main"},
		{"p/@ p/__init__.py p/app/__init__.py", tools, "", "p/app/main.py", "p:app.main"},
		{"p/@", tools, "", "p/src/app/main.py", "p/src:app.main"},
		{"p/@", srcDir, "", "p/code/app/main.py", "p/code:app.main"},
		{"p/@", srcDir, "", "p/src/app/main.py", "p/src/app:main"},
		{"@", renamed, "", "lib/shop/cart/main.py", "lib:shop.cart.main"},
		{"@", find, "", "lib/app/main.py", "lib:app.main"},
		{"@", listed, "", "shop/cart/main.py", ".:shop.cart.main"},
		{"@", listed, "", "other/main.py", "other:main"},
		{"@", named, "", "my_shop/main.py", ".:my_shop.main"},
		{"@", named, "", "tests/main.py", "tests:main"},
		{"@", "[project", "", "src/app/main.py", "pyproject.toml, which says where Python packages begin: line 1"},
		{"@", "project = 1", "", "src/app/main.py", "pyproject.toml"},
		{"@", "[project", "src", "src/app/main.py", "src:app.main"},
		{"pkg/__init__.py", "", "pkg", "pkg/m.py", "pkg:m"},
		{"", "", ".", "a/b/m.py", ".:a.b.m"},
		{"", "", ".", "a.b/m.v2.py", ".:m_v2"},
		{"", "", "", "my-run.py", ".:my-run"},
		{"@", "[tool.setuptools.package-dir]\n\"\" = \"../..\"\n", "", "a/m.py", "a:m"},
	}
	for _, tt := range tests {
		files := fstest.MapFS{tt.file: {}}
		for _, name := range strings.Fields(tt.files) {
			if at, ok := strings.CutSuffix(name, "@"); ok {
				files[at+"pyproject.toml"] = &fstest.MapFile{Data: []byte(tt.project)}
			} else {
				files[name] = &fstest.MapFile{}
			}
		}
		m, err := workspace.NewReader(files).PythonModule(&plan.Body{Kind: plan.BodyPython, File: tt.file, Root: tt.root})
		got := m.Root + ":" + m.Name
		if err != nil {
			got = err.Error()
		}
		if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
			t.Errorf("%q %q, root %q, %s: got %s, want %s", tt.files, tt.project, tt.root, tt.file, got, tt.want)
		}
	}
}

// TestCarriedPackage: a Python task carries what lies below its package's root.
func TestCarriedPackage(t *testing.T) {
	files := tree("p/pkg/__init__.py", "p/pkg/sub/__init__.py", "p/pkg/sub/n.py", "p/other/x.py", "q.py")
	task := &plan.Task{Dir: ".", Body: plan.Body{Kind: plan.BodyPython, File: "p/pkg/sub/n.py", Function: "f"}}
	got, err := workspace.Carried(files, task)
	if want := "p/other/x.py p/pkg/__init__.py p/pkg/sub/__init__.py p/pkg/sub/n.py"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("carried %v, %v; want %s", got, err, want)
	}
}
