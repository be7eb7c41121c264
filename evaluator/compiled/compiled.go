// Package compiled keeps in a directory what loading a workflow makes: modules in their compiled
// form, and graphs.
//
//   - A [Cache] belongs to one load. [Cache.Module] looks up a compiled module. If there is none,
//     [Tool] compiles the module in another process, while the load goes on.
//   - [Cache.Graph] and [Cache.KeepGraph] are for loads that only want the graph (graph.go).
//   - The directory has bounds, and only its owner may read or write it (directory.go).
//
// Only the parent touches the directory. The process that compiles modules executes none.
package compiled

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/flytestar/flytestar/evaluator/wire"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// MinSource is the size of source, in bytes, from which a module is kept: compiling a smaller one
// is faster than reading it.
const MinSource = 16 << 10

// ToolName is the name under which [Tool] runs in a process of its own.
const ToolName = "compile"

// toolInput is what Tool is given.
type toolInput struct {
	Nesting     int
	Predeclared []string
	Modules     []module
}

// module is a module to compile.
type module struct {
	Path   string
	Source []byte
	digest plan.Digest // of the source; Tool isn't told
}

// toolOutput is what Tool returns: the modules in their written form, empty for one with findings.
type toolOutput struct{ Modules [][]byte }

// Tool compiles modules.
func Tool(data []byte) ([]byte, error) {
	var in toolInput
	if err := wire.Read(data, &in, int64(len(data))); err != nil {
		return nil, err
	}
	c := interp.Compiler{Predeclared: in.Predeclared, Limits: interp.Limits{Nesting: in.Nesting}}
	out := toolOutput{make([][]byte, len(in.Modules))}
	for i, m := range in.Modules {
		var err error
		if out.Modules[i], err = c.Compile(m.Path, m.Source); err != nil {
			return nil, err
		}
	}
	written, _ := wire.Append(nil, out)
	return written, nil
}

// Options say where a Cache keeps what, and how it compiles.
type Options struct {
	Dir      string // made if it doesn't exist; empty: nothing is kept
	Compiler interp.Compiler
	Program  string // the file of this program; another build's modules aren't used
	// RunTool runs Tool in a process of its own.
	RunTool func(ctx context.Context, in []byte) ([]byte, error)
	// Notice is told what keeps the cache from being used, by Pass and Close. nil: nobody is told.
	Notice func(text string)
}

// Cache looks up and keeps what one load makes.
type Cache struct {
	options Options
	prefix  []byte    // what every key is made of
	begun   time.Time // when loading began

	opened bool
	dir    *directory // nil if it can't be opened

	ctx     context.Context
	cancel  context.CancelFunc
	working sync.WaitGroup
	mu      sync.Mutex
	waiting []module
	size    int      // bytes of source that wait
	active  bool     // something is compiling what waits
	notices []string // not yet passed on
}

// New returns a Cache for a load that begins now. The caller closes it.
func New(options Options) *Cache {
	options.Compiler.Limits = options.Compiler.Limits.Defaults()
	c := &Cache{options: options, begun: time.Now()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// notice keeps a notice until it is passed on. It may be called from any goroutine.
func (c *Cache) notice(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notices = append(c.notices, text)
}

// Pass passes the notices so far on to Options.Notice.
func (c *Cache) Pass() {
	c.mu.Lock()
	notices := c.notices
	c.notices = nil
	c.mu.Unlock()
	for _, text := range notices {
		if c.options.Notice != nil {
			c.options.Notice(text)
		}
	}
}

// Module returns a module in its compiled form. If there is none it returns nil, and has the module
// compiled for the next load. digest is the source's.
func (c *Cache) Module(path string, source []byte, digest plan.Digest) []byte {
	if c.options.Dir == "" || len(source) < MinSource || len(source) > maxBatch || !c.open() {
		return nil
	}
	if data := c.dir.get(c.key(path, string(digest))); data != nil {
		return data
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size+len(source) > maxWaiting {
		return nil // a later load has it compiled
	}
	c.size += len(source)
	c.waiting = append(c.waiting, module{path, source, digest})
	if !c.active {
		c.active = true
		c.working.Go(c.work)
	}
	return nil
}

// open opens the directory once, and reports whether it can be used.
func (c *Cache) open() bool {
	if c.opened {
		return c.dir != nil
	}
	c.opened = true
	var err error
	if c.dir, err = openDirectory(c.options.Dir, c.notice); err != nil {
		c.notice(fmt.Sprintf("compiled modules aren't kept in %s: %v", c.options.Dir, err))
		return false
	}
	c.prefix, _ = wire.Append(nil, struct{ Parts []string }{append(c.options.Compiler.Fingerprint(), c.build())})
	return true
}

// build identifies this build of flytestar: its version or revision and its dependencies'. These
// can stay the same while sources change, so the program's file counts as well.
func (c *Cache) build() string {
	var parts []any
	if info, ok := debug.ReadBuildInfo(); ok {
		parts = append(parts, info)
	}
	if file, err := os.Stat(c.options.Program); err == nil {
		parts = append(parts, file.Size(), file.ModTime())
	}
	return fmt.Sprint(parts...)
}

// key is a digest of everything that decides how a module is compiled. digest is its source's.
func (c *Cache) key(path, digest string) key {
	rest, _ := wire.Append(nil, struct{ Path, Digest string }{path, digest})
	return sha256.Sum256(slices.Concat(c.prefix, rest))
}

// Bounds in bytes of source. An evaluator that asks for module after module decides how much waits.
const (
	maxBatch   = 8 << 20      // of what one process compiles, and so of a module that is kept
	maxWaiting = 4 * maxBatch // of what waits
)

// work compiles what waits, including what is added in the process.
func (c *Cache) work() {
	for {
		batch := c.batch()
		if len(batch) == 0 {
			break
		}
		if err := c.compile(batch); err != nil && c.ctx.Err() == nil {
			c.notice(fmt.Sprintf("compiled modules aren't kept: %v", err))
			return // what comes later waits in vain
		}
	}
	if err := c.dir.prune(); err != nil {
		c.notice(fmt.Sprintf("compiled modules can't be cleared away: %v", err))
	}
}

// batch takes modules to compile. After an empty batch nothing works on them any more.
func (c *Cache) batch() []module {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < len(c.waiting) && (n == 0 || size+len(c.waiting[n].Source) <= maxBatch) {
		size += len(c.waiting[n].Source)
		n++
	}
	batch := c.waiting[:n]
	c.waiting = c.waiting[n:]
	c.size -= size
	c.active = n > 0 && c.ctx.Err() == nil
	if !c.active {
		return nil
	}
	return batch
}

// compile compiles modules in a process of its own, and keeps the result.
func (c *Cache) compile(batch []module) error {
	in, _ := wire.Append(nil, toolInput{c.options.Compiler.Limits.Nesting, c.options.Compiler.Predeclared, batch})
	data, err := c.options.RunTool(c.ctx, in)
	if err != nil {
		return err
	}
	var out toolOutput
	if err := wire.Read(data, &out, int64(len(data))); err != nil || len(out.Modules) != len(batch) {
		return errors.New("the compiling process answers with something else")
	}
	for i, m := range out.Modules {
		if len(m) == 0 {
			continue // it has findings
		}
		if err := c.dir.put(c.key(batch[i].Path, string(batch[i].digest)), m); err != nil {
			return err
		}
	}
	return nil
}

// Cancel ends compiling.
func (c *Cache) Cancel() { c.cancel() }

// Close waits until everything is compiled and kept, but no longer than wall after loading began. A
// module that takes the evaluator too long would also take too long to compile. Then Close passes
// notices on.
func (c *Cache) Close(wall time.Duration) {
	stop := time.AfterFunc(wall-time.Since(c.begun), c.cancel)
	c.working.Wait()
	stop.Stop()
	c.cancel()
	if c.dir != nil {
		c.dir.root.Close()
	}
	c.Pass()
}
