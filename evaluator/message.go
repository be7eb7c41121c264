package evaluator

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/evaluator/wire"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// This file holds what the two processes say to each other. Each message has exactly one field set.
//
//	parent                     evaluator
//	Start                   →
//	                        ←  Hello
//	                        ←  Output or Failed, the last message of a tool
//	                        ←  Load, for each module
//	Source                  →
//	                        ←  Running, for each module
//	                        ←  Graph; or Failed, the last message
//	Body                    →
//	                        ←  Request, several at once
//	Reply                   →
//	                        ←  Pause, when the body waits for a reply
//	                        ←  Resume, when it has the reply and wants to go on
//	Turn                    →
//	Cancel                  →
//	                        ←  Done, also after Cancel
//
// Print may come at any time after Hello.

// toEvaluator is a message of the parent.
type toEvaluator struct {
	Start  *startMsg
	Source *sourceMsg
	Body   *bodyMsg
	Reply  *replyMsg
	Turn   *turnMsg
	Cancel *cancelMsg
}

// startMsg says which module to load, or which tool to run.
type startMsg struct {
	Entry     string
	GraphOnly bool // there will be no bodies
	Tool      string
	Limits    interp.Limits
}

// sourceMsg answers a loadMsg with the module's source or its compiled form. For a tool, it is the
// input.
type sourceMsg struct {
	Data     []byte
	Compiled []byte
	Error    *diag.Error
}

type bodyMsg struct {
	ID     uint64
	Task   string
	Inputs map[string]json.RawMessage // in plan.MarshalValue's form
}

// replyMsg answers a requestMsg with a failure, with an error, or with the result of that kind of
// request.
type replyMsg struct {
	Body    uint64
	Request uint64
	Value   json.RawMessage // of Call
	Data    []byte          // of Read
	Files   []plan.File     // of Files
	File    *plan.File      // of Text
	Failure *plan.Failure
	Error   *diag.Error
}

// turnMsg says that the turn of a body ends, is wanted, or begins.
type turnMsg struct {
	Body uint64
}

// cancelMsg ends a body. Its requests aren't answered any more.
type cancelMsg struct {
	Body uint64
}

// fromEvaluator is a message of the evaluator. It may be a lie.
type fromEvaluator struct {
	size int // bytes of the message

	Hello   *helloMsg
	Load    *loadMsg
	Running *runningMsg
	Graph   *plan.Graph
	Failed  *failedMsg
	Output  *outputMsg
	Print   *printMsg
	Request *requestMsg
	Pause   *turnMsg
	Resume  *turnMsg
	Done    *doneMsg
}

type helloMsg struct {
	Lockdown []lockdown.Layer
}

type loadMsg struct {
	Path string
}

// runningMsg says which module begins to run. The parent names it if it has to kill the evaluator.
type runningMsg struct {
	Path string
}

// outputMsg is the output of a tool.
type outputMsg struct {
	Data []byte
}

type failedMsg struct {
	Findings diag.List
}

type printMsg struct {
	Body uint64 // 0: a module
	Pos  diag.Position
	Text string
}

// requestMsg asks for a call of a method of [plan.Host]. Exactly one of Call, Read, Files and
// Text is set.
type requestMsg struct {
	Body  uint64
	ID    uint64 // unique within the body, from 1
	Call  *callMsg
	Read  *readMsg
	Files *filesMsg
	Text  *textMsg
}

type callMsg struct {
	Ordinal int
	Within  []plan.Start
	Label   plan.Label
	Task    string
	Inputs  map[string]json.RawMessage
	Pos     diag.Position
}

type readMsg struct {
	File plan.File
	Max  int64
}

type filesMsg struct {
	Dir     plan.Dir
	Pattern string
}

type textMsg struct {
	Name string
	Text string
}

// doneMsg says how a body ended: with a value, with findings, or with the error of a request.
type doneMsg struct {
	Body     uint64
	Value    json.RawMessage
	Passed   uint64 // the request, if the body let its failure or error through
	Findings diag.List
}

// Bounds of what the evaluator may say.
const (
	maxFindings = 1000
	maxNotes    = 10 + 1000   // callers; or the modules of a cycle
	maxText     = 2 * maxSent // bytes of a message, hint, note or print
	maxLayers   = 16
	maxOpen     = 1024 // requests of one body that wait for an answer
	maxInputs   = 10_000
	maxName     = 1024 // bytes of a task's full name or an artifact's name
	maxPattern  = 4096 // bytes; longer ones are refused anyway
)

// messageError returns the error for a message that exceeds the limit. err says how big it is.
func messageError(what string, err error) *diag.Error {
	return interp.ErrMessage.Errorf("%s: %v", what, err).
		WithHint("pass large data as a File, or raise the limit with --max-message")
}

// check returns an error if the evaluator can't mean the message. It makes text printable.
func (m *fromEvaluator) check() error {
	if n := count(m.Hello != nil, m.Load != nil, m.Running != nil, m.Graph != nil, m.Failed != nil, m.Output != nil, m.Print != nil, m.Request != nil, m.Pause != nil, m.Resume != nil, m.Done != nil); n != 1 {
		return fmt.Errorf("%w: %d kinds at once", wire.ErrMalformed, n)
	}
	switch {
	case m.Hello != nil:
		return m.Hello.check()
	case m.Failed != nil:
		if err := checkFindings(m.Failed.Findings); err != nil {
			return err
		}
		if m.Failed.Findings.Err() == nil {
			return fmt.Errorf("%w: failed without an error", wire.ErrMalformed)
		}
		return nil
	case m.Print != nil:
		m.Print.Text, m.Print.Pos.File = printable(m.Print.Text), printable(m.Print.Pos.File)
		return checkSize("printed text", len(m.Print.Text), maxText)
	case m.Request != nil:
		return m.Request.check()
	case m.Done != nil:
		if n := count(m.Done.Value != nil, m.Done.Passed != 0, len(m.Done.Findings) > 0); n != 1 {
			return fmt.Errorf("%w: done in %d ways", wire.ErrMalformed, n)
		}
		return checkFindings(m.Done.Findings)
	}
	return nil // paths are checked where they are used, graphs in adopt
}

func (m *helloMsg) check() error {
	for i := range m.Lockdown {
		l := &m.Lockdown[i]
		l.Name, l.Detail, l.Missing = printable(l.Name), printable(l.Detail), printable(l.Missing)
	}
	return checkSize("lockdown", len(m.Lockdown), maxLayers)
}

func (m *requestMsg) check() error {
	if n := count(m.Call != nil, m.Read != nil, m.Files != nil, m.Text != nil); n != 1 {
		return fmt.Errorf("%w: %d requests in one", wire.ErrMalformed, n)
	}
	switch {
	case m.ID == 0:
		return fmt.Errorf("%w: request 0", wire.ErrMalformed)
	case m.Call != nil:
		return m.Call.check()
	case m.Read != nil:
		return checkSize("name", len(m.Read.File.Name), maxName)
	case m.Files != nil:
		return errors.Join(checkSize("name", len(m.Files.Dir.Name), maxName), checkSize("pattern", len(m.Files.Pattern), maxPattern))
	}
	return checkSize("name", len(m.Text.Name), maxName)
}

func (m *callMsg) check() error {
	m.Pos.File, m.Label = printable(m.Pos.File), m.Label.Clean()
	if m.Ordinal < 0 {
		return fmt.Errorf("%w: ordinal %d", wire.ErrMalformed, m.Ordinal)
	}
	if err := checkSize("starts", len(m.Within), plan.MaxStarts); err != nil {
		return err
	}
	for i := range m.Within {
		s := &m.Within[i]
		s.Pos.File, s.Function = printable(s.Pos.File), printable(s.Function)
		if s.Ordinal < 0 || len(s.Function) > maxName {
			return fmt.Errorf("%w: start %d of %.100q", wire.ErrMalformed, s.Ordinal, s.Function)
		}
	}
	return errors.Join(checkSize("inputs", len(m.Inputs), maxInputs), checkSize("task", len(m.Task), maxName))
}

// checkFindings returns an error if findings exceed their bounds. It makes their text printable.
func checkFindings(l diag.List) error {
	if err := checkSize("findings", len(l), maxFindings); err != nil {
		return err
	}
	for _, e := range l {
		if e == nil {
			return fmt.Errorf("%w: an empty finding", wire.ErrMalformed)
		}
		if e.Class == diag.Limit {
			e.Err = diag.LimitName(e.Code) // causes don't pass between processes
		}
		e.Fix = nil // an evaluator may not decide on edits
		longest := max(len(e.Msg), len(e.Hint), len(e.Code))
		for i := range e.Notes {
			n := &e.Notes[i]
			longest = max(longest, len(n.Msg))
			n.Msg, n.Pos.File = printable(n.Msg), printable(n.Pos.File)
		}
		if err := errors.Join(checkSize("notes", len(e.Notes), maxNotes), checkSize("text", longest, maxText)); err != nil {
			return err
		}
		e.Msg, e.Hint, e.Code, e.Pos.File = printable(e.Msg), printable(e.Hint), printable(e.Code), printable(e.Pos.File)
	}
	return nil
}

func checkSize(what string, n, limit int) error {
	if n > limit {
		return fmt.Errorf("%w: %s of size %d, more than %d", wire.ErrMalformed, what, n, limit)
	}
	return nil
}

func count(conditions ...bool) int {
	n := 0
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// printable replaces the characters that could take a terminal over.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if text.IsControl(r) && r != '\n' && r != '\t' {
			return '\uFFFD'
		}
		return r
	}, s)
}

// maxSent bounds each text that the evaluator sends, in bytes. The mark of a cut comes on top.
const maxSent = 4000

func clipped(s string) string { return text.Clip(s, maxSent) }

// bounded returns findings within the bounds of what may be sent.
func bounded(l diag.List) diag.List {
	out := make(diag.List, 0, min(len(l), maxFindings))
	for _, e := range l {
		if len(out) == maxFindings-1 && len(l) > maxFindings {
			return append(out, &diag.Error{Pos: e.Pos, Class: e.Class, Msg: fmt.Sprintf("and %d findings more", len(l)-len(out))})
		}
		d := *e
		d.Msg, d.Hint = clipped(d.Msg), clipped(d.Hint)
		d.Notes = append([]diag.Note(nil), d.Notes[:min(len(d.Notes), maxNotes)]...)
		for i := range d.Notes {
			d.Notes[i].Msg = clipped(d.Notes[i].Msg)
		}
		out = append(out, &d)
	}
	return out
}

// encodeInputs puts values, by name, into the form for messages.
func encodeInputs(inputs map[string]plan.Value) (map[string]json.RawMessage, error) {
	out := make(map[string]json.RawMessage, len(inputs))
	for name, v := range inputs {
		data, err := plan.MarshalValue(v)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", name, err)
		}
		out[name] = data
	}
	return out, nil
}

// decodeInputs is the reverse of encodeInputs.
func decodeInputs(inputs map[string]json.RawMessage) (map[string]plan.Value, error) {
	out := make(map[string]plan.Value, len(inputs))
	for name, data := range inputs {
		v, err := plan.UnmarshalValue(data)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", name, err)
		}
		out[name] = v
	}
	return out, nil
}
