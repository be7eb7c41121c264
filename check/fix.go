package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/lint"
	"github.com/flytestar/flytestar/workspace"
)

// Fixed is what [Session.Fix] made of modules.
type Fixed struct {
	Linted  *Linted // what is left; if a finding carries an edit that wasn't made, a note says why
	Changes []workspace.Change
	Mended  int // findings that are gone
}

// Bounds of one [Session.Fix].
const (
	maxRounds = 10 // of edits, each on the results of those before
	maxSingle = 50 // edits that are tried one by one in a round, if all at once don't do
	maxEdits  = 50 // of one step, each for the findings that the one before has led to
)

// Fix mends those findings of [Session.Lint] that carry an edit. It writes nothing.
//
// An edit is kept only if its findings disappear, no new errors or warnings appear, and the same
// tasks remain callable. All modules are linted again after each edit, evaluation included. If an
// edit causes findings that carry edits, these are made before the first is judged. New infos don't
// count: an edit may add a package without a version, because the other image has it without one.
func (s *Session) Fix(ctx context.Context, modules []string) (*Fixed, error) {
	overlay := s.unsaved()
	before, err := s.lint(ctx, modules, overlay)
	if err != nil {
		return nil, err
	}
	x := &fixer{Session: s, modules: modules, overlay: overlay, linted: before, refused: map[string]string{}}
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
func missing(before, after *Linted) int {
	n, left := 0, keys(after)
	for key, was := range keys(before) {
		n += max(0, was-left[key])
	}
	return n
}

// changes returns how the modules' sources differ.
func changes(before, after *Linted) []workspace.Change {
	var out []workspace.Change
	for _, m := range before.Modules {
		now := after.source(m.Path)
		if now != nil && string(now) != string(m.Source) {
			out = append(out, workspace.Change{File: before.file(m.Path), Before: m.Source, After: now})
		}
	}
	return out
}

// fixer mends step by step.
type fixer struct {
	*Session
	modules []string
	overlay map[string][]byte // has what is mended so far
	linted  *Linted
	refused map[string]string // why a finding can't be mended, by its key
	edits   int               // in this step
}

// key tells findings apart whose lines may move.
func key(e *diag.Error) string { return e.Pos.File + "\x00" + e.Code + "\x00" + e.Msg }

// kinds are the edits that are made together, in this order: those that move lines come before
// those that are about lines.
var kinds = [][]diag.FixKind{
	{diag.FixAddDependency, diag.FixRemoveDependency, diag.FixAddPackages},
	{diag.FixRemoveLoad},
	{diag.FixRemoveSuppression},
}

// next returns those of the findings that can be mended now. They can be mended together.
func (x *fixer) next(findings []*diag.Error) []*diag.Error {
	for _, together := range kinds {
		var out []*diag.Error
		for _, e := range findings {
			switch {
			case e.Fix == nil || !slices.Contains(together, e.Fix.Kind) || x.refused[key(e)] != "":
			case x.linted.Partial:
				x.refused[key(e)] = "a file doesn't load, so that evaluating can't show the edit to be right"
			default:
				out = append(out, e)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// round mends what can be mended now: all at once or, if that doesn't do, one after the other. It
// reports whether another round may mend more.
func (x *fixer) round(ctx context.Context) (bool, error) {
	all := x.next(x.linted.Findings)
	if len(all) == 0 {
		return false, nil
	}
	if why, err := x.step(ctx, all); err != nil {
		return false, err
	} else if why == "" {
		return true, nil
	} else if len(all) == 1 {
		x.refused[key(all[0])] = why
		return true, nil
	}
	for range min(len(all), maxSingle) {
		left := x.next(x.linted.Findings) // positions have moved
		if len(left) == 0 {
			break
		}
		why, err := x.step(ctx, left[:1])
		if err != nil {
			return false, err
		}
		if why != "" {
			x.refused[key(left[0])] = why
		}
	}
	return true, nil
}

// step mends findings and lints again. It goes on with the findings that are new then, if they say
// how they are mended: the callers of an image that gets packages need them too, and a name that
// was loaded for a dependency alone is unused without it. It returns why the result can't stay, ""
// if it does. Findings that can't be mended are refused.
func (x *fixer) step(ctx context.Context, findings []*diag.Error) (why string, err error) {
	y := &fixer{Session: x.Session, modules: x.modules, overlay: maps.Clone(x.overlay), linted: x.linted, refused: x.refused}
	var made, fresh []*diag.Error
	for todo := findings; len(todo) > 0; todo = y.next(fresh) {
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
		if y.linted, err = y.lint(ctx, y.modules, y.overlay); err != nil {
			return "", err
		}
		fresh = newFindings(x.linted, y.linted)
	}
	if len(made) == 0 {
		return "", nil
	}
	if why := objection(x.linted, y.linted, made, fresh); why != "" {
		return why, nil
	}
	x.overlay, x.linted = y.overlay, y.linted
	clear(x.refused) // what couldn't be mended perhaps can be now
	return "", nil
}

// objection says why an edit can't stay, "" if it can. made are the findings that it was to mend,
// fresh those that are new after it.
func objection(before, after *Linted, made, fresh []*diag.Error) string {
	if len(fresh) > 0 {
		// Its position would be one in a file that nobody has.
		e := diag.Error{Code: fresh[0].Code, Msg: fresh[0].Msg}
		return "then there would be another finding: " + e.Error()
	}
	if !slices.Equal(before.listed, after.listed) {
		return "then other tasks could be invoked than now"
	}
	left, was := keys(after), keys(before)
	for _, e := range made {
		if left[key(e)] >= was[key(e)] {
			return "the edit doesn't mend it"
		}
	}
	return ""
}

// edit edits the modules, and puts the results into the overlay. It returns the findings that it
// edited for.
func (x *fixer) edit(ctx context.Context, findings []*diag.Error) ([]*diag.Error, error) {
	byModule := map[string][]*diag.Error{}
	for _, e := range findings {
		path := lint.FixedModule(e.Fix)
		byModule[path] = append(byModule[path], e)
	}
	var made []*diag.Error
	for _, path := range slices.Sorted(maps.Keys(byModule)) {
		findings := byModule[path]
		var fixes []diag.Fix
		for _, e := range findings {
			fixes = append(fixes, *e.Fix)
		}
		edited, err := lint.Edit(ctx, lint.Module{Path: path, Source: x.linted.source(path)}, fixes, x.opts.Tool)
		if err != nil {
			return nil, err
		}
		x.overlay[path] = edited.Source
		for i, why := range edited.Refused {
			if why == "" {
				made = append(made, findings[i])
			} else {
				x.refused[key(findings[i])] = why
			}
		}
	}
	return made, nil
}

// keys counts findings by their keys.
func keys(l *Linted) map[string]int {
	n := map[string]int{}
	for _, e := range l.Findings {
		n[key(e)]++
	}
	return n
}

// newFindings returns the findings of after that before hasn't, without infos.
func newFindings(before, after *Linted) []*diag.Error {
	known := keys(before)
	var out []*diag.Error
	for _, e := range after.Findings {
		switch {
		case known[key(e)] > 0:
			known[key(e)]--
		case e.Severity != diag.SeverityInfo:
			out = append(out, e)
		}
	}
	return out
}

// explain notes on the findings that are left why they couldn't be mended.
func (x *fixer) explain() {
	for i, e := range x.linted.Findings {
		if why := x.refused[key(e)]; why != "" {
			noted := *e
			noted.Notes = append(slices.Clone(e.Notes), diag.Note{Msg: "not mended: " + why})
			x.linted.Findings[i] = &noted
		}
	}
}
