package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/diag"
)

// given has what blocks of spec.md take as given, in an order that has each before its users. A block
// gets what it uses and doesn't bind.
var given = []struct{ name, text string }{
	{"MSA_PACKAGES", `MSA_PACKAGES = ["pytest==8.3.4"]`},
	{"fold_image", `fold_image = image.from_debian_base()`},
	{"msa_image", `msa_image = image.from_debian_base().with_pip_packages(*MSA_PACKAGES)`},
	{"fold_env", `fold_env = task_environment(name = "fold", image = fold_image)`},
	{"msa_env", `msa_env = task_environment(name = "msa", image = msa_image)`},
	{"net_env", `net_env = task_environment(name = "net", image = image.from_debian_base(), network = True)`},
	{"data_env", `data_env = task_environment(name = "data")`},
	{"env", `env = task_environment(name = "main", image = image.from_debian_base(), depends_on = [fold_env])`},
	{"_run", "def _run():\n    return None"},
	{"run_fold", `run_fold = task(env = fold_env, command = ["true"], inputs = {"sequence": input(any, default = None)}, timeout = "1m")`},
	{"run_msa", `run_msa = task(env = msa_env, script = "#!/bin/sh\ntrue", inputs = {"sequence": str}, timeout = "1m")`},
	{"load_data", `load_data = task(_run, env = data_env)`},
	{"_step", "def _step():\n    return None"},
	{"step", `step = task(python = "given.py:step", env = env, inputs = {"x": any}, output = any, timeout = "1m")`},
	{"align", `align = task(python = "given.py:align", env = env, inputs = {"x": any, "index": input(any, default = None)}, output = any, timeout = "1m")`},
	{"trim", `trim = task(python = "given.py:trim", env = env, inputs = {"x": any}, output = any, timeout = "1m")`},
	{"score", `score = task(python = "given.py:score", env = env, inputs = {"x": any}, timeout = "1m")`},
	{"names", `names = ["a", "b"]`},
	{"x", `x = "x"`},
}

var (
	pythonBlock = regexp.MustCompile("(?ms)^```python\n(.*?)^```$")
	codeInBlock = regexp.MustCompile(`# ?.*?\b(FS[0-9]{3})\b`)
	mainInBlock = regexp.MustCompile(`(?m)^def _main\(([^)]*)\)`)
	fineLine    = regexp.MustCompile(`(?m)^.*# fine.*\n`)
	imageLine   = regexp.MustCompile(`(?m)^image\..*\)`)
	boundName   = regexp.MustCompile(`(?m)^(\w+) = `)
	loopLine    = regexp.MustCompile(`(?m)^for .*$`)
	badLine     = regexp.MustCompile(`(?m)^.*# FS[0-9]{3}.*\n`)
)

// TestSpecBlocks checks each block of Starlark in spec.md, with what it takes as given before it.
// The finding that a block names is found, and no other error. Without its bad lines, those that are
// "# fine" have neither. Other warnings don't count: blocks are short.
func TestSpecBlocks(t *testing.T) {
	data, err := os.ReadFile("../../spec.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range pythonBlock.FindAllStringSubmatch(string(data), -1) {
		block := m[1]
		code := ""
		if c := codeInBlock.FindStringSubmatch(block); c != nil {
			code = c[1]
		}
		if code == "FS105" || code == "FS222" || strings.Contains(block, "# flytestar: ") {
			continue // several modules, a part of a function, parts of a body
		}
		t.Run(code, func(t *testing.T) {
			found := blockFindings(t, fineLine.ReplaceAllString(block, ""))
			if code != "" && !slices.ContainsFunc(found, func(e diag.Error) bool { return e.Code == code }) {
				t.Errorf("%s isn't found in\n%s", code, block)
			}
			for _, e := range found {
				if e.Code != code && !(code == "FS225" && strings.Contains(e.Msg, "duplicate key")) && (e.Severity == "" || e.Severity == diag.SeverityError) {
					t.Errorf("%s\nin\n%s", e.Error(), block)
				}
			}
			if !fineLine.MatchString(block) {
				return
			}
			for _, e := range blockFindings(t, badLine.ReplaceAllString(block, "")) {
				if e.Code == code || e.Severity == "" || e.Severity == diag.SeverityError {
					t.Errorf("%s\nin what is fine of\n%s", e.Error(), block)
				}
			}
		})
	}
}

// blockFindings returns what lint finds in a block.
func blockFindings(t *testing.T, block string) []diag.Error {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		"flytestar.toml": "", "main.star": complete(block), "data/rows.csv": "1\n", "tasks/count.py": "def count():\n    pass\n",
		"run.py":   "from pathlib import Path\n\n\ndef fold(sequence: str, msa: Path, seed: int = 0) -> Path:\n    return msa\n\n\ndef run_fold(sequence, msa):\n    pass\n",
		"given.py": "def step(x): pass\ndef align(x, index): pass\ndef trim(x): pass\ndef score(x): pass\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nothing.py", "tasks/old.py"); err != nil {
		t.Fatal(err)
	}
	return jsonFindings(t, "lint", "main.star")
}

// complete returns a block with what it takes as given.
func complete(block string) string {
	envs := 0
	block = imageLine.ReplaceAllStringFunc(strings.ReplaceAll(block, "sha256:…", "sha256:"+strings.Repeat("0", 64)), func(image string) string {
		envs++
		return fmt.Sprintf("env%d = task_environment(name = \"env%d\", image = %s)", envs, envs, image)
	})
	block = loopLine.ReplaceAllString(block, "$0\n    print(name)")
	if m := mainInBlock.FindStringSubmatch(block); m != nil {
		inputs := ""
		for _, p := range strings.FieldsFunc(m[1], func(r rune) bool { return r == ',' || r == ' ' }) {
			inputs += `"` + p + `": any, `
		}
		block += "\nmain = task(_main, env = env, inputs = {" + inputs + "})\n"
	}
	for i := len(given) - 1; i >= 0; i-- {
		g := given[i]
		if uses(block, g.name) && !binds(block, g.name) {
			at := 0
			if main := mainInBlock.FindStringIndex(block); main != nil && leansOn(g.text, block) {
				at = main[0]
			}
			block = block[:at] + g.text + "\n" + block[at:]
		}
	}
	return block
}

// leansOn reports whether a line uses a global that a block binds.
func leansOn(line, block string) bool {
	return slices.ContainsFunc(boundName.FindAllStringSubmatch(block, -1), func(m []string) bool { return uses(line, m[1]) })
}

func uses(block, name string) bool {
	return regexp.MustCompile(`(?m)(?:^|[^\w".])` + name + `\b`).MatchString(block)
}

func binds(block, name string) bool {
	return regexp.MustCompile(`(?m)^(?:` + name + ` = |def ` + name + `\()|load\(.*"` + name + `"|def \w+\(.*\b` + name + `\b.*\)`).MatchString(block)
}
