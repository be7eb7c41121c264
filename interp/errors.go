package interp

import (
	"errors"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/text"
)

// maxMessage bounds the text of one finding, in bytes. A message may quote a huge value.
const maxMessage = 4000

// maxFrames is how many callers an error's notes list.
const maxFrames = 10

// clip shortens s to maxMessage bytes.
func clip(s string) string { return text.Clip(s, maxMessage) }

// position converts a position of the parser.
func position(p syntax.Position) diag.Position {
	if !p.IsValid() {
		return diag.Position{}
	}
	return diag.Position{File: p.Filename(), Line: int(p.Line), Col: int(p.Col)}
}

// evalError makes findings of the error that ended a thread. If the thread exceeded a limit, the
// finding says that. A builtin's own *diag.Error or diag.List keeps the fields that it has set. The
// others are filled in: the position is the innermost call's in the user's code, the notes are the
// calls around it, and the class is class.
func evalError(err error, b *budget, class diag.Class) diag.List {
	frames := userFrames(err)
	if b.err != nil {
		var located *diag.Error // by the thread that exceeded it
		if errors.As(err, &located) && located.Code == b.err.Code && located.Pos.IsValid() {
			return diag.List{located}
		}
		e := *b.err
		return diag.List{placed(&e, frames, class)}
	}
	var list diag.List
	if errors.As(err, &list) {
		out := make(diag.List, len(list))
		for i, e := range list {
			out[i] = placed(e, frames, class)
		}
		return out
	}
	var e *diag.Error
	if !errors.As(err, &e) {
		e = &diag.Error{Msg: err.Error(), Err: err}
	}
	return diag.List{placed(e, frames, class)}
}

// placed returns a copy of e with position, class and notes filled in.
func placed(e *diag.Error, frames []starlark.CallFrame, class diag.Class) *diag.Error {
	d := *e
	d.Msg = clip(d.Msg)
	if d.Class == "" {
		d.Class = class
	}
	if len(frames) == 0 {
		return &d
	}
	if !d.Pos.IsValid() {
		d.Pos = position(frames[0].Pos)
	}
	d.Notes = append(d.Notes[:len(d.Notes):len(d.Notes)], callers(frames)...)
	return &d
}

// callers returns notes on the calls that led to the innermost frame, the nearest first.
func callers(frames []starlark.CallFrame) []diag.Note {
	var notes []diag.Note
	for i, fr := range frames[1:] {
		if i == maxFrames {
			return append(notes, diag.Note{Pos: position(frames[len(frames)-1].Pos), Msg: "…, called from here first"})
		}
		notes = append(notes, diag.Note{Pos: position(fr.Pos), Msg: "called from " + where(fr.Name)})
	}
	return notes
}

// where says where a call is, by the name of the function around it.
func where(function string) string {
	if function == "<toplevel>" {
		return "here"
	}
	return "here, in " + function
}

// userFrames returns the frames of an evaluation error that are in modules, the innermost first. If
// one evaluation ran inside a builtin of another, the inner one counts.
func userFrames(err error) []starlark.CallFrame {
	var stack starlark.CallStack
	for err != nil {
		var e *starlark.EvalError
		if !errors.As(err, &e) {
			break
		}
		stack = e.CallStack
		err = e.Unwrap()
	}
	var frames []starlark.CallFrame
	for i := range stack {
		if fr := stack.At(i); strings.HasSuffix(fr.Pos.Filename(), suffix) {
			frames = append(frames, fr)
		}
	}
	return frames
}
