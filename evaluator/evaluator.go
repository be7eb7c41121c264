// Package evaluator evaluates workflows in a process of its own, which can do nothing else.
//
//   - [Init] is called first in main. In the evaluator, the same program started again, it doesn't
//     return: it locks the process down and serves (serve.go).
//   - [Start] starts an evaluator, gives it the source that it asks for, and returns the graph
//     (evaluator.go). [Evaluator.Body] then evaluates orchestrators' bodies in it (bodies.go).
//   - [RunTool] runs other work on source, such as formatting, in such a process (tool.go).
//   - message.go has what the two processes say to each other; process.go starts and ends the
//     process.
//
// Three packages below know nothing of each other: wire puts messages into bytes, lockdown takes
// rights away, compiled keeps what loading makes.
//
// The evaluator has no file system and no network. What it says isn't trusted: the parent bounds
// and checks every message, and kills an evaluator that breaks the rules or takes too long.
package evaluator

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/compiled"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/evaluator/wire"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// Options say what to evaluate.
type Options struct {
	Source interp.Source // usually [interp.Files]
	Entry  string        // path of the module to load first
	Limits interp.Limits // zero fields mean the defaults
	// RequireSandbox makes anything less than a full lockdown an error of class System, before any
	// source is read.
	RequireSandbox bool
	// Locked is called with the lockdown, before the process gets any source. It may be nil.
	Locked func(lockdown.State)
	// Print is called with what modules and bodies print; task is "" while modules load. It is
	// called from one goroutine, and must be quick. It may be nil.
	Print func(pos diag.Position, task, text string)

	// GraphOnly lets the evaluator end once it has sent the graph. Bodies are an error then.
	GraphOnly bool

	// Cache is the directory where compiled modules and graphs are kept, see package compiled. It
	// is made if it doesn't exist, and must be this user's own. Empty: nothing is kept.
	Cache string
	// Predeclared are the names that the language predeclares. Compiled modules depend on them.
	Predeclared []string
	// Notice is called with what keeps the cache from being used, before Start or Close return. It
	// may be nil.
	Notice func(text string)
}

// Evaluator is the process that has loaded a workflow and evaluates its bodies. It implements
// exec.Bodies. Several goroutines may call its methods.
type Evaluator struct {
	options  Options
	limits   interp.Limits
	process  *process
	cache    *compiled.Cache
	entry    func() fetched // reads the entry module, once
	lockdown lockdown.State
	served   map[string]plan.Digest // digests of the modules that were served, by path
	python   map[string]plan.Digest // digests of the Python files that were served, by path
	size     int                    // bytes of source that were served
	prints   []printMsg             // what modules have printed, if the graph is to be kept
	running  string                 // while loading: the module that is being compiled or executed

	// A turn holds one of these. So the wall clock measures one body, not how many compute at once.
	turns chan struct{}
	gone  chan struct{} // closed when the process has ended; err says why

	held  atomic.Int64 // bytes of the requests that wait for an answer
	calls int          // calls made so far; only listen touches it
	text  int64        // bytes of files made from text so far; only listen touches it

	mu      sync.Mutex
	err     error
	last    uint64
	bodies  map[uint64]*body
	printed map[uint64]int // bytes printed, by body; 0 is the load
}

// maxPrinted bounds how much is passed on of what one body, or the load, prints, in bytes.
const maxPrinted = 1 << 20

// errClosed is the reason of a process that Close has ended.
var errClosed = errors.New("the evaluator is closed")

// Start starts an evaluator, has it load the entry and everything that the entry loads, and returns
// the graph. The digests of modules in the graph are those of the source that was served. Its error
// is a diag.List or a *diag.Error, or ctx's own once ctx is done. ctx counts only until Start
// returns.
func Start(ctx context.Context, options Options) (*Evaluator, *plan.Graph, error) {
	options.Limits = options.Limits.Defaults()
	c := newCache(options)
	if options.GraphOnly {
		if earlier := known(c, &options); earlier != nil {
			return replay(options, c, earlier), earlier.Graph, nil
		}
	}
	p, err := startProcess(options.Limits)
	if err != nil {
		c.Close(0)
		return nil, nil, err
	}
	e := newEvaluator(options, p, c)
	if !options.RequireSandbox {
		go e.entry() // while the process starts
	}
	stop := context.AfterFunc(ctx, func() { p.kill(ctx.Err()); e.cache.Cancel() })
	g, err := e.load()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		p.close(errClosed)
		if !options.RequireSandbox {
			e.entry() // nothing may read from the source once Start has returned
		}
		e.cache.Close(e.limits.Wall)
		return nil, nil, err
	}
	e.cache.Pass()
	if options.GraphOnly {
		e.keep(g)
		e.err = errClosed
		close(e.gone)
	} else {
		go e.listen()
	}
	return e, g, nil
}

// newCache returns the cache of one load.
func newCache(options Options) *compiled.Cache {
	self, _ := selfPath() // without it, builds of the same version share what is compiled
	return compiled.New(compiled.Options{
		Dir: options.Cache, Program: self, Notice: options.Notice,
		Compiler: interp.Compiler{Predeclared: options.Predeclared, Limits: options.Limits},
		RunTool: func(ctx context.Context, in []byte) ([]byte, error) {
			return RunTool(ctx, compiled.ToolName, in, Options{Limits: options.Limits, RequireSandbox: options.RequireSandbox})
		},
	})
}

func newEvaluator(options Options, p *process, c *compiled.Cache) *Evaluator {
	e := &Evaluator{
		options: options, limits: p.limits, process: p, cache: c,
		served:  map[string]plan.Digest{},
		python:  map[string]plan.Digest{},
		turns:   make(chan struct{}, runtime.GOMAXPROCS(0)),
		gone:    make(chan struct{}),
		bodies:  map[uint64]*body{},
		printed: map[uint64]int{},
	}
	e.entry = sync.OnceValue(func() fetched { return e.fetch(options.Entry) })
	return e
}

// Lockdown returns how far the evaluator is locked down, and what this machine lacks for more.
func (e *Evaluator) Lockdown() lockdown.State { return e.lockdown }

// Close ends the evaluator. Bodies under way return an error. Close waits until compiled modules
// are kept, but no longer than loading may take.
func (e *Evaluator) Close() error {
	if e.process != nil {
		e.process.kill(errClosed)
		<-e.gone
		e.process.close(errClosed)
	}
	e.cache.Close(e.limits.Wall)
	return nil
}

// load goes through the first part of the protocol, up to the graph.
func (e *Evaluator) load() (*plan.Graph, error) {
	g, err := e.converse()
	// If a limit killed the evaluator, nobody has said where it was.
	if d, ok := err.(*diag.Error); ok && !d.Pos.IsValid() && d.Class == diag.Limit {
		at := *d
		at.Pos.File = e.running
		err = &at
	}
	return g, err
}

// converse exchanges the messages of loading.
func (e *Evaluator) converse() (*plan.Graph, error) {
	var err error
	if e.lockdown, err = e.process.greet(startMsg{Entry: e.options.Entry, GraphOnly: e.options.GraphOnly, Limits: e.limits}, e.options); err != nil {
		return nil, err
	}
	defer e.process.startClock("loading")()
	for {
		var m fromEvaluator
		if err := e.process.receive(&m); err != nil {
			return nil, e.process.death(err)
		}
		switch {
		case m.Load != nil:
			if err := e.serve(m.Load.Path); err != nil {
				return nil, e.process.death(err)
			}
		case m.Running != nil:
			if _, ok := e.served[m.Running.Path]; !ok {
				return nil, e.process.death(fmt.Errorf("%w: runs what it hasn't loaded", wire.ErrMalformed))
			}
			e.running = m.Running.Path
		case m.Print != nil:
			e.print(m.Print)
		case m.Failed != nil:
			return nil, m.Failed.Findings
		case m.Graph != nil:
			if err := e.adopt(m.Graph); err != nil {
				return nil, e.process.death(fmt.Errorf("%w: %w", wire.ErrMalformed, err))
			}
			return m.Graph, nil
		default:
			return nil, e.process.death(fmt.Errorf("%w: not while loading", wire.ErrMalformed))
		}
	}
}

// serve answers a request for a module's source.
func (e *Evaluator) serve(path string) error {
	if strings.HasSuffix(path, ".py") {
		return e.servePython(path)
	}
	if err := interp.CheckPath(path); err != nil {
		return fmt.Errorf("%w: %w", wire.ErrMalformed, err)
	}
	if len(e.served) >= e.limits.Modules {
		return fmt.Errorf("%w: more than %d modules", wire.ErrMalformed, e.limits.Modules)
	}
	if _, again := e.served[path]; again {
		return fmt.Errorf("%w: module %s twice", wire.ErrMalformed, path)
	}
	f := e.entry()
	if path != e.options.Entry {
		f = e.fetch(path)
	}
	e.served[path] = f.digest
	e.size += f.size
	e.running = path // from here on the evaluator compiles it
	return e.process.pipe.Send(toEvaluator{Source: &f.answer})
}

// servePython answers a request for a Python file. What can't be read is as if it weren't there,
// since the checks report it; only a file that is too large is an error.
func (e *Evaluator) servePython(path string) error {
	if err := interp.CheckPythonPath(path); err != nil {
		return fmt.Errorf("%w: %w", wire.ErrMalformed, err)
	}
	if _, again := e.python[path]; again {
		return fmt.Errorf("%w: %s twice", wire.ErrMalformed, path)
	}
	if len(e.python) >= e.limits.Modules {
		err := interp.ErrModules.Errorf("the signatures of more than %d Python files are read", e.limits.Modules).
			WithHint("raise the limit with --max-modules")
		return e.process.pipe.Send(toEvaluator{Source: &sourceMsg{Error: err}})
	}
	data, err := interp.ReadPython(e.options.Source, path, e.limits.Source)
	e.python[path] = plan.DigestOf(data)
	return e.process.pipe.Send(toEvaluator{Source: &sourceMsg{Data: data, Error: err}})
}

// fetched is a module that was read, or why it can't be.
type fetched struct {
	answer sourceMsg
	digest plan.Digest
	size   int // bytes
}

// fetch reads a module.
func (e *Evaluator) fetch(path string) fetched {
	data, err := interp.Read(e.options.Source, path, e.limits.Source)
	if err != nil {
		return fetched{answer: sourceMsg{Error: err}, digest: plan.DigestOf(nil)}
	}
	f := fetched{digest: plan.DigestOf(data), size: len(data)}
	if f.answer.Compiled = e.cache.Module(path, data, f.digest); f.answer.Compiled == nil {
		f.answer.Data = data
	}
	return f
}

// adopt checks a graph, and sets the digests, which the parent knows better.
func (e *Evaluator) adopt(g *plan.Graph) error {
	if err := g.Validate(); err != nil {
		return err
	}
	if len(g.Modules) != len(e.served) || g.Entry != e.options.Entry || len(g.Modules) == 0 || g.Modules[len(g.Modules)-1].Path != g.Entry {
		return errors.New("the graph is of other modules than those loaded")
	}
	seen := map[string]bool{}
	for i := range g.Modules {
		m := &g.Modules[i]
		digest, ok := e.served[m.Path]
		if !ok || seen[m.Path] {
			return fmt.Errorf("module %s", m.Path)
		}
		seen[m.Path] = true
		m.Digest = digest
	}
	return nil
}

// print passes on what the evaluator prints, up to a limit.
func (e *Evaluator) print(m *printMsg) {
	task := ""
	e.mu.Lock()
	if b := e.bodies[m.Body]; b != nil {
		task = b.task
	} else if m.Body != 0 {
		e.mu.Unlock()
		return // its body has been cancelled
	}
	before := e.printed[m.Body]
	e.printed[m.Body] += len(m.Text)
	after := e.printed[m.Body]
	e.mu.Unlock()
	switch {
	case after <= maxPrinted:
		e.show(*m, task)
	case before <= maxPrinted:
		m.Text = fmt.Sprintf("(what follows isn't shown: more than %d bytes were printed)", maxPrinted)
		e.show(*m, task)
	}
}

// show passes on what is printed, and notes it if the graph is to be kept.
func (e *Evaluator) show(m printMsg, task string) {
	if e.options.GraphOnly && len(e.prints) <= maxPrints {
		e.prints = append(e.prints, m)
	}
	if e.options.Print != nil {
		e.options.Print(m.Pos, task, m.Text)
	}
}

// listen takes messages after the graph, until the process ends.
func (e *Evaluator) listen() {
	for {
		var m fromEvaluator
		err := e.process.receive(&m)
		if err == nil {
			err = e.handle(&m)
		}
		if err != nil {
			err = e.process.death(err)
			e.mu.Lock()
			e.err = err
			e.mu.Unlock()
			close(e.gone)
			return
		}
	}
}

func (e *Evaluator) handle(m *fromEvaluator) error {
	var id uint64
	switch {
	case m.Print != nil:
		e.print(m.Print)
		return nil
	case m.Request != nil:
		id = m.Request.Body
	case m.Pause != nil:
		id = m.Pause.Body
	case m.Resume != nil:
		id = m.Resume.Body
	case m.Done != nil:
		id = m.Done.Body
	default:
		return fmt.Errorf("%w: not after loading", wire.ErrMalformed)
	}
	e.mu.Lock()
	b := e.bodies[id]
	if m.Done != nil {
		delete(e.bodies, id)
		delete(e.printed, id)
	}
	e.mu.Unlock()
	switch {
	case b == nil:
		return fmt.Errorf("%w: no body %d", wire.ErrMalformed, id)
	case m.Done != nil:
		return b.finish(m.Done)
	case m.Pause != nil:
		return b.pause()
	case m.Resume != nil:
		return b.resume()
	}
	return b.take(m.Request, int64(m.size))
}
