package flytestar_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

// The tests of this file are about mistakes that the SDK of Flyte 2 makes or lets pass: what it
// does, and that it doesn't happen here.

// loadText loads main.star of a txtar archive, whose files are the workspace. The home directory
// isn't there yet.
func loadText(t *testing.T, text string) (w *flytestar.Workflow, home string, err error) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(text)).Files {
		name := filepath.Join(dir, f.Name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, f.Data, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	home = filepath.Join(t.TempDir(), "home")
	w, err = flytestar.Load(t.Context(), filepath.Join(dir, "main.star"), flytestar.Options{Home: home})
	if err == nil {
		t.Cleanup(func() {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return w, home, err
}

func mustLoad(t *testing.T, text string) (*flytestar.Workflow, string) {
	t.Helper()
	w, home, err := loadText(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return w, home
}

// codesOf returns "CODE line" of each.
func codesOf(list diag.List) string {
	var out []string
	for _, e := range list {
		out = append(out, fmt.Sprintf("%s %d", e.Code, e.Pos.Line))
	}
	return strings.Join(out, ", ")
}

const orchestrators = `
def _inner_2():
    return 2

def _inner_1():
    return inner_2()

def _outer():
    return inner_1() + inner_2()
`

// A missing environment surfaces inside the parent's running container, and only if the child's
// image has layers. Here it is found before anything is built or written.
func TestMissingEnvironmentIsFoundBeforeAnyEffect(t *testing.T) {
	w, home := mustLoad(t, `
-- main.star --
child_env = task_environment(name = "child", image = image.from_debian_base())
child = task(command = ["true"], env = child_env)
env = task_environment(name = "main", image = image.from_debian_base())

def _main():
    child()

main = task(_main, env = env)
`)
	_, err := w.Run(t.Context(), "main", nil)
	var list diag.List
	if !errors.As(err, &list) || codesOf(list) != "FS101 6" {
		t.Errorf("run: %v", err)
	}
	if _, err := os.Stat(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the home directory is there: %v", err)
	}
}

// One task calls another, and only the root's environment depends on both: that counts, since the
// root's image set is what is deployed. It breaks as soon as the inner task is invoked by itself.
// Here each environment states what it needs.
func TestEdgeThatOnlyTheRootHasIsReported(t *testing.T) {
	text := `
-- main.star --` + orchestrators + `
env_2 = task_environment(name = "inner2")
env_1 = task_environment(name = "inner1")
env = task_environment(name = "outer", depends_on = [env_1, env_2])
inner_2 = task(_inner_2, env = env_2, output = int)
inner_1 = task(_inner_1, env = env_1, output = int)
outer = task(_outer, env = env, output = int)
`
	w, _ := mustLoad(t, text)
	list := w.Check()
	if codesOf(list) != "FS101 5" || !strings.Contains(list[0].Msg, `"inner1" doesn't depend on "inner2"`) {
		t.Errorf("check: %v", list)
	}
	w, _ = mustLoad(t, strings.Replace(text, `"inner1")`, `"inner1", depends_on = [env_2])`, 1))
	if list := w.Lint(); len(list) > 0 {
		t.Errorf("with the edge: %v", list)
	}
}

// An edge that exists only through others works silently, until somebody takes out there what seems
// unused.
func TestTransitiveEdgeIsReported(t *testing.T) {
	w, _ := mustLoad(t, `
-- main.star --`+orchestrators+`
env_2 = task_environment(name = "inner2")
env_1 = task_environment(name = "inner1", depends_on = [env_2])
env = task_environment(name = "outer", depends_on = [env_1])
inner_2 = task(_inner_2, env = env_2, output = int)
inner_1 = task(_inner_1, env = env_1, output = int)
outer = task(_outer, env = env, output = int)
`)
	if list := w.Check(); len(list) > 0 {
		t.Errorf("it isn't an error: %v", list)
	}
	list := w.Lint()
	if codesOf(list) != "FS202 8" || list[0].Fix == nil || list[0].Fix.Symbol != "env_2" {
		t.Errorf("lint: %v", list)
	}
}

// What isn't called is built all the same, and nobody says so.
func TestUnusedDependencyIsReported(t *testing.T) {
	w, _ := mustLoad(t, `
-- main.star --
def _main():
    return 1

unused = task_environment(name = "unused", image = image.from_debian_base())
env = task_environment(name = "main", depends_on = [unused])
main = task(_main, env = env, output = int)
`)
	if list := w.Lint(); codesOf(list) != "FS203 5" {
		t.Errorf("lint: %v", list)
	}
}

// An image's tag is the MD5 of strings that are joined without separators or kinds, the platform
// and what a folder holds left out, so that several of these share one.
func TestDifferentImagesHaveDifferentDigests(t *testing.T) {
	images := []string{
		`with_pip_packages("ab", "c")`, `with_pip_packages("a", "bc")`, `with_pip_packages("abc")`,
		`with_pip_packages("xx")`, `with_apt_packages("xx")`, `with_commands(["xx"])`,
		`with_pip_packages("bc", index_url = "https://example.org/a")`, `with_pip_packages("c", index_url = "https://example.org/ab")`,
		`with_pip_packages("a").with_pip_packages("b")`, `with_pip_packages("a", "b")`,
		`with_commands(["a b"])`, `with_commands(["a", "b"])`, `with_commands(["xx"], network = True)`,
		`with_env_vars({"A": "BC"})`, `with_env_vars({"AB": "C"})`, `with_workdir("/x")`, `with_user("x")`,
		`with_source_folder("one", "/x")`, `with_source_folder("two", "/x")`,
	}
	source := "\n-- one/f --\n1\n-- two/f --\n2\n-- main.star --\n"
	for i, image := range images {
		source += fmt.Sprintf("t%d = task(command = [\"x\"], env = task_environment(name = \"e%d\", image = image.from_debian_base().%s))\n", i, i, image)
	}
	w, _ := mustLoad(t, source)
	seen := map[string]string{}
	for i, image := range images {
		for _, platform := range []string{"linux/amd64", "linux/arm64"} {
			name := image + " for " + platform
			p := planned(t, w, source, i, platform)
			if other, same := seen[string(p.Images[0].Declared)]; same {
				t.Errorf("%s and %s have one digest", name, other)
			}
			seen[string(p.Images[0].Declared)] = name
		}
	}
}

func planned(t *testing.T, w *flytestar.Workflow, source string, task int, platform string) *plan.Plan {
	t.Helper()
	files := fstest.MapFS{}
	for _, f := range txtar.Parse([]byte(source)).Files {
		files[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	p, err := resolve.Plan(w.Graph(), files, task, platform)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A diamond of 12 levels, 26 environments, is walked with 12,287 visits, and a cycle without end.
// Here each environment is planned once; with 2,000 levels, visits along each path would be more
// than a number has digits for.
func TestDiamondIsWalkedOnce(t *testing.T) {
	for _, levels := range []int{12, 2000} {
		w, _ := mustLoad(t, fmt.Sprintf(`
-- main.star --
def _main():
    pass

def diamond(levels):
    low = task_environment(name = "low")
    for i in range(levels):
        left = task_environment(name = "left%%d" %% i, depends_on = [low])
        right = task_environment(name = "right%%d" %% i, depends_on = [low])
        low = task_environment(name = "low%%d" %% i, depends_on = [left, right])
    return low

main = task(_main, env = diamond(%d))
`, levels))
		if list := w.Check(); len(list) > 0 {
			t.Error(list)
		}
		p, err := w.Plan(t.Context(), "main")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(p.Environments), 3*levels+1; got != want {
			t.Errorf("%d levels: %d environments, want %d", levels, got, want)
		}
		slices.Sort(p.Environments)
		if got := len(slices.Compact(p.Environments)); got != 3*levels+1 {
			t.Errorf("%d levels: only %d of them differ", levels, got)
		}
	}
}

// add_dependency takes a cycle, and the walk ends with a bare RecursionError. Here environments are
// values: what was handed over is copied, and an environment can only name what is there already. A
// graph that has a cycle all the same, since what the evaluator says isn't trusted, is refused.
func TestCycleCannotBeMade(t *testing.T) {
	w, _ := mustLoad(t, `
-- main.star --
deps = []
a = task_environment(name = "a", depends_on = deps)
b = task_environment(name = "b", depends_on = [a])
deps.append(b)
`)
	g := w.Graph()
	if len(g.Environments[0].DependsOn) != 0 || len(g.Environments[1].DependsOn) != 1 {
		t.Errorf("environments %+v", g.Environments)
	}
	forged := *g
	forged.Environments = slices.Clone(g.Environments)
	forged.Environments[0].DependsOn = []int{1}
	if err := forged.Validate(); err == nil || !strings.Contains(err.Error(), "cycle") {
		t.Errorf("a forged cycle: %v", err)
	}
}

// Modules that load each other are an import error in one of them, somewhere. Here it is the path,
// with each edge's line.
func TestCycleOfModulesIsNamed(t *testing.T) {
	_, _, err := loadText(t, `
-- main.star --
load("b.star", "b")
a = b
-- b.star --

load("c.star", "c")
b = c
-- c.star --
load("main.star", "a")
c = a
`)
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != "FS105" || len(e.Notes) != 3 || e.Notes[1].Pos.Line != 2 {
		t.Errorf("load: %v", err)
	}
}

// The same module, imported under two names, is loaded twice, and its environments clash. Here a
// module is what its path in the workspace is, and is loaded once.
func TestModuleLoadedTwiceIsOne(t *testing.T) {
	w, _ := mustLoad(t, `
-- main.star --
load("//lib/env.star", "lib_env")
load("lib/env.star", again = "lib_env")
load("lib/other.star", third = "env")
env = task_environment(name = "main", depends_on = [lib_env, again, third])
-- lib/env.star --
lib_env = task_environment(name = "lib")
-- lib/other.star --
load("env.star", "lib_env")
env = lib_env
`)
	g := w.Graph()
	if len(g.Environments) != 2 || len(g.Modules) != 3 || !slices.Equal(g.Environments[1].DependsOn, []int{0}) {
		t.Errorf("modules %v, environments %v", g.Modules, g.Environments)
	}
}

// Deploying an environment together with one that it depends on is taken for a double import. Here
// both plans name the same image.
func TestEnvironmentAndItsDependencyAgree(t *testing.T) {
	source := `
-- main.star --
low_env = task_environment(name = "low", image = image.from_debian_base())
low = task(command = ["x"], env = low_env)
env = task_environment(name = "main", image = image.from_debian_base(), depends_on = [low_env])
main = task(command = ["x"], env = env)
`
	w, _ := mustLoad(t, source)
	alone, both := planned(t, w, source, 0, "linux/amd64"), planned(t, w, source, 1, "linux/amd64")
	if len(both.Images) != 1 || alone.Images[0].Declared != both.Images[0].Declared || !slices.Equal(both.Environments, []string{"low", "main"}) {
		t.Errorf("plans %+v and %+v", alone, both)
	}
}

// memory = "lots" and disk = "10GB" are taken, and mean nothing. Here they are errors where they
// are written.
func TestResourcesThatMeanNothingAreRefused(t *testing.T) {
	for _, argument := range []string{`memory = "lots"`, `disk = "10GB"`, `cpu = "many"`, `memory = -1`} {
		_, _, err := loadText(t, "\n-- main.star --\nr = resources("+argument+")\n")
		var e *diag.Error
		if !errors.As(err, &e) || e.Pos.Line != 1 {
			t.Errorf("%s: %v", argument, err)
		}
	}
}

// Declared packages are compared only when the container imports one of them and fails. Here the
// caller's image is compared with the callee's before either is built, by versions too.
func TestPackagesAreComparedBeforeTheBuild(t *testing.T) {
	w, home := mustLoad(t, `
-- main.star --
base = image.from_debian_base(suite = "bookworm")
child_env = task_environment(name = "child", image = base.with_pip_packages("numpy>=2", "rich"))
child = task(command = ["true"], env = child_env)
env = task_environment(name = "main", image = base.with_pip_packages("NumPy==1.26.4"), depends_on = [child_env])

def _main():
    child()

main = task(_main, env = env)
`)
	_, err := w.Build(t.Context(), "main")
	var list diag.List
	if !errors.As(err, &list) || codesOf(list) != "FS102 7, FS103 7" {
		t.Errorf("build: %v", err)
	}
	if _, err := os.Stat(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the home directory is there: %v", err)
	}
}
