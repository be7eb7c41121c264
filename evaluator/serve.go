package evaluator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/evaluator/wire"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// evaluatorName is the evaluator's argv[0]. By that the program knows that it is one.
const evaluatorName = "flytestar-evaluator"

// The evaluator's ends of its pipes.
const (
	readFD  = 3
	writeFD = 4
)

// maxStack bounds a goroutine's stack, in bytes. Recursing over data that nests too deep overflows
// it, and that ends the process.
const maxStack = 64 << 20

// Init must be the first call in main, and in TestMain of packages whose tests call [Start] or
// [RunTool]. The evaluator is the same binary, and there Init doesn't return. language makes the
// language; it is called at most once, only in the evaluator, with the limits in force. tools are
// those that RunTool can run, by name.
func Init(language func(interp.Limits) interp.Language, tools map[string]Tool) {
	if len(os.Args) == 0 || os.Args[0] != evaluatorName {
		return
	}
	if err := lockdown.CloseInherited(writeFD); err != nil {
		fmt.Fprintln(os.Stderr, "close inherited files:", err)
		os.Exit(1)
	}
	r, w := os.NewFile(readFD, "from parent"), os.NewFile(writeFD, "to parent")
	if err := serve(r, w, language, tools); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// server is the evaluator's side of the conversation.
type server struct {
	pipe    *wire.Pipe
	lang    interp.Language
	limits  interp.Limits
	program *interp.Program // once it has been loaded

	mu     sync.Mutex
	bodies map[uint64]*pipeHost
}

// serve reads what to do from r and locks the process down. Then it loads a workflow and evaluates
// bodies until r ends, or it runs a tool.
func serve(r io.Reader, w io.Writer, language func(interp.Limits) interp.Language, tools map[string]Tool) error {
	s := &server{pipe: wire.NewPipe(r, w, interp.Limits{}.Defaults().Message), bodies: map[uint64]*pipeHost{}}
	var m toEvaluator
	if _, err := s.pipe.Receive(&m); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	s.limits = m.Start.Limits
	s.pipe.SetLimit(s.limits.Message)
	debug.SetGCPercent(-1) // most loads end before a collection pays; the others come to the memory limit
	debug.SetMemoryLimit(s.limits.Memory / 4 * 3)
	debug.SetMaxStack(maxStack)
	layers, err := lockdown.Enter(s.limits.Memory)
	if err != nil {
		return fmt.Errorf("lock down: %w", err)
	}
	if err := s.pipe.Send(fromEvaluator{Hello: &helloMsg{layers}}); err != nil {
		return err
	}
	if m.Start.Tool != "" {
		return s.tool(findTool(tools, m.Start.Tool), m.Start.Tool)
	}
	s.lang = language(s.limits)
	if ok, err := s.load(m.Start.Entry); !ok {
		return err
	}
	if m.Start.GraphOnly {
		return nil
	}
	debug.SetGCPercent(400)
	for {
		var m toEvaluator
		if _, err := s.pipe.Receive(&m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		s.handle(&m)
	}
}

// load sends the graph, or the findings. It reports whether there is a graph.
func (s *server) load(entry string) (bool, error) {
	g, err := s.graph(entry)
	if err == nil {
		if err = s.pipe.Send(fromEvaluator{Graph: g}); !errors.Is(err, wire.ErrTooBig) {
			return err == nil, err
		}
		err = messageError("the graph", err).At(diag.Position{File: entry})
	}
	return false, s.pipe.Send(fromEvaluator{Failed: &failedMsg{bounded(findings(err))}})
}

func (s *server) graph(entry string) (*plan.Graph, error) {
	room := sync.OnceFunc(func() { makeRoom(min(maxRoom, s.limits.Memory/8)) })
	loader := interp.Loader{
		Language: s.lang, Limits: s.limits,
		Print: func(pos diag.Position, text string) { s.print(0, pos, text) },
		// As in print: if this can't be sent, the next receive notices.
		Running: func(path string) { _ = s.pipe.Send(fromEvaluator{Running: &runningMsg{path}}) },
	}
	var err error
	if s.program, err = loader.Load(pipeSource{s.pipe, room}, entry); err != nil {
		return nil, err
	}
	return s.program.Graph()
}

// findings returns err as findings.
func findings(err error) diag.List {
	var list diag.List
	var e *diag.Error
	switch {
	case errors.As(err, &list):
		return list
	case errors.As(err, &e):
		return diag.List{e}
	}
	return diag.List{{Msg: err.Error()}}
}

// print passes on what a module or body prints. If it can't be sent, the parent is gone, and the
// next receive notices.
func (s *server) print(body uint64, pos diag.Position, text string) {
	_ = s.pipe.Send(fromEvaluator{Print: &printMsg{Body: body, Pos: pos, Text: clipped(text)}})
}

// When a large module comes from the parent, the evaluator makes room in its heap.
const (
	largeModule = 256 << 10 // bytes of the message
	maxRoom     = 64 << 20  // bytes
)

// pipeSource asks the parent for source.
type pipeSource struct {
	pipe *wire.Pipe
	room func() // called for a large module
}

var (
	_ interp.CompiledSource = pipeSource{}
	_ interp.PythonSource   = pipeSource{}
)

// ReadModule implements interp.Source.
func (s pipeSource) ReadModule(path string) ([]byte, error) {
	source, _, err := s.ReadCompiled(path)
	return source, err
}

// ReadCompiled implements interp.CompiledSource. While modules load, the parent only answers.
func (s pipeSource) ReadCompiled(path string) (source, module []byte, err error) {
	if err := s.pipe.Send(fromEvaluator{Load: &loadMsg{path}}); err != nil {
		return nil, nil, err
	}
	var m toEvaluator
	if _, err := s.pipe.Receive(&m); err != nil {
		return nil, nil, err
	}
	if m.Source.Error != nil {
		return nil, nil, m.Source.Error
	}
	if len(m.Source.Data)+len(m.Source.Compiled) >= largeModule {
		s.room()
	}
	return m.Source.Data, m.Source.Compiled, nil
}

// ReadPython implements interp.PythonSource.
func (s pipeSource) ReadPython(path string) ([]byte, error) {
	if err := interp.CheckPythonPath(path); err != nil {
		return nil, err
	}
	source, _, err := s.ReadCompiled(path)
	return source, err
}

// handle takes a message after loading.
func (s *server) handle(m *toEvaluator) {
	switch {
	case m.Body != nil:
		h := newPipeHost(m.Body.ID, s.pipe)
		h.body = s.program.Body(m.Body.Task, func(pos diag.Position, text string) { s.print(h.id, pos, text) }, h.stop)
		s.mu.Lock()
		s.bodies[h.id] = h
		s.mu.Unlock()
		go s.body(h, m.Body)
	case m.Reply != nil:
		if h := s.find(m.Reply.Body); h != nil {
			h.answer(m.Reply)
		}
	case m.Turn != nil:
		if h := s.find(m.Turn.Body); h != nil {
			h.body.BeginTurn()
			select {
			case h.turn <- struct{}{}:
			default: // the body has ended without it
			}
		}
	case m.Cancel != nil:
		if h := s.find(m.Cancel.Body); h != nil {
			h.body.Cancel()
			h.stop()
		}
	}
}

// find returns a body that hasn't ended.
func (s *server) find(id uint64) *pipeHost {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies[id]
}

// body evaluates a body and says how it ended.
func (s *server) body(h *pipeHost, m *bodyMsg) {
	done := h.outcome(evaluate(h, m))
	h.stop()
	s.mu.Lock()
	delete(s.bodies, m.ID)
	s.mu.Unlock()
	if err := s.pipe.Send(fromEvaluator{Done: done}); errors.Is(err, wire.ErrTooBig) {
		done.Value, done.Findings = nil, diag.List{messageError("the result", err)}
		_ = s.pipe.Send(fromEvaluator{Done: done}) // this fails only if the parent is gone
	}
}

func evaluate(h *pipeHost, m *bodyMsg) (plan.Value, error) {
	inputs, err := decodeInputs(m.Inputs)
	if err != nil {
		return nil, err
	}
	return h.body.Run(inputs, h)
}

// pipeHost is a body's [plan.BodyHost]. It asks the parent.
type pipeHost struct {
	id      uint64
	pipe    *wire.Pipe
	body    *interp.Body
	slots   chan struct{} // bounds how many requests wait at once
	turn    chan struct{} // receives a turn
	stopped chan struct{}
	once    sync.Once

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan *replyMsg // where requests wait for their replies
	errors  map[error]uint64          // the requests that failed, by the failure or error of the reply
}

var _ plan.BodyHost = (*pipeHost)(nil)

func newPipeHost(id uint64, p *wire.Pipe) *pipeHost {
	return &pipeHost{
		id: id, pipe: p,
		stopped: make(chan struct{}),
		slots:   make(chan struct{}, maxOpen),
		turn:    make(chan struct{}, 1),
		waiting: map[uint64]chan *replyMsg{},
		errors:  map[error]uint64{},
	}
}

var errStopped = errors.New("the body has ended")

// stop makes every request return an error, also later ones.
func (h *pipeHost) stop() { h.once.Do(func() { close(h.stopped) }) }

// Call implements plan.Host.
func (h *pipeHost) Call(ctx context.Context, c plan.Invocation) (plan.Value, error) {
	inputs, err := encodeInputs(c.Inputs)
	if err != nil {
		return nil, &diag.Error{Pos: c.Pos, Msg: err.Error(), Err: err}
	}
	r, err := h.ask(ctx, requestMsg{Call: &callMsg{Ordinal: c.Ordinal, Within: c.Within, Label: c.Label, Task: c.Task, Inputs: inputs, Pos: c.Pos}})
	if err != nil {
		return nil, err
	}
	return plan.UnmarshalValue(r.Value)
}

// Read implements plan.Host.
func (h *pipeHost) Read(ctx context.Context, f plan.File, max int64) ([]byte, error) {
	h.pause()
	defer h.resume()
	r, err := h.ask(ctx, requestMsg{Read: &readMsg{File: f, Max: max}})
	if err != nil {
		return nil, err
	}
	return r.Data, nil
}

// Files implements plan.Host.
func (h *pipeHost) Files(ctx context.Context, d plan.Dir, pattern string) ([]plan.File, error) {
	h.pause()
	defer h.resume()
	r, err := h.ask(ctx, requestMsg{Files: &filesMsg{Dir: d, Pattern: pattern}})
	if err != nil {
		return nil, err
	}
	return r.Files, nil
}

// Text implements plan.Host.
func (h *pipeHost) Text(ctx context.Context, name, text string) (plan.File, error) {
	h.pause()
	defer h.resume()
	r, err := h.ask(ctx, requestMsg{Text: &textMsg{Name: name, Text: text}})
	if err != nil {
		return plan.File{}, err
	}
	if r.File == nil {
		return plan.File{}, errors.New("the answer has no file")
	}
	return *r.File, nil
}

// Await implements plan.BodyHost.
func (h *pipeHost) Await(done <-chan struct{}) {
	select {
	case <-done:
		return
	default:
	}
	h.pause()
	<-done
	h.resume()
}

// pause ends the turn, because the body waits. As in print, the next receive notices an error.
func (h *pipeHost) pause() { _ = h.pipe.Send(fromEvaluator{Pause: &turnMsg{h.id}}) }

// resume waits for a turn, or for the end of the body.
func (h *pipeHost) resume() {
	_ = h.pipe.Send(fromEvaluator{Resume: &turnMsg{h.id}})
	select {
	case <-h.turn:
	case <-h.stopped:
	}
}

// ask sends a request and waits for its reply. If the reply carries an error, outcome recognizes it
// by its identity.
func (h *pipeHost) ask(ctx context.Context, m requestMsg) (*replyMsg, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-h.stopped:
		return nil, errStopped
	}
	answer := make(chan *replyMsg, 1)
	h.mu.Lock()
	h.last++
	m.Body, m.ID = h.id, h.last
	h.waiting[m.ID] = answer
	h.mu.Unlock()
	if err := h.pipe.SendLater(fromEvaluator{Request: &m}); err != nil {
		return nil, messageError("the request", err)
	}
	select {
	case r := <-answer:
		return r, h.failure(r)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-h.stopped:
		return nil, errStopped
	}
}

// answer passes a reply to the request that waits for it.
func (h *pipeHost) answer(r *replyMsg) {
	h.mu.Lock()
	answer := h.waiting[r.Request]
	delete(h.waiting, r.Request)
	h.mu.Unlock()
	if answer != nil {
		answer <- r
	}
}

// failure returns the error that a reply carries, and notes the request for it.
func (h *pipeHost) failure(r *replyMsg) error {
	var err error
	switch {
	case r.Failure != nil:
		err = r.Failure
	case r.Error != nil:
		err = r.Error
	default:
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.errors[err] = r.Request
	return err
}

// outcome says how the body ended. If the body let the error of a request through, outcome names
// the request: the parent still has the very same error.
func (h *pipeHost) outcome(v plan.Value, err error) *doneMsg {
	done := &doneMsg{Body: h.id}
	if err == nil {
		if done.Value, err = plan.MarshalValue(v); err == nil {
			return done
		}
	}
	if !h.body.Exceeded() {
		if done.Passed = h.requestOf(err); done.Passed != 0 {
			return done
		}
	}
	done.Findings = bounded(h.body.Findings(err))
	return done
}

// requestOf returns the request that failed with an error in err's chain, or 0.
func (h *pipeHost) requestOf(err error) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	var failure *plan.Failure
	if errors.As(err, &failure) {
		return h.errors[failure]
	}
	var e *diag.Error
	if errors.As(err, &e) {
		return h.errors[e]
	}
	return 0
}
