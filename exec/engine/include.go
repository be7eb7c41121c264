package engine

import (
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

// set is an include set, put into the store once for all tasks of the run that carry it.
type set struct {
	once   sync.Once
	dir    plan.Dir
	module workspace.PythonModule // of a Python task
	err    error
}

// carry puts the include sets of all tasks that a task can reach into the
// store: so a missing file is found, and the workspace read, before anything runs. The graph's
// edges are the evaluator's claim; a task that they don't lead to has its turn when it is called.
func (r *run) carry(task int) error {
	callees := make([][]int, len(r.Graph.Tasks))
	for _, c := range r.Graph.Calls {
		callees[c.Caller] = append(callees[c.Caller], c.Callee)
	}
	seen := make([]bool, len(r.Graph.Tasks))
	seen[task] = true
	for queue := []int{task}; len(queue) > 0; queue = queue[1:] {
		t := &r.Graph.Tasks[queue[0]]
		if _, err := r.include(t); err != nil {
			return err
		}
		for _, c := range callees[queue[0]] {
			if !seen[c] {
				seen[c] = true
				queue = append(queue, c)
			}
		}
	}
	return nil
}

// include returns a task's include set; nil if it is empty.
func (r *run) include(t *plan.Task) (*set, error) {
	if !t.InContainer() || len(t.Include) == 0 && t.Body.Kind != plan.BodyPython {
		return nil, nil
	}
	key := strings.Join(append([]string{string(t.Body.Kind), t.Dir, t.Body.Root, t.Body.File}, t.Include...), "\x00")
	r.mu.Lock()
	s := r.sets[key]
	if s == nil {
		s = new(set)
		r.sets[key] = s
	}
	r.mu.Unlock()
	s.once.Do(func() { s.err = s.put(r, t) })
	return s, s.err
}

// put finds out what a task carries, and puts it into the store.
func (s *set) put(r *run, t *plan.Task) (err error) {
	reader := workspace.NewReader(r.Source)
	if t.Body.Kind == plan.BodyPython {
		if s.module, err = reader.PythonModule(&t.Body); err != nil {
			return diag.Errorf(t.Pos, diag.Source, "%w", err)
		}
	}
	paths, err := reader.Carried(t)
	if err != nil {
		return diag.Errorf(t.Pos, diag.Source, "%w", err)
	}
	tree := make([]exec.Entry, len(paths))
	for i, p := range paths {
		info, err := fs.Stat(r.Source, p)
		if err != nil {
			return diag.Errorf(t.Pos, diag.Source, "include: %w", err)
		}
		open := func() (io.ReadCloser, error) { return r.Source.Open(p) }
		tree[i] = exec.Entry{Path: p, Executable: info.Mode()&0o111 != 0, Open: open}
	}
	if s.dir, err = r.Store.PutDir(r.ctx, "workspace", tree); err != nil {
		return diag.Errorf(t.Pos, diag.System, "keeping what task %q carries: %w", t.Name, err)
	}
	return nil
}
