package flytestar

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/lint"
)

// Fixed is what [Fix] has made of files.
type Fixed struct {
	Linted  []*Linted // what is left; of a finding that couldn't be mended, a note says why
	Changes []Change  // for [Write]
	Mended  int       // findings that are no more
}

// Bounds of one [Fix].
const (
	maxRounds = 10 // of fixes, each on the results of those before
	maxSingle = 50 // fixes tried one by one in a round, after all at once wouldn't do
	maxEdits  = 50 // of one step, each for the findings that the one before has led to
)

// Fix mends findings of files, as [Lint] returns them, that say how. It writes
// nothing. After each step all is linted again, evaluation included: a step stays if its findings are gone, and there are no
// new ones, once those are mended that can be, but infos (a package that is added may be one without a version, as it was in the other image).
func Fix(ctx context.Context, files []string, opts LintOptions) (*Fixed, error) {
	before, err := Lint(ctx, files, opts)
	if err != nil {
		return nil, err
	}
	x := &fixer{files: files, opts: opts, linted: before, refused: map[string]string{}}
	// By one name for each file: what is mended is put there by the absolute one.
	if x.opts.Overlay, err = absolute(opts.Overlay); err != nil {
		return nil, err
	}
	for range maxRounds {
		again, err := x.round(ctx)
		if err != nil {
			return nil, err
		}
		if !again {
			break
		}
	}
	x.explain()
	return &Fixed{Linted: x.linted, Changes: changes(before, x.linted), Mended: missing(before, x.linted)}, nil
}

// missing counts the findings of before that after hasn't.
func missing(before, after []*Linted) int {
	n, left := 0, keys(after)
	for key, was := range keys(before) {
		n += max(0, was-left[key])
	}
	return n
}

// changes returns how the modules' sources differ.
func changes(before, after []*Linted) []Change {
	var out []Change
	for i, l := range before {
		for _, m := range l.Modules {
			now := after[i].source(m.Path)
			if now != nil && string(now) != string(m.Source) {
				out = append(out, Change{File: l.file(m.Path), Before: m.Source, After: now})
			}
		}
	}
	return out
}

// source returns the source of a module, or nil.
func (l *Linted) source(path string) []byte {
	for _, m := range l.Modules {
		if m.Path == path {
			return m.Source
		}
	}
	return nil
}

// file returns the name of a module's file on this machine.
func (l *Linted) file(path string) string { return filepath.Join(l.Dir, filepath.FromSlash(path)) }

// fixer mends step by step.
type fixer struct {
	files   []string
	opts    LintOptions // Overlay has what is mended so far
	linted  []*Linted
	refused map[string]string // why a finding can't be mended, by its key
	edits   int               // in this step
}

// job is a finding that is to be mended.
type job struct {
	linted  *Linted
	finding *diag.Error
}

// key tells findings apart whose lines may move.
func (j job) key() string {
	return j.linted.Dir + "\x00" + j.finding.Pos.File + "\x00" + j.finding.Code + "\x00" + j.finding.Msg
}

// kinds are the fixes that are made together, in this order: what moves lines comes before what is about lines.
var kinds = [][]diag.FixKind{
	{diag.FixAddDependency, diag.FixRemoveDependency, diag.FixAddPackages},
	{diag.FixRemoveLoad},
	{diag.FixRemoveSuppression},
}

// jobs returns the findings that can be mended next.
func (x *fixer) jobs() []job {
	var all []job
	for _, l := range x.linted {
		for _, e := range l.Findings {
			all = append(all, job{l, e})
		}
	}
	return x.first(all)
}

// first returns those of jobs that can be mended, and first of all.
func (x *fixer) first(jobs []job) []job {
	for _, together := range kinds {
		var out []job
		for _, j := range jobs {
			fix := j.finding.Fix
			switch {
			case fix == nil || !slices.Contains(together, fix.Kind) || x.refused[j.key()] != "":
			case j.linted.Partial:
				x.refused[j.key()] = "a file doesn't load, so that evaluating can't show the edit to be right"
			default:
				out = append(out, j)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// round mends what can be mended next: all at once or, if that wouldn't do, one after the other. It
// reports whether another round may mend more.
func (x *fixer) round(ctx context.Context) (bool, error) {
	jobs := x.jobs()
	if len(jobs) == 0 {
		return false, nil
	}
	if why, err := x.step(ctx, jobs); err != nil {
		return false, err
	} else if why == "" {
		return true, nil
	} else if len(jobs) == 1 {
		x.refused[jobs[0].key()] = why
		return true, nil
	}
	for range min(len(jobs), maxSingle) {
		next := x.jobs() // positions have moved
		if len(next) == 0 {
			break
		}
		j := next[0]
		why, err := x.step(ctx, []job{j})
		if err != nil {
			return false, err
		}
		if why != "" {
			x.refused[j.key()] = why
		}
	}
	return true, nil
}

// step makes fixes and lints again, and goes on with the findings that are new then, if they say how they are mended: packages
// that one image gets its callers' need as well, what was loaded for a dependency alone is unused without it. It returns
// why the result can't stay, "" if it does. Fixes that can't be made are refused.
func (x *fixer) step(ctx context.Context, jobs []job) (why string, err error) {
	y := &fixer{files: x.files, opts: x.opts, linted: x.linted, refused: x.refused}
	y.opts.Overlay = maps.Clone(x.opts.Overlay)
	var made, fresh []job
	for todo := jobs; len(todo) > 0; todo = y.first(fresh) {
		done, err := y.edit(ctx, todo)
		var one *diag.Error
		if errors.As(err, &one) && one.Class == diag.Source { // of buildtools' parser, say
			return one.Error(), nil
		}
		if err != nil {
			return "", err
		}
		if made == nil {
			made = done
		}
		if len(done) == 0 {
			break
		}
		if y.edits++; y.edits > maxEdits {
			return fmt.Sprintf("after %d edits there are still new findings", maxEdits), nil
		}
		if y.linted, err = Lint(ctx, y.files, y.opts); err != nil {
			return "", err
		}
		fresh = newFindings(x.linted, y.linted)
	}
	if len(made) == 0 {
		return "", nil
	}
	if len(fresh) > 0 {
		// Its position would be one in a file that nobody has.
		e := diag.Error{Code: fresh[0].finding.Code, Msg: fresh[0].finding.Msg}
		return "then there would be another finding: " + e.Error(), nil
	}
	for i := range x.linted {
		if !slices.Equal(x.linted[i].listed, y.linted[i].listed) {
			return "then other tasks could be invoked than now", nil
		}
	}
	left, was := keys(y.linted), keys(x.linted)
	for _, j := range made {
		if left[j.key()] >= was[j.key()] {
			return "the edit doesn't mend it", nil
		}
	}
	x.opts, x.linted = y.opts, y.linted
	clear(x.refused) // what couldn't be mended perhaps can be now
	return "", nil
}

// edit edits the modules, and puts the results into the overlay. It returns the jobs that it did.
func (x *fixer) edit(ctx context.Context, jobs []job) ([]job, error) {
	byFile := map[string][]job{}
	for _, j := range jobs {
		file := j.linted.file(lint.FixedModule(j.finding.Fix))
		byFile[file] = append(byFile[file], j)
	}
	var made []job
	for _, file := range slices.Sorted(maps.Keys(byFile)) {
		jobs := byFile[file]
		var fixes []diag.Fix
		for _, j := range jobs {
			fixes = append(fixes, *j.finding.Fix)
		}
		path := lint.FixedModule(&fixes[0])
		m := lint.Module{Path: path, Source: jobs[0].linted.source(path)}
		edited, err := lint.Edit(ctx, m, fixes, x.opts.tool())
		if err != nil {
			return nil, err
		}
		x.opts.Overlay[file] = edited.Source
		for i, why := range edited.Refused {
			if why == "" {
				made = append(made, jobs[i])
			} else {
				x.refused[jobs[i].key()] = why
			}
		}
	}
	return made, nil
}

// keys counts findings by their keys.
func keys(linted []*Linted) map[string]int {
	n := map[string]int{}
	for _, l := range linted {
		for _, e := range l.Findings {
			n[job{l, e}.key()]++
		}
	}
	return n
}

// newFindings returns the findings of after that before hasn't, without infos.
func newFindings(before, after []*Linted) []job {
	known := keys(before)
	var out []job
	for _, l := range after {
		for _, e := range l.Findings {
			j := job{l, e}
			switch {
			case known[j.key()] > 0:
				known[j.key()]--
			case e.Severity != diag.SeverityInfo:
				out = append(out, j)
			}
		}
	}
	return out
}

// explain notes on the findings that are left why they couldn't be mended.
func (x *fixer) explain() {
	for _, l := range x.linted {
		for i, e := range l.Findings {
			if why := x.refused[job{l, e}.key()]; why != "" {
				noted := *e
				noted.Notes = append(slices.Clone(e.Notes), diag.Note{Msg: "not mended: " + why})
				l.Findings[i] = &noted
			}
		}
	}
}
