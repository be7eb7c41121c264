package interp

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// frame puts a message's length before it.
func frame(message string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)
}

// say lets a workflow file speak for the evaluator, as if it had taken it over.
// A text that begins with "raw:" is sent without a length.
func say(text string) error {
	data := frame(text)
	if raw, ok := strings.CutPrefix(text, "raw:"); ok {
		data = []byte(raw)
	}
	_, err := os.NewFile(writeFD, "to parent").Write(data)
	return err
}

// TestLies has an evaluator that says what it may not. Each must end it, and only it.
func TestLies(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	lies := map[string]string{
		"nothing":         `{}`,
		"no JSON":         `{`,
		"two at once":     `{"load": {"path": "a.star"}, "hello": {"lockdown": []}}`,
		"unknown field":   `{"exec": {"path": "/bin/sh"}}`,
		"second greeting": `{"hello": {"lockdown": []}}`,
		"length":          "raw:~~~~",
		"trailing":        `{"running": {"path": "main.star"}} {}`,
		"traversal":       `{"load": {"path": "../../etc/passwd"}}`,
		"absolute":        `{"load": {"path": "/etc/x.star"}}`,
		"twice":           `{"load": {"path": "main.star"}}`,
		"not loaded":      `{"running": {"path": "other.star"}}`,
		"no findings":     `{"failed": {"findings": []}}`,
		"null finding":    `{"failed": {"findings": [null, {"message": "x", "pos": {}}]}}`,
		"warnings alone":  `{"failed": {"findings": [{"message": "x", "pos": {}, "severity": "warning"}]}}`,
		"long finding":    `{"failed": {"findings": [{"message": "` + long + `", "pos": {}}]}}`,
		"long print":      `{"print": {"pos": {}, "text": "` + long + `"}}`,
		"empty graph":     `{"graph": {}}`,
		"other modules":   `{"graph": {"version": 1, "entry": "main.star", "modules": [{"path": "other.star", "digest": ""}], "images": [], "environments": [], "tasks": [], "calls": []}}`,
		"bad index":       `{"graph": {"version": 1, "entry": "main.star", "modules": [{"path": "main.star", "digest": ""}], "images": [], "environments": [], "tasks": [], "calls": [{"caller": 0, "callee": 7, "pos": {}}]}}`,
		"done":            `{"done": {"body": 1, "value": 1}}`,
		"request":         `{"request": {"body": 1, "id": 1, "text": {"name": "a", "text": "b"}}}`,
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			_, _, err := Start(t.Context(), Options{Source: files{"main.star": fmt.Sprintf("say(%q)", lie)}, Entry: "main.star"})
			checkLie(t, err)
		})
	}
}

func TestLiesInBodies(t *testing.T) {
	lies := map[string]string{
		"other body":      `{"done": {"body": 99, "value": 1}}`,
		"done twice":      `{"done": {"body": 1, "value": 1, "passed": 1}}`,
		"no outcome":      `{"done": {"body": 1}}`,
		"no failure":      `{"done": {"body": 1, "passed": 5}}`,
		"bad value":       `{"done": {"body": 1, "value": {"$what": 1}}}`,
		"late load":       `{"load": {"path": "other.star"}}`,
		"late graph":      `{"graph": {"version": 1, "entry": "main.star", "modules": [], "images": [], "environments": [], "tasks": [], "calls": []}}`,
		"request 0":       `{"request": {"body": 1, "id": 0, "text": {"name": "a", "text": "b"}}}`,
		"three requests":  `{"request": {"body": 1, "id": 9, "text": {"name": "a", "text": "b"}, "read": {"file": {"name": "", "digest": "", "size": 0}, "max": 1}}}`,
		"bad input":       `{"request": {"body": 1, "id": 9, "call": {"ordinal": 0, "task": "t", "inputs": {"n": {"$what": 1}}, "pos": {}}}}`,
		"ordinal":         `{"request": {"body": 1, "id": 9, "call": {"ordinal": -1, "task": "t", "pos": {}}}}`,
		"long task":       `{"request": {"body": 1, "id": 9, "call": {"ordinal": 0, "task": "` + strings.Repeat("t", maxName+1) + `", "pos": {}}}}`,
		"unknown request": `{"request": {"body": 1, "id": 9, "exec": "sh"}}`,
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			e := startFile(t, fmt.Sprintf("def lies(): say(%q)", lie), Limits{})
			_, err := e.Body(t.Context(), "lies", nil, testHost{})
			if err == nil { // its own, true end came first
				<-e.gone
				err = e.err
			}
			checkLie(t, err)
		})
	}
}

func checkLie(t *testing.T, err error) {
	t.Helper()
	var d *diag.Error
	if !errors.As(err, &d) || !strings.Contains(d.Msg, "the evaluator broke its rules") || d.Class != diag.System {
		t.Errorf("got %v", err)
	}
}

// TestFlood has an evaluator that asks without end for what isn't answered.
func TestFlood(t *testing.T) {
	e := startFile(t, `
def floods():
    for i in range(1, 2000):
        say('{"request": {"body": 1, "id": %d, "call": {"ordinal": 0, "task": "hangs", "inputs": {"n": 1}, "pos": {}}}}' % i)
`, Limits{})
	host := testHost{calls: map[string]func(context.Context, int64) (plan.Value, error){
		"hangs": func(ctx context.Context, _ int64) (plan.Value, error) { <-ctx.Done(); return nil, ctx.Err() },
	}}
	_, err := e.Body(t.Context(), "floods", nil, host)
	checkLie(t, err)
}

func TestTooBig(t *testing.T) {
	e := startFile(t, "def long(n): return 'x' * n\ndef gets(n): return call('long', n)\ndef asks(n): return text('x' * n, 'y')\n", Limits{Message: 3 << 20})
	host := testHost{calls: map[string]func(context.Context, int64) (plan.Value, error){
		"long": func(_ context.Context, n int64) (plan.Value, error) { return strings.Repeat("x", int(n)), nil },
	}}
	for _, task := range []string{"long", "gets", "asks"} {
		_, err := e.Body(t.Context(), task, map[string]plan.Value{"n": int64(4 << 20)}, host)
		if list := findings(err); err == nil || list[0].Class != diag.Limit || !strings.Contains(list[0].Msg, "more than 3145728") {
			t.Errorf("%s: got %v", task, err)
		}
	}
	small := map[string]plan.Value{"n": int64(10)}
	if v, err := e.Body(t.Context(), "gets", small, host); err != nil || v != "xxxxxxxxxx" {
		t.Errorf("then got %v, %v", v, err)
	}
	big := map[string]plan.Value{"n": strings.Repeat("x", 4<<20)}
	if _, err := e.Body(t.Context(), "gets", big, host); err == nil || !strings.Contains(err.Error(), "the inputs of task gets") {
		t.Errorf("inputs: got %v", err)
	}
}

func TestBounded(t *testing.T) {
	var many diag.List
	for i := range 3000 {
		many = append(many, &diag.Error{Msg: fmt.Sprint(i, strings.Repeat("x", 9000)), Hint: strings.Repeat("y", 9000), Notes: make([]diag.Note, 3000)})
	}
	got := bounded(many)
	if err := checkFindings(got); err != nil {
		t.Error(err)
	}
	if len(got) != maxFindings || got[maxFindings-1].Msg != "and 2001 findings more" {
		t.Errorf("%d findings, the last is %v", len(got), got[len(got)-1])
	}
	if len(bounded(many[:maxFindings])) != maxFindings {
		t.Error("as many as may be were cut")
	}
}

// FuzzReceive feeds the parent's reader.
func FuzzReceive(f *testing.F) {
	for _, m := range []any{
		fromEvaluator{Hello: &helloMsg{[]Layer{{Name: "landlock", Missing: "old kernel"}}}},
		fromEvaluator{Load: &loadMsg{"a.star"}},
		fromEvaluator{Graph: &plan.Graph{Version: plan.Version, Entry: "a.star"}},
		fromEvaluator{Failed: &failedMsg{diag.List{{Msg: "x", Notes: []diag.Note{{Msg: "y"}}}}}},
		fromEvaluator{Request: &requestMsg{Body: 1, ID: 2, Call: &callMsg{Task: "t", Inputs: map[string]json.RawMessage{"n": json.RawMessage("1")}}}},
		fromEvaluator{Done: &doneMsg{Body: 1, Value: json.RawMessage("null")}},
	} {
		data, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame(string(data)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newPipe(bytes.NewReader(data), nil, 1<<16)
		for {
			var m fromEvaluator
			if err := p.receive(&m); err != nil {
				return
			}
			if m.check() != nil {
				return
			}
			if m.Graph != nil && m.Graph.Validate() == nil {
				for i := range m.Graph.Environments {
					m.Graph.Closure(i)
				}
			}
			for _, e := range failedIn(&m) {
				if strings.ContainsFunc(e.Msg+e.Hint+e.Pos.File, func(r rune) bool { return r == 0x1b || r == 0 || isBidi(r) }) {
					t.Errorf("%q passed", e.Msg)
				}
			}
		}
	})
}

func failedIn(m *fromEvaluator) diag.List {
	switch {
	case m.Failed != nil:
		return m.Failed.Findings
	case m.Done != nil:
		return m.Done.Findings
	}
	return nil
}
