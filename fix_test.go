package flytestar_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/diag"
)

// TestFix mends main.star of each of testdata/fix/*.txtar and compares its modules with those in
// want/, and what is left with the file left; UPDATE=1 writes both. What is mended is formatted
// where it was before, and nothing is mended the second time.
func TestFix(t *testing.T) {
	files, err := filepath.Glob("testdata/fix/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			opts := flytestar.LintOptions{Options: flytestar.Options{Home: t.TempDir()}}
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			given := workspaceOf(t, a, dir)
			main := filepath.Join(dir, "main.star")
			pretty := slices.DeleteFunc(slices.Clone(given), func(name string) bool { return !formatted(t, dir, name, opts.Options) })
			left := fixIn(t, main, opts)
			got := &txtar.Archive{Comment: a.Comment}
			for _, f := range a.Files {
				if slices.Contains(given, f.Name) {
					got.Files = append(got.Files, f)
				}
			}
			for _, name := range given {
				before, after := fileOf(got, name), readFile(t, filepath.Join(dir, name))
				if !bytes.Equal(before, after) {
					got.Files = append(got.Files, txtar.File{Name: "want/" + name, Data: after})
				}
				if slices.Contains(pretty, name) && !formatted(t, dir, name, opts.Options) {
					t.Errorf("%s was formatted before", name)
				}
			}
			if len(left) > 0 {
				got.Files = append(got.Files, txtar.File{Name: "left", Data: left})
			}
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(file, txtar.Format(got), 0o666); err != nil {
					t.Fatal(err)
				}
			} else if want := txtar.Format(a); !bytes.Equal(txtar.Format(got), want) {
				t.Errorf("got\n%s\nwant\n%s", txtar.Format(got), want)
			}
			if again := fixIn(t, main, opts); !bytes.Equal(again, left) {
				t.Errorf("the second time, what is left is\n%s\ninstead of\n%s", again, left)
			}
			for _, name := range given {
				if now := readFile(t, filepath.Join(dir, name)); !bytes.Equal(now, cmpOr(fileOf(got, "want/"+name), fileOf(got, name))) {
					t.Errorf("%s changed the second time:\n%s", name, now)
				}
			}
		})
	}
}

// workspaceOf writes the files of an archive that are given, and returns their names.
func workspaceOf(t *testing.T, a *txtar.Archive, dir string) []string {
	t.Helper()
	var names []string
	for _, f := range a.Files {
		if f.Name == "left" || strings.HasPrefix(f.Name, "want/") {
			continue
		}
		names = append(names, f.Name)
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// fixIn mends a file and returns the findings that are left, infos left out.
func fixIn(t *testing.T, main string, opts flytestar.LintOptions) []byte {
	t.Helper()
	fixed, err := flytestar.Fix(t.Context(), []string{main}, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := flytestar.Write(fixed.Changes); err != nil {
		t.Fatal(err)
	}
	var left diag.List
	for _, e := range fixed.Linted[0].Findings {
		if e.Severity != diag.SeverityInfo {
			left = append(left, e)
		}
	}
	var b bytes.Buffer
	if err := diag.Render(&b, left, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func formatted(t *testing.T, dir, name string, opts flytestar.Options) bool {
	t.Helper()
	source := readFile(t, filepath.Join(dir, name))
	out, err := flytestar.Format(t.Context(), name, source, opts)
	return err == nil && bytes.Equal(out, source)
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fileOf returns a file of an archive, or nil.
func fileOf(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func cmpOr(a, b []byte) []byte {
	if a != nil {
		return a
	}
	return b
}

// randomWorkspace draws modules of a few environments each, a container task and an orchestrator in
// every one, and their calls, depends_on, images and layout. Calls go to environments that come
// before, or there would be cycles.
//
// Environments may share an image or a depends_on, by a global.
func randomWorkspace(t *rapid.T) map[string]string {
	type env struct{ module, name string }
	type shared struct{ module, name, value string }
	var envs []env
	var images, lists []shared
	files := map[string]string{}
	paths := []string{"a.star", "lib/b.star", "main.star"}[3-rapid.IntRange(1, 3).Draw(t, "modules"):]
	for m, path := range paths {
		loads := map[string][]string{}
		use := func(module, name string) string {
			if module != path && !slices.Contains(loads[module], name) {
				loads[module] = append(loads[module], name)
			}
			return name
		}
		var body strings.Builder
		for i := range rapid.IntRange(1, 3).Draw(t, "envs") {
			e := env{path, fmt.Sprintf("%c%d", 'x'+m, i)}
			image := "image.from_debian_base()"
			for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"p==1", "q==2", "r==3"}), 0, 3, rapid.ID).Draw(t, "packages") {
				image += fmt.Sprintf(".with_pip_packages(%q)", p)
			}
			var deps, calls []string
			for _, d := range envs {
				if rapid.Bool().Draw(t, "depends") {
					deps = append(deps, use(d.module, "e_"+d.name))
				}
				if rapid.Bool().Draw(t, "calls") {
					calls = append(calls, use(d.module, "t_"+d.name)+"()")
				}
			}
			if n := len(images); n > 0 && rapid.Bool().Draw(t, "shares an image") {
				s := images[rapid.IntRange(0, n-1).Draw(t, "image")]
				image = use(s.module, s.name)
			} else if rapid.Bool().Draw(t, "names its image") {
				s := shared{path, "i_" + e.name, image}
				fmt.Fprintf(&body, "%s = %s\n", s.name, s.value)
				images, image = append(images, s), s.name
			}
			list := strings.Join(deps, ", ")
			if rapid.Bool().Draw(t, "lines") && len(deps) > 0 {
				list = "\n    " + strings.Join(deps, ",\n    ") + ",\n"
			}
			list = "[" + list + "]"
			if n := len(lists); n > 0 && rapid.Bool().Draw(t, "shares a list") {
				s := lists[rapid.IntRange(0, n-1).Draw(t, "list")]
				list = use(s.module, s.name)
			} else if rapid.IntRange(0, 3).Draw(t, "names its list") == 0 {
				s := shared{path, "d_" + e.name, list}
				fmt.Fprintf(&body, "%s = %s\n", s.name, s.value)
				lists, list = append(lists, s), s.name
			}
			fmt.Fprintf(&body, "# above\ne_%[1]s = task_environment(\n    name = %[1]q, image = %s, # within\n    # first\n depends_on = %s) # after\n", e.name, image, list)
			fmt.Fprintf(&body, "t_%[1]s = task(command = [\"x\", \"{{.outputs.output}}\"], env = e_%[1]s, output = str, timeout = 1)\n", e.name)
			fmt.Fprintf(&body, "def _f_%[1]s():\n    return [%[2]s]\nf_%[1]s = task(_f_%[1]s, env = e_%[1]s, output = list[str])\n", e.name, strings.Join(calls, ", "))
			envs = append(envs, e)
		}
		if m > 0 { // so that the module before belongs to the workspace
			fmt.Fprintf(&body, "also = %s\n", use(paths[m-1], fmt.Sprintf("f_%c0", 'x'+m-1)))
		}
		var head strings.Builder
		for _, module := range slices.Sorted(maps.Keys(loads)) {
			fmt.Fprintf(&head, "load(%q, \"%s\")\n", "//"+module, strings.Join(loads[module], `", "`))
		}
		files[path] = head.String() + body.String()
	}
	return files
}

// workspacesFixed is how many workspaces TestFixRandom mends; more were, when it was written.
const workspacesFixed = 12

// TestFixRandom: in workspaces whose environments are all declared at the top level, everything
// that says how it is mended is, unless a shared list stands in the way; comments are all there,
// nothing is added twice, and the second time there is nothing to do.
func TestFixRandom(t *testing.T) {
	var mended atomic.Int64
	t.Run("workspaces", func(t *testing.T) {
		for seed := range workspacesFixed {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				mended.Add(int64(fixRandom(t, seed)))
			})
		}
	})
	if n := mended.Load(); n < workspacesFixed {
		t.Errorf("only %d findings were mended", n)
	}
}

// fixRandom mends a random workspace and returns how many findings were mended.
func fixRandom(t *testing.T, seed int) int {
	t.Helper()
	files := rapid.Custom(randomWorkspace).Example(seed)
	a := &txtar.Archive{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(files[name])})
	}
	dir := t.TempDir()
	workspaceOf(t, a, dir)
	main := []string{filepath.Join(dir, "main.star")}
	opts := flytestar.LintOptions{Options: flytestar.Options{Workspace: dir, Home: t.TempDir()}}
	fixed, err := flytestar.Fix(t.Context(), main, opts)
	if err != nil {
		t.Fatalf("%v in\n%s", err, txtar.Format(a))
	}
	for _, e := range fixed.Linted[0].Findings {
		if e.Severity != diag.SeverityInfo && e.Code != "FS203" {
			t.Errorf("left: %v, %v in\n%s", e, e.Notes, txtar.Format(a))
		}
	}
	for _, c := range fixed.Changes {
		if a, b := bytes.Count(c.Before, []byte("# ")), bytes.Count(c.After, []byte("# ")); a != b {
			t.Errorf("%s had %d comments, now %d:\n%s", c.File, a, b, c.After)
		}
	}
	for _, c := range fixed.Changes {
		for line := range strings.Lines(string(c.After)) {
			if what := repeated(line); what != "" {
				t.Errorf("%s has %s twice: %s in\n%s", c.File, what, line, txtar.Format(a))
			}
		}
	}
	if err := flytestar.Write(fixed.Changes); err != nil {
		t.Fatal(err)
	}
	again, err := flytestar.Fix(t.Context(), main, opts)
	if err != nil || again.Mended != 0 || len(again.Changes) != 0 {
		t.Errorf("the second time: %v, %d changes in\n%s", err, len(again.Changes), txtar.Format(a))
	}
	return fixed.Mended
}

// repeated returns a string, or a name of an environment, that an image or a list on a line has twice.
func repeated(line string) string {
	seen := map[string]bool{}
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" ,()[]=\n", r) }) {
		if (strings.HasPrefix(word, `"`) || strings.HasPrefix(word, "e_")) && seen[word] {
			return word
		}
		seen[word] = true
	}
	return ""
}

// TestOverlay: files are known by whatever name; one that has two sources is refused.
func TestOverlay(t *testing.T) {
	t.Chdir(t.TempDir())
	abs, err := filepath.Abs("main.star")
	if err != nil {
		t.Fatal(err)
	}
	source := []byte("lib = task_environment(name = \"lib\")\nrun = task(lambda: None, env = lib)\nenv = task_environment(name = \"main\")\n" +
		"def _main():\n    return run()\nmain = task(_main, env = env)\n")
	for _, name := range []string{"main.star", "./x/../main.star", abs} {
		fixed, err := flytestar.Fix(t.Context(), []string{"main.star"}, flytestar.LintOptions{Overlay: map[string][]byte{name: source}})
		if err != nil || fixed.Mended != 1 || len(fixed.Changes) != 1 || !strings.Contains(string(fixed.Changes[0].After), "depends_on = [lib]") {
			t.Errorf("%s: %+v, %v", name, fixed, err)
		}
	}
	_, err = flytestar.Lint(t.Context(), []string{"main.star"}, flytestar.LintOptions{Overlay: map[string][]byte{"main.star": source, abs: nil}})
	if err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("got %v", err)
	}
}
