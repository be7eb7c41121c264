package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/finding"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

var _ plan.Host = (*host)(nil)

// host answers what one body asks for. The evaluator that asks isn't trusted. So the host checks
// every call against the engine's own graph, and opens only artifacts of this run.
type host struct {
	*action
	ids   string          // from which the ids of this body's calls are made, with their ordinals
	ctx   context.Context // of the body
	slots chan struct{}   // a place for each call under way

	mu       sync.Mutex
	closed   bool
	ordinals map[string]bool // those in use, as pathOf writes them
	calls    sync.WaitGroup
}

// newHost returns the host for the n-th attempt of an orchestrator's action.
// The calls of a further attempt are other actions than those of the first.
func newHost(ctx context.Context, a *action, n int) *host {
	h := &host{action: a, ids: a.id, ctx: ctx, slots: make(chan struct{}, maxCalls), ordinals: map[string]bool{}}
	if n > 1 {
		h.ids = fmt.Sprintf("%s#%d", a.id, n)
	}
	return h
}

// close refuses further calls and waits for those under way.
func (h *host) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.calls.Wait()
}

// enter counts a call as under way, unless the body has ended.
func (h *host) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("the body has ended")
	}
	h.calls.Add(1)
	return nil
}

// Call implements plan.Host.
func (h *host) Call(ctx context.Context, c plan.Invocation) (plan.Value, error) {
	if err := h.enter(); err != nil {
		return nil, err
	}
	defer h.calls.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	callee, err := h.callee(c)
	if err != nil {
		return nil, h.halt(err)
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	v, err := callee.do(ctx)
	var f *plan.Failure
	if errors.As(err, &f) {
		up := *f // a copy: other holders of f don't see this call
		up.Callers = append(f.Callers[:len(f.Callers):len(f.Callers)], h.callers(c)...)
		return nil, &up
	}
	return v, err
}

// callers says who made a call: the body, or the functions that it started, the innermost first.
func (h *host) callers(c plan.Invocation) []plan.Caller {
	out := make([]plan.Caller, 0, len(c.Within)+1)
	pos := c.Pos
	for _, s := range slices.Backward(c.Within) {
		out = append(out, plan.Caller{Task: h.name, Label: h.label, Action: h.id, Function: s.Function, Pos: pos})
		pos = s.Pos
	}
	return append(out, plan.Caller{Task: h.name, Label: h.label, Action: h.id, Pos: pos})
}

// callee makes the action of a call, if the body may make that call. An error ends the run.
func (h *host) callee(c plan.Invocation) (*action, error) {
	path := pathOf(c)
	if !h.fresh(path) {
		return nil, diag.Errorf(c.Pos, diag.System, "the evaluator numbered two calls of task %q with %s", h.name, path)
	}
	i, ok := h.run.tasks[c.Task]
	if !ok {
		return nil, diag.Errorf(c.Pos, diag.Source, "task %q calls %q, which isn't a task", h.name, c.Task)
	}
	t := &h.run.Graph.Tasks[i]
	if err := h.allowed(t, i, c.Pos); err != nil {
		return nil, err
	}
	inputs, err := h.run.bind(t, c.Inputs)
	if err != nil {
		return nil, finding.WrongArguments(c.Pos, c.Task, "%w", err)
	}
	for _, v := range inputs {
		if err := h.run.known(v); err != nil {
			return nil, diag.Errorf(c.Pos, diag.System, "task %q calls %q with %w", h.name, c.Task, err)
		}
	}
	if h.depth == maxDepth {
		return nil, diag.Errorf(c.Pos, diag.Limit, "calls nest deeper than %d", maxDepth).
			WithHint("a task that calls itself needs a case in which it doesn't")
	}
	return &action{
		run: h.run, id: actionID(h.ids, path), caller: h.action, ordinal: c.Ordinal, within: c.Within, label: c.Label,
		task: t, index: i, name: c.Task, inputs: inputs, pos: c.Pos, depth: h.depth + 1,
	}, nil
}

// pathOf writes the numbers of the starts that led to a call, and its own: "3", or "2/0/3".
func pathOf(c plan.Invocation) string {
	path := ""
	for _, s := range c.Within {
		path += strconv.Itoa(s.Ordinal) + "/"
	}
	return path + strconv.Itoa(c.Ordinal)
}

// fresh takes a call's number. It reports whether nobody had taken it.
func (h *host) fresh(path string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ordinals[path] {
		return false
	}
	h.ordinals[path] = true
	return true
}

// allowed checks a call as resolve does. It is for the calls that resolve couldn't see.
func (h *host) allowed(t *plan.Task, index int, pos diag.Position) error {
	g := h.run.Graph
	call := plan.Call{Caller: h.index, Callee: index, Pos: pos}
	if !h.run.reaches(h.task.Env, t.Env) {
		return finding.MissingDependency(g, &call)
	}
	if t.InContainer() && g.Environments[t.Env].Image == plan.NoImage {
		return finding.MissingImage(g, index)
	}
	if h.run.Check == nil {
		return nil
	}
	return h.run.Check(call)
}

// Read implements plan.Host. The action fails if the file is too large.
func (h *host) Read(ctx context.Context, f plan.File, limit int64) ([]byte, error) {
	if err := h.enter(); err != nil {
		return nil, err
	}
	defer h.calls.Done()
	v, err := h.run.own(f)
	if err != nil {
		return nil, h.halt(diag.Errorf(h.pos, diag.System, "task %q reads %w", h.name, err))
	}
	f = v.(plan.File)
	most := plan.ValueLimit(h.run.MaxValue)
	limit = min(limit, most)
	if f.Size > limit {
		return nil, diag.Errorf(diag.Position{}, diag.Task, "file %q has %d bytes, more than %d", f.Name, f.Size, limit).
			WithHint("read(max_bytes = …) reads up to %d; let a task in a container look at what is larger", most)
	}
	r, err := h.run.Store.Open(ctx, f)
	if err != nil {
		return nil, h.halt(diag.Errorf(diag.Position{}, diag.System, "reading file %q: %w", f.Name, err))
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, f.Size+1))
	if err == nil && int64(len(data)) != f.Size {
		err = fmt.Errorf("the store has another size than %d bytes", f.Size)
	}
	if err != nil {
		return nil, h.halt(diag.Errorf(diag.Position{}, diag.System, "reading file %q: %w", f.Name, err))
	}
	return data, nil
}

// Files implements plan.Host. The action fails if the pattern can't be used, or matches too much.
func (h *host) Files(ctx context.Context, d plan.Dir, pattern string) ([]plan.File, error) {
	if err := h.enter(); err != nil {
		return nil, err
	}
	defer h.calls.Done()
	v, err := h.run.own(d)
	if err != nil {
		return nil, h.halt(diag.Errorf(h.pos, diag.System, "task %q lists %w", h.name, err))
	}
	d = v.(plan.Dir)
	match, err := workspace.Pattern(pattern)
	if err != nil {
		return nil, diag.Errorf(diag.Position{}, diag.Task, "pattern %q: %w", pattern, err)
	}
	members, err := h.members(ctx, d)
	if err != nil {
		return nil, err
	}
	var files []plan.File
	for _, m := range members {
		matches, err := match(m.Path)
		switch {
		case err != nil:
			return nil, diag.Errorf(diag.Position{}, diag.Task, "pattern %q: %w", pattern, err)
		case !matches:
		case len(files) == plan.MaxFiles:
			return nil, diag.Errorf(diag.Position{}, diag.Task, "more than %d files of directory %q match %q", plan.MaxFiles, d.Name, pattern).
				WithHint("match fewer, or pass the directory as it is")
		default:
			files = append(files, m.File())
			h.run.admit(m.File())
		}
	}
	return files, nil
}

// members returns the files of a directory, sorted by path. A link to a file is that file under the
// link's name.
func (h *host) members(ctx context.Context, d plan.Dir) ([]exec.Member, error) {
	byPath := map[string]exec.Member{}
	var found []exec.Member
	for m, err := range h.run.Store.List(ctx, d) {
		if err != nil {
			return nil, h.halt(diag.Errorf(diag.Position{}, diag.System, "listing directory %q: %w", d.Name, err))
		}
		if !m.Dir {
			found, byPath[m.Path] = append(found, m), m
		}
	}
	files := found[:0]
	for _, m := range found {
		if to, ok := target(m, byPath); ok {
			to.Path = m.Path
			files = append(files, to)
		}
	}
	return files, nil
}

// maxLinks bounds how many links a path goes through, as on Linux.
const maxLinks = 40

// target returns the file that a member is, or that it leads to.
func target(m exec.Member, byPath map[string]exec.Member) (exec.Member, bool) {
	for range maxLinks {
		if m.Link == "" {
			return m, true
		}
		to, ok := byPath[path.Join(path.Dir(m.Path), m.Link)]
		if !ok {
			return m, false // a directory
		}
		m = to
	}
	return m, false
}

// Text implements plan.Host. The action fails if no file can have that name or text.
func (h *host) Text(ctx context.Context, name, text string) (plan.File, error) {
	if err := h.enter(); err != nil {
		return plan.File{}, err
	}
	defer h.calls.Done()
	switch {
	case !plan.ValidFileName(name):
		return plan.File{}, diag.Errorf(diag.Position{}, diag.Task, "%q is no file name", name)
	case int64(len(text)) > plan.ValueLimit(h.run.MaxValue) || !utf8.ValidString(text):
		return plan.File{}, diag.Errorf(diag.Position{}, diag.Task, "the text of file %q isn't UTF-8 of at most %d bytes", name, plan.ValueLimit(h.run.MaxValue))
	}
	f, err := h.run.Store.PutFile(ctx, name, strings.NewReader(text))
	if err != nil {
		return plan.File{}, h.halt(diag.Errorf(diag.Position{}, diag.System, "keeping file %q: %w", name, err))
	}
	h.run.admit(f)
	return f, nil
}
