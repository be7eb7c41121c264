package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/exectest"
	"github.com/flytestar/flytestar/plan"
)

// memory is a recorder that keeps outcomes by action, and what it was told, in order.
type memory struct {
	mu       sync.Mutex
	outcomes map[string]*exec.Outcome
	told     []string
	fail     string // the call that fails
}

func (m *memory) tell(what string, a *exec.Action) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, what+" "+a.Task)
	if m.fail == what {
		return errors.New("the disk is full")
	}
	return nil
}

func (m *memory) Begin(_ context.Context, a *exec.Action) (*exec.Outcome, error) {
	err := m.tell("begin", a)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.outcomes[a.ID], err
}

func (m *memory) Attempt(_ context.Context, a *exec.Action, n int) error {
	return m.tell(fmt.Sprintf("attempt %d", n), a)
}

func (m *memory) End(_ context.Context, a *exec.Action, o *exec.Outcome) error {
	if err := m.tell("end", a); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outcomes[a.ID] = o
	return nil
}

// recorded is a rig whose main calls a leaf that succeeds, with a File, and one that fails.
func recorded(t *testing.T) (*rig, *memory) {
	r, m := newRig(t), &memory{outcomes: map[string]*exec.Outcome{}}
	r.Recorders = []exec.Recorder{m}
	r.command("leaf", plan.Task{Outputs: output(file)}, func(_ context.Context, t *exectest.Task) exec.Exit {
		t.Output("output", "kept")
		return exec.Exit{}
	})
	r.command("bad", plan.Task{Retries: 1}, func(context.Context, *exectest.Task) exec.Exit { return exec.Exit{Code: 3} })
	r.orchestrator(0, "main", plan.Task{Outputs: output(str)}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
		f, err := h.Call(ctx, call("box.leaf", 0, nil))
		if err != nil {
			return nil, err
		}
		data, err := h.Read(ctx, f.(plan.File), 10)
		if err != nil {
			return nil, err
		}
		_, err = h.Call(ctx, call("box.bad", 1, nil))
		if err == nil {
			t.Error("bad succeeded")
		}
		var f2 *plan.Failure
		if !errors.As(err, &f2) {
			return nil, err
		}
		return string(data) + " " + f2.Message, nil
	})
	return r, m
}

// TestRecorder: a recorder is asked before an action runs, and told of attempts and outcomes in
// order.
func TestRecorder(t *testing.T) {
	r, m := recorded(t)
	first, err := r.run(t, "top.main", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "begin top.main, attempt 1 top.main, begin box.leaf, attempt 1 box.leaf, end box.leaf, " +
		"begin box.bad, attempt 1 box.bad, attempt 2 box.bad, end box.bad, end top.main"
	if got := strings.Join(m.told, ", "); got != want {
		t.Errorf("told %s\nwant %s", got, want)
	}
	again, err := r.run(t, "top.main", nil)
	if err != nil || again != first {
		t.Errorf("answered %v, %v; want %v", again, err, first)
	}
	if got := m.told[len(m.told)-1]; got != "begin top.main" {
		t.Errorf("a recorded action ran: it was told %s", got)
	}
}

// TestReplay: when an orchestrator runs again, its recorded calls are answered without running, and
// the artifacts and failures that they came to are those of the first time.
func TestReplay(t *testing.T) {
	r, m := recorded(t)
	first, err := r.run(t, "top.main", nil)
	if err != nil {
		t.Fatal(err)
	}
	for id, o := range m.outcomes {
		if o.Failure == nil && o.Value == first {
			delete(m.outcomes, id) // main's
		}
	}
	r.fake.Tasks, r.events = nil, nil // so that nothing could run
	again, err := r.run(t, "top.main", nil)
	if err != nil || again != first {
		t.Errorf("got %v, %v; want %v", again, err, first)
	}
	for task, want := range map[string]string{"top.main": "started done", "box.leaf": "hit", "box.bad": "hit"} {
		if got := r.kinds(task); got != want {
			t.Errorf("events of %s: %s, want %s", task, got, want)
		}
	}
}

// TestTwoRecorders: what a cache answers, the journal before it is told; the cache isn't told again.
func TestTwoRecorders(t *testing.T) {
	r, cache := recorded(t)
	first, err := r.run(t, "top.main", nil)
	if err != nil {
		t.Fatal(err)
	}
	journal := &memory{outcomes: map[string]*exec.Outcome{}}
	r.Recorders = []exec.Recorder{journal, cache}
	cache.told = nil
	again, err := r.run(t, "top.main", nil)
	if err != nil || again != first {
		t.Errorf("got %v, %v; want %v", again, err, first)
	}
	if got := strings.Join(journal.told, ", "); got != "begin top.main, end top.main" {
		t.Errorf("the journal was told %s", got)
	}
	if got := strings.Join(cache.told, ", "); got != "begin top.main" {
		t.Errorf("the cache was told %s", got)
	}
	journal.outcomes, journal.fail = map[string]*exec.Outcome{}, "end"
	if _, err := r.run(t, "top.main", nil); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("a journal that fails: %v", err)
	}
}

// TestRecorderFails: what can't be recorded ends the run, and no body can catch that.
func TestRecorderFails(t *testing.T) {
	for _, when := range []string{"begin", "attempt 1", "end"} {
		r, m := recorded(t)
		m.fail = when
		_, err := r.run(t, "top.main", nil)
		var f *plan.Failure
		if err == nil || errors.As(err, &f) || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("%s: got %v", when, err)
		}
	}
}

// TestSpec: the same call has the same Spec in each attempt and each run.
func TestSpec(t *testing.T) {
	r := newRig(t)
	var digests []string
	r.command("leaf", plan.Task{Retries: 1, Inputs: []plan.Param{param("n", integ)}}, func(_ context.Context, t *exectest.Task) exec.Exit {
		digests = append(digests, string(t.Spec.Digest()))
		return exec.Exit{Code: 2 - t.Number}
	})
	for _, run := range []string{"one", "two"} {
		r.at.Run = run
		for _, n := range []int64{1, 2} {
			if _, err := r.run(t, "box.leaf", map[string]plan.Value{"n": n}); err != nil {
				t.Fatal(err)
			}
		}
	}
	a, b := digests[0], digests[2]
	if want := []string{a, a, b, b, a, a, b, b}; a == b || strings.Join(digests, " ") != strings.Join(want, " ") {
		t.Errorf("digests %q", digests)
	}
}

// TestStarted: a timeout counts from the start of the process. The time before doesn't count.
func TestStarted(t *testing.T) {
	r := newRig(t)
	const timeout = 20 * time.Millisecond
	r.fake.Start = func(ctx context.Context, _ *exec.Attempt) {
		time.Sleep(10 * timeout)
		if ctx.Err() != nil {
			t.Error("the timeout ended an attempt that hadn't started")
		}
		if got := r.kinds("box.leaf"); got != "queued" {
			t.Errorf("events before the start: %s", got)
		}
	}
	r.command("leaf", plan.Task{Timeout: timeout}, func(ctx context.Context, _ *exectest.Task) exec.Exit {
		<-ctx.Done()
		return exec.Exit{Code: 137}
	})
	_, err := r.run(t, "box.leaf", nil)
	if f := failure(t, err); f.Kind != plan.FailTimeout {
		t.Errorf("got %v", f)
	}
	if got := r.kinds("box.leaf"); got != "queued started failed" {
		t.Errorf("events: %s", got)
	}
}

// TestPrepare: before the first attempt, the executor is asked to reap the run. Without Jobs, as many
// attempts run at a time as the executor says.
func TestPrepare(t *testing.T) {
	r := newRig(t)
	r.Jobs = 0
	full := make(chan struct{})
	var once sync.Once
	r.command("leaf", plan.Task{}, func(ctx context.Context, _ *exectest.Task) exec.Exit {
		if len(r.fake.Reaped()) != 1 || r.fake.Reaped()[0] != "run" {
			t.Errorf("reaped %q", r.fake.Reaped())
		}
		if r.fake.Running() == 4 {
			once.Do(func() { close(full) })
		}
		select {
		case <-full:
		case <-ctx.Done():
		}
		return exec.Exit{}
	})
	r.orchestrator(0, "main", plan.Task{}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if _, err := h.Call(ctx, call("box.leaf", i, nil)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return nil, nil
	})
	if _, err := r.run(t, "top.main", nil); err != nil {
		t.Fatal(err)
	}
	if r.fake.Most() != 4 {
		t.Errorf("%d ran at a time, want 4", r.fake.Most())
	}
}
