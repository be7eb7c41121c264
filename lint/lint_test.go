package lint_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bazelbuild/buildtools/warn"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/internal/startest"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/language"
	"github.com/flytestar/flytestar/lint"
	"github.com/flytestar/flytestar/resolve"
)

func TestMain(m *testing.M) {
	evaluator.Init(language.New, lint.Tools(language.New))
	os.Exit(m.Run())
}

// TestFindings checks each chunk of testdata/*.star and compares what is found. The chunks are
// evaluated too, for their tasks, unless one says that it can't be.
func TestFindings(t *testing.T) {
	files, err := filepath.Glob("testdata/*.star")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, file := range files {
		for _, chunk := range startest.Read(t, file) {
			t.Run(chunk.Name, func(t *testing.T) {
				report, err := lint.Check(t.Context(), modulesOf(chunk), declaredIn(t, &chunk), evaluator.Options{})
				if err != nil {
					t.Fatal(err)
				}
				known := lint.Known{Rules: slices.Concat(resolve.Rules(), lint.Rules(), lint.Buildtools())}
				chunk.Match(t, report.Apply(report.Findings, known))
			})
		}
	}
}

func modulesOf(c startest.Chunk) []lint.Module {
	var modules []lint.Module
	for path, source := range c.Files {
		modules = append(modules, lint.Module{Path: path, Source: source})
	}
	return modules
}

// declaredIn evaluates a chunk; nothing is known of it where that fails, since many findings are of
// what does.
func declaredIn(t *testing.T, c *startest.Chunk) (d lint.Declared) {
	lang := language.New(interp.Limits{}.Defaults())
	p, err := interp.Loader{Language: lang}.Load(c, startest.Entry)
	if err != nil {
		t.Log(err)
		return d
	}
	g, err := p.Graph()
	if err != nil {
		t.Log(err)
		return d
	}
	d.Entries = []string{startest.Entry}
	for i := range g.Tasks {
		d.Tasks = append(d.Tasks, lint.TaskSite{Pos: g.Tasks[i].Pos, Output: len(g.Tasks[i].Outputs) > 0})
		if g.Tasks[i].Listed {
			d.Listed = append(d.Listed, g.Tasks[i].Name)
		}
	}
	return d
}

// TestBuildtools: buildtools has each check that we list, and testdata has a finding of each.
func TestBuildtools(t *testing.T) {
	var expected strings.Builder
	files, err := filepath.Glob("testdata/*.star")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		expected.Write(data)
	}
	last := ""
	for _, r := range slices.Concat(lint.Rules(), lint.Buildtools()) {
		if lint.IsBuildtools(r.Code) {
			if warn.FileWarningMap[r.Code] == nil || !slices.Contains(warn.AllWarnings, r.Code) {
				t.Errorf("buildtools has no %s", r.Code)
			}
			if r.Code <= last {
				t.Errorf("%s comes after %s", r.Code, last)
			}
			last = r.Code
		}
		if !strings.Contains(expected.String(), `\\[`+r.Code+`\\]`) {
			t.Errorf("no expectation in testdata names [%s]", r.Code)
		}
	}
}

// TestHostile: whatever a source has in it, the tools find something, or end with an error that is
// the source's. One that takes too long ends with a limit.
func TestHostile(t *testing.T) {
	sources := map[string]string{
		"left-deep":    "x = " + strings.Repeat("1-", 100_000) + "1\n",
		"parentheses":  "x = " + strings.Repeat("(", 100_000) + "\n",
		"minus":        "x = " + strings.Repeat("-", 100_000) + "1\n",
		"calls":        "x = f" + strings.Repeat("()", 100_000) + "\n",
		"dots":         "x = a" + strings.Repeat(".b", 100_000) + "\n",
		"elif":         "def f(x):\n    if x:\n        pass\n" + strings.Repeat("    elif x:\n        pass\n", 30_000),
		"ifs":          strings.Repeat("if 1:0\n", 100_000),
		"suppressions": strings.Repeat("x # flytestar: disable=FS220,FS999\n", 20_000),
		"no effect":    strings.Repeat("1\n", 400_000),
		"variables":    "def f(x):\n" + strings.Repeat("    if x:\n        y = x\n", 30_000),
		"quotes":       strings.Repeat("'''", 200_000),
		"lines":        "x = [" + strings.Repeat("\n", 900_000) + "] # flytestar: disable=FS220\n",
		"digits":       "x = " + strings.Repeat("9", 900_000) + "\n",
		"NUL":          "x = 1\x00",
		"UTF-8":        "x = '\xff'",
	}
	files, err := filepath.Glob("../cmd/flytestar/testdata/hostile/*.star")
	if err != nil || len(files) == 0 {
		t.Fatal("no hostile files", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources[filepath.Base(file)] = string(data)
	}
	options := evaluator.Options{Limits: interp.Limits{Wall: 2 * time.Second}}
	for name, source := range sources {
		m := lint.Module{Path: "m.star", Source: []byte(source)}
		tools := map[string]func() error{
			"check": func() error {
				_, err := lint.Check(t.Context(), []lint.Module{m}, lint.Declared{}, options)
				return err
			},
			"format": func() error {
				_, err := lint.Format(t.Context(), m, options)
				return err
			},
		}
		for what, do := range tools {
			if err := do(); !isSources(err) {
				t.Errorf("%s of %s: %v", what, name, err)
			}
		}
	}
}

// isSources reports whether err is nil, or of what the source can do something about.
func isSources(err error) bool {
	list, ok := err.(diag.List)
	if e, one := err.(*diag.Error); one {
		list, ok = diag.List{e}, true
	}
	return err == nil || ok && !slices.ContainsFunc(list, func(e *diag.Error) bool { return e.Class != diag.Source && e.Class != diag.Limit })
}

// TestManyIdle: of comments that suppress nothing, only so many are listed.
func TestManyIdle(t *testing.T) {
	r := &lint.Report{}
	for i := range 1007 {
		r.Suppressions = append(r.Suppressions, lint.Suppression{Pos: diag.Position{File: "a.star", Line: i + 1, Col: 1}, Codes: []string{"FS220"}})
	}
	found := r.Apply(nil, lint.Known{Rules: lint.Rules()})
	want := "and 7 more findings like the first 1000"
	if len(found) != 1001 || !slices.ContainsFunc(found, func(e *diag.Error) bool { return e.Code == "FS290" && e.Msg == want }) {
		t.Errorf("%d findings, the first is %v", len(found), found[0])
	}
}
