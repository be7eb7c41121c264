package evaluator

import (
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/compiled"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// told is everything that a load learns if it only wants the graph.
type told struct {
	Graph    *plan.Graph
	Lockdown string
	Printed  []string
}

// loadGraph loads main.star for its graph, and reports whether it was evaluated for that.
func loadGraph(t *testing.T, dir string, source sources, limits interp.Limits) (k told, evaluated bool) {
	t.Helper()
	e, g, err := Start(t.Context(), Options{
		Source: source, Entry: "main.star", Limits: limits, GraphOnly: true,
		Cache: dir, Predeclared: bodyLanguage(interp.Limits{}).Predeclared.Keys(),
		Locked: func(l lockdown.State) { k.Lockdown = l.String() },
		Print: func(pos diag.Position, task, text string) {
			k.Printed = append(k.Printed, fmt.Sprint(pos, " ", task, text))
		},
		Notice: func(text string) { t.Error(text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Body(t.Context(), "main", nil, testHost{}); err == nil {
		t.Error("a body was evaluated")
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	k.Graph = g
	return k, e.process != nil
}

// TestKeptGraph: if no module has changed, a load learns the same without evaluation.
func TestKeptGraph(t *testing.T) {
	if l := startFile(t, "", interp.Limits{}).Lockdown(); l.Level != lockdown.Full {
		t.Skipf("only graphs of a full lockdown are kept, and this machine's is %s", l)
	}
	dir := filepath.Join(t.TempDir(), "programs")
	cold, evaluated := loadGraph(t, dir, cachedSource, interp.Limits{})
	if !evaluated || len(cold.Printed) != 2 || cold.Lockdown == "" {
		t.Fatalf("evaluated: %v, %+v", evaluated, cold)
	}
	warm, evaluated := loadGraph(t, dir, cachedSource, interp.Limits{})
	if diff := cmp.Diff(cold, warm); evaluated || diff != "" {
		t.Errorf("evaluated: %v\n%s", evaluated, diff)
	}
	for _, path := range []string{"main.star", "lib/a.star"} {
		changed := maps.Clone(cachedSource)
		changed[path] += "\nprint('changed')"
		if k, evaluated := loadGraph(t, dir, changed, interp.Limits{}); !evaluated || len(k.Printed) != 3 {
			t.Errorf("with another %s: evaluated: %v, %q", path, evaluated, k.Printed)
		}
		loadGraph(t, dir, cachedSource, interp.Limits{}) // keeps that graph again
	}
	if _, evaluated := loadGraph(t, dir, cachedSource, interp.Limits{Steps: 1000}); !evaluated {
		t.Error("under other limits it isn't evaluated")
	}
	if _, evaluated := loadGraph(t, dir, cachedSource, interp.Limits{}); evaluated {
		t.Error("in the end it is evaluated again")
	}
}

// TestGraphNotKept: no graph is kept of small sources, nor of an evaluator that wasn't locked down
// in full.
func TestGraphNotKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	loadGraph(t, dir, sources{"main.star": cached, "lib/a.star": "a = 1\nc = 'c'"}, interp.Limits{})
	if files := entries(t, dir); len(files) > 0 {
		t.Errorf("of small sources, %s is kept", files)
	}
	of := func(level lockdown.Level) {
		options := cacheOptions(dir, cachedSource)
		e := &Evaluator{options: options, cache: newCache(options), lockdown: lockdown.State{Level: level}, size: compiled.MinSource}
		e.keep(&plan.Graph{})
		e.cache.Close(time.Minute)
	}
	of(lockdown.Partial)
	if files := entries(t, dir); len(files) > 0 {
		t.Errorf("of a partial lockdown, %s is kept", files)
	}
	of(lockdown.Full)
	if files := entries(t, dir); len(files) != 1 {
		t.Errorf("of a full one, %s is kept", files)
	}
}
