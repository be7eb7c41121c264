package evaluator

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// frame puts a message's length before it.
func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)
}

// say lets a workflow file speak for the evaluator, as if the file had taken it over. The text is
// messages as JSON, which aren't checked. After "raw:" it is sent as it is, and after "framed:"
// with its length before it.
func say(text string) error {
	var data []byte
	if raw, ok := strings.CutPrefix(text, "raw:"); ok {
		data = []byte(raw)
	} else if raw, ok := strings.CutPrefix(text, "framed:"); ok {
		data = frame([]byte(raw))
	} else {
		for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
			var m fromEvaluator
			if err := d.Decode(&m); err != nil {
				return err
			}
			data = append(data, frame(written(&m))...)
		}
	}
	_, err := os.NewFile(writeFD, "to parent").Write(data)
	return err
}

// TestLies has an evaluator that breaks the rules. Each lie must end it, and nothing else.
func TestLies(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	lies := map[string]struct{ say, why string }{
		"nothing":         {`{}`, `0 kinds at once`},
		"cut off":         {"framed:\x00\x01", `it is cut off`},
		"two at once":     {`{"load": {"path": "a.star"}, "hello": {"lockdown": []}}`, `2 kinds at once`},
		"no flag":         {"framed:\x00\x07", `7 is no flag`},
		"second greeting": {`{"hello": {"lockdown": []}}`, `not while loading`},
		"length":          {"raw:~~~~", `2122219134 bytes, more than 67108864`},
		"trailing":        {"framed:" + strings.Repeat("\x00", 20), `something follows it`},
		"traversal":       {`{"load": {"path": "../../etc/passwd"}}`, `isn't a .star file`},
		"absolute":        {`{"load": {"path": "/etc/x.star"}}`, `isn't a path within the workspace`},
		"twice":           {`{"load": {"path": "main.star"}}`, `module main.star twice`},
		"not loaded":      {`{"running": {"path": "other.star"}}`, `runs what it hasn't loaded`},
		"no findings":     {`{"failed": {"findings": []}}`, `failed without an error`},
		"null finding":    {`{"failed": {"findings": [null, {"message": "x", "pos": {}}]}}`, `an empty finding`},
		"warnings alone":  {`{"failed": {"findings": [{"message": "x", "pos": {}, "severity": "warning"}]}}`, `failed without an error`},
		"long finding":    {`{"failed": {"findings": [{"message": "` + long + `", "pos": {}}]}}`, `text of size 8001`},
		"long print":      {`{"print": {"pos": {}, "text": "` + long + `"}}`, `printed text of size 8001`},
		"empty graph":     {`{"graph": {}}`, `graph has version 0`},
		"other modules":   {`{"graph": {"version": 2, "entry": "main.star", "modules": [{"path": "other.star", "digest": ""}], "images": [], "environments": [], "tasks": [], "calls": []}}`, `other modules than those loaded`},
		"bad index":       {`{"graph": {"version": 2, "entry": "main.star", "modules": [{"path": "main.star", "digest": ""}], "images": [], "environments": [], "tasks": [], "calls": [{"caller": 0, "callee": 7, "pos": {}}]}}`, `no such task`},
		"done":            {`{"done": {"body": 1, "value": 1}}`, `not while loading`},
		"request":         {`{"request": {"body": 1, "id": 1, "text": {"name": "a", "text": "b"}}}`, `not while loading`},
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			_, _, err := Start(t.Context(), Options{Source: sources{"main.star": fmt.Sprintf("say(%q)", lie.say)}, Entry: "main.star"})
			checkLie(t, err, lie.why)
		})
	}
}

func TestLiesInBodies(t *testing.T) {
	lies := map[string]struct{ say, why string }{
		"other body":     {`{"done": {"body": 99, "value": 1}}`, `no body 99`},
		"done twice":     {`{"done": {"body": 1, "value": 1, "passed": 1}}`, `done in 2 ways`},
		"no outcome":     {`{"done": {"body": 1}}`, `done in 0 ways`},
		"no failure":     {`{"done": {"body": 1, "passed": 5}}`, `request 5 has not failed`},
		"bad value":      {`{"done": {"body": 1, "value": {"$what": 1}}}`, `unknown tag`},
		"late load":      {`{"load": {"path": "other.star"}}`, `not after loading`},
		"late graph":     {`{"graph": {"version": 2, "entry": "main.star", "modules": [], "images": [], "environments": [], "tasks": [], "calls": []}}`, `not after loading`},
		"second pause":   {`{"pause": {"body": 1}}{"pause": {"body": 1}}`, `a pause without a turn`},
		"second turn":    {`{"resume": {"body": 1}}`, `a turn is wanted twice`},
		"request 0":      {`{"request": {"body": 1, "id": 0, "text": {"name": "a", "text": "b"}}}`, `request 0`},
		"three requests": {`{"request": {"body": 1, "id": 9, "text": {"name": "a", "text": "b"}, "read": {"file": {"name": "", "digest": "", "size": 0}, "max": 1}}}`, `2 requests in one`},
		"bad input":      {`{"request": {"body": 1, "id": 9, "call": {"ordinal": 0, "task": "t", "inputs": {"n": {"$what": 1}}, "pos": {}}}}`, `input "n": unknown tag`},
		"ordinal":        {`{"request": {"body": 1, "id": 9, "call": {"ordinal": -1, "task": "t", "pos": {}}}}`, `ordinal -1`},
		"long task":      {`{"request": {"body": 1, "id": 9, "call": {"ordinal": 0, "task": "` + strings.Repeat("t", maxName+1) + `", "pos": {}}}}`, `task of size 1025`},
		"no request":     {`{"request": {"body": 1, "id": 9}}`, `0 requests in one`},
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			e := startFile(t, fmt.Sprintf("def lies(): say(%q)", lie.say), interp.Limits{})
			_, err := e.Body(t.Context(), "lies", nil, testHost{})
			if err == nil { // its own, true end came first
				<-e.gone
				err = e.err
			}
			checkLie(t, err, lie.why)
		})
	}
}

func checkLie(t *testing.T, err error, why string) {
	t.Helper()
	var d *diag.Error
	if !errors.As(err, &d) || !strings.Contains(d.Msg, "the evaluator broke its rules: malformed message: ") || !strings.Contains(d.Msg, why) || d.Class != diag.System {
		t.Errorf("got %v, want %s", err, why)
	}
}

// TestFlood has an evaluator that keeps making requests without waiting for answers.
func TestFlood(t *testing.T) {
	e := startFile(t, `
def floods():
    for i in range(1, 2000):
        say('{"request": {"body": 1, "id": %d, "call": {"ordinal": 0, "task": "hangs", "inputs": {"n": 1}, "pos": {}}}}' % i)
`, interp.Limits{})
	host, _ := hangingHost()
	_, err := e.Body(t.Context(), "floods", nil, host)
	checkLie(t, err, "more than 1024 requests at once")
}

func TestTooBig(t *testing.T) {
	e := startFile(t, "def long(n): return 'x' * n\ndef gets(n): return call('long', n)\ndef asks(n): return text('x' * n, 'y')\n", interp.Limits{Message: 3 << 20, Value: 1 << 20})
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
	many[0].Fix = &diag.Fix{Kind: diag.FixRemoveDependency}
	got := bounded(many)
	if err := checkFindings(got); err != nil || got[0].Fix != nil {
		t.Error("a fix passed, or", err)
	}
	if len(got) != maxFindings || got[maxFindings-1].Msg != "and 2001 findings more" {
		t.Errorf("%d findings, the last is %v", len(got), got[len(got)-1])
	}
	if len(bounded(many[:maxFindings])) != maxFindings {
		t.Error("as many as may be were cut")
	}
}
