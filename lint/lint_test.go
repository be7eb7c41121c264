package lint_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/flytestar/flytestar/internal/startest"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/lint"
	"github.com/flytestar/flytestar/resolve/reach"
)

func TestMain(m *testing.M) {
	interp.Init(reach.Language, lint.Tools(reach.Language))
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
				report, err := lint.Check(t.Context(), modulesOf(chunk), tasksOf(t, &chunk), interp.Options{})
				if err != nil {
					t.Fatal(err)
				}
				known := lint.Known{Rules: append(lint.Rules(), lint.Buildtools()...)}
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

// tasksOf evaluates a chunk; nil where that fails, since many findings are of what does.
func tasksOf(t *testing.T, c *startest.Chunk) []lint.TaskSite {
	lang := reach.Language(interp.Limits{}.Defaults())
	m, all, err := interp.Load(c, startest.Entry, lang, interp.Limits{})
	if err != nil {
		t.Log(err)
		return nil
	}
	g, err := lang.Graph(m, all)
	if err != nil {
		t.Log(err)
		return nil
	}
	var sites []lint.TaskSite
	for i := range g.Tasks {
		sites = append(sites, lint.TaskSite{Pos: g.Tasks[i].Pos, Output: len(g.Tasks[i].Outputs) > 0})
	}
	return sites
}
