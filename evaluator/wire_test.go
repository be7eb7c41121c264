package evaluator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	osexec "os/exec"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/evaluator/wire"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// sampleGraph has something of every kind.
var sampleGraph = plan.Graph{
	Version: plan.Version, Entry: "main.star",
	Modules: []plan.Module{{Path: "main.star", Digest: "sha256:0"}},
	Images: []plan.Image{{Base: plan.Base{Kind: plan.BaseDebian, Python: true}, Steps: []plan.Step{
		{Kind: plan.StepPip, Packages: []string{"numpy"}, Pre: true}, {Kind: plan.StepEnv, EnvVars: map[string]string{"B": "2", "A": "1"}},
	}}},
	Environments: []plan.Environment{
		{Name: "a", Image: 0, Resources: plan.Resources{MilliCPU: 1500, Memory: 1 << 40}},
		{Name: "b", Image: plan.NoImage, DependsOn: []int{0}, Pos: diag.Position{File: "main.star", Line: 3, Col: 70000}},
	},
	Tasks: []plan.Task{
		{Name: "t", Dir: ".", Body: plan.Body{Kind: plan.BodyCommand, Command: []string{"é", "\x01"}}, Timeout: time.Hour, Resources: &plan.Resources{GPU: 1}, Inputs: []plan.Param{
			{Name: "n", Type: plan.Type{Kind: plan.KindList, Elem: &plan.Type{Kind: plan.KindInt}}, Default: json.RawMessage("[1]")},
		}},
		{Name: "o", Env: 1, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}},
	},
	Calls: []plan.Call{{Caller: 1, Callee: 0, Possible: true}},
}

var samples = []fromEvaluator{
	{Hello: &helloMsg{[]lockdown.Layer{{Name: "landlock", Missing: "old kernel"}}}},
	{Load: &loadMsg{"main.star"}},
	{Running: &runningMsg{"main.star"}},
	{Graph: &sampleGraph},
	{Failed: &failedMsg{diag.List{{Msg: "x", Class: diag.Limit, Code: "max-steps", Notes: []diag.Note{{Msg: "y"}}}}}},
	{Output: &outputMsg{[]byte{0, 0xff}}},
	{Print: &printMsg{Pos: diag.Position{File: "main.star", Line: 1}, Text: "hello"}},
	{Request: &requestMsg{Body: 1, ID: 1, Call: &callMsg{Task: "double", Inputs: map[string]json.RawMessage{"n": json.RawMessage("1")}}}},
	{Request: &requestMsg{Body: 1, ID: 2, Read: &readMsg{File: plan.File{Name: "x", Size: -1}, Max: 1 << 62}}},
	{Pause: &turnMsg{1}},
	{Resume: &turnMsg{1}},
	{Done: &doneMsg{Body: 1, Value: json.RawMessage("null")}},
}

// testLimit bounds a message of these tests, in bytes.
const testLimit = 64 << 20

// written returns a message in bytes.
func written(v any) []byte {
	b, _ := wire.Append(nil, v)
	return b
}

func TestMessages(t *testing.T) {
	for _, m := range samples {
		var got fromEvaluator
		if err := wire.Read(written(&m), &got, testLimit); err != nil {
			t.Errorf("%+v: %v", m, err)
		}
		if diff := cmp.Diff(m, got, cmp.AllowUnexported(fromEvaluator{})); diff != "" {
			t.Error(diff)
		}
	}
	limits := toEvaluator{Start: &startMsg{Entry: "main.star", Limits: interp.Limits{}.Defaults()}}
	var got toEvaluator
	if err := wire.Read(written(&limits), &got, testLimit); err != nil || !reflect.DeepEqual(got, limits) {
		t.Errorf("got %+v, %v", got, err)
	}
	print := fromEvaluator{Print: &printMsg{Text: "a\xffb"}}
	var clean fromEvaluator
	if err := wire.Read(written(&print), &clean, testLimit); err != nil || clean.Print.Text != "a\uFFFDb" {
		t.Errorf("got %+v, %v", clean.Print, err)
	}
}

// gate is an empty part of what the evaluator says. Once armed, it lasts until the parent says
// something.
type gate struct {
	armed  atomic.Bool
	once   sync.Once
	opened chan struct{}
}

func (g *gate) Write(data []byte) (int, error) {
	if g.armed.Load() {
		g.once.Do(func() { close(g.opened) })
	}
	return len(data), nil
}

func (g *gate) Read([]byte) (int, error) {
	if g.armed.Load() {
		<-g.opened
	}
	return 0, io.EOF
}

// FuzzParent has an evaluator that says anything, first while it loads and then about a body. The
// parent must end the conversation in an orderly way, and hold nothing afterwards.
func FuzzParent(f *testing.F) {
	say := func(messages ...int) (data []byte) {
		for _, i := range messages {
			data = append(data, frame(written(&samples[i]))...)
		}
		return data
	}
	f.Add(say(0, 1, 2, 6, 3), say(7, 9, 10, 8, 11))
	f.Add(say(0, 1, 3), say(9, 9))
	f.Add(say(0, 1, 4), []byte{})
	f.Add(say(0, 1, 3), say(10))
	f.Add(say(0, 5), say(3))
	f.Fuzz(func(t *testing.T, loading, evaluating []byte) {
		g := &gate{opened: make(chan struct{})}
		exited := make(chan struct{})
		close(exited)
		limits := interp.Limits{Message: 1 << 16, Source: 1 << 10}.Defaults()
		p := &process{limits: limits, cmd: &osexec.Cmd{}, exited: exited}
		p.pipe = wire.NewPipe(io.MultiReader(bytes.NewReader(loading), g, bytes.NewReader(evaluating)), g, limits.Message)
		var printed strings.Builder
		e := newEvaluator(Options{
			Source: sources{"main.star": "", "other.star": ""}, Entry: "main.star",
			Print: func(pos diag.Position, _, text string) { printed.WriteString(pos.File + text) },
		}, p, newCache(Options{}))
		if err := startBody(t, e, g); err != nil {
			for _, d := range findings(err) {
				printed.WriteString(d.Error() + d.Hint)
			}
		}
		if strings.ContainsFunc(printed.String(), func(r rune) bool { return r == 0x1b || r == 0 || text.IsBidi(r) }) {
			t.Errorf("%q passed", printed.String())
		}
		if held := e.held.Load(); held != 0 {
			t.Errorf("%d bytes are still held", held)
		}
	})
}

// startBody loads, and evaluates a body until the evaluator is gone.
func startBody(t *testing.T, e *Evaluator, g *gate) error {
	t.Helper()
	graph, err := e.load()
	if err != nil {
		return err
	}
	if err := graph.Validate(); err != nil {
		t.Error(err)
	}
	g.armed.Store(true)
	go e.listen()
	host := testHost{calls: map[string]func(context.Context, int64) (plan.Value, error){
		"double": func(_ context.Context, n int64) (plan.Value, error) { return 2 * n, nil },
	}}
	_, err = e.Body(t.Context(), "t", nil, host)
	<-e.gone
	if e.err == nil {
		return errors.New("it is gone without an error")
	}
	return err
}

// BenchmarkMessages writes and reads the graph of 5,000 tasks.
func BenchmarkMessages(b *testing.B) {
	g := sampleGraph
	at := diag.Position{File: "pipelines/main.star", Line: 1234, Col: 8}
	for range 2500 {
		t, o := sampleGraph.Tasks[0], sampleGraph.Tasks[1]
		t.Pos, o.Pos, o.Body.Pos, o.Doc = at, at, at, "Does this step."
		g.Tasks = append(g.Tasks, t, o)
		g.Calls = append(g.Calls, plan.Call{Caller: len(g.Tasks) - 1, Callee: len(g.Tasks) - 2, Pos: at})
	}
	data := written(&fromEvaluator{Graph: &g})
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			written(&fromEvaluator{Graph: &g})
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			var m fromEvaluator
			if err := wire.Read(data, &m, testLimit); err != nil {
				b.Fatal(err)
			}
		}
	})
}
