package evaluator

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
)

// This file fills the cache: while an evaluator loads modules that aren't
// there, a tool in another process compiles them, and never runs one.

// compileTool is the name of the tool that compiles modules.
const compileTool = "compile"

// minCached is the size in bytes of source from which compiling takes longer than reading what was compiled.
const minCached = 16 << 10

// compileInput is what compileTool is given.
type compileInput struct {
	Nesting     int
	Predeclared []string
	Modules     []sourceModule
}

// sourceModule is a module to compile.
type sourceModule struct {
	Path   string
	Source []byte
	digest string // of the source; the tool isn't told
}

// compileOutput is what compileTool returns: each module in its written form, empty for one with findings.
type compileOutput struct{ Modules [][]byte }

// compileModules is compileTool.
func compileModules(data []byte) ([]byte, error) {
	var in compileInput
	if err := wire.Read(data, &in, int64(len(data))); err != nil {
		return nil, err
	}
	c := interp.Compiler{Predeclared: in.Predeclared, Limits: interp.Limits{Nesting: in.Nesting}}
	out := compileOutput{make([][]byte, len(in.Modules))}
	for i, m := range in.Modules {
		var err error
		if out.Modules[i], err = c.Compile(m.Path, m.Source); err != nil {
			return nil, err
		}
	}
	written, _ := wire.Append(nil, out)
	return written, nil
}

// compiler looks modules up in a cache, and fills it.
type compiler struct {
	options Options
	prefix  []byte    // of what keys are made of: all but path and source
	begun   time.Time // when loading began

	opened bool
	cache  *cache // nil if it can't be opened

	ctx     context.Context
	cancel  context.CancelFunc
	working sync.WaitGroup
	mu      sync.Mutex
	waiting []sourceModule
	size    int      // bytes of source that wait
	active  bool     // something is working on what waits
	notices []string // that are to be passed on
}

func newCompiler(options Options) *compiler {
	options.Limits = options.Limits.Defaults()
	c := &compiler{options: options, begun: time.Now()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// notice keeps what is to be passed on, from whichever goroutine.
func (c *compiler) notice(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notices = append(c.notices, text)
}

// pass passes notices on.
func (c *compiler) pass() {
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

// get returns a module compiled. If it isn't there it returns nil, and has it compiled. digest is of the source.
func (c *compiler) get(path string, source []byte, digest string) []byte {
	if c.options.Cache == "" || len(source) < minCached || len(source) > maxBatch {
		return nil
	}
	if !c.opened {
		c.open()
	}
	if c.cache == nil {
		return nil
	}
	if data := c.cache.get(c.key(path, digest)); data != nil {
		return data
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size+len(source) > maxWaiting {
		return nil // it is compiled when it is loaded again
	}
	c.size += len(source)
	c.waiting = append(c.waiting, sourceModule{path, source, digest})
	if !c.active {
		c.active = true
		c.working.Go(c.work)
	}
	return nil
}

func (c *compiler) open() {
	c.opened = true
	var err error
	if c.cache, err = openCache(c.options.Cache, c.notice); err != nil {
		c.notice(fmt.Sprintf("compiled modules aren't kept in %s: %v", c.options.Cache, err))
		return
	}
	compiler := interp.Compiler{Predeclared: c.options.Predeclared, Limits: c.options.Limits}
	c.prefix, _ = wire.Append(nil, struct{ Parts []string }{append(compiler.Fingerprint(), build())})
}

// build says which build of flytestar this is, as far as it knows: its version or revision, and those of what it is made of.
// Changed sources need not change that, so what is known of its file counts as well.
func build() string {
	var parts []any
	if info, ok := debug.ReadBuildInfo(); ok {
		parts = append(parts, info)
	}
	if self, err := selfPath(); err == nil {
		if file, err := os.Stat(self); err == nil {
			parts = append(parts, file.Size(), file.ModTime())
		}
	}
	return fmt.Sprint(parts...)
}

// key is a digest of all that decides how a module is compiled. digest is of its source.
func (c *compiler) key(path, digest string) cacheKey {
	rest, _ := wire.Append(nil, struct{ Path, Digest string }{path, digest})
	return sha256.Sum256(slices.Concat(c.prefix, rest))
}

// Bounds, in bytes of source: of what is compiled in one process, and a module
// that is kept; and of what waits, which an evaluator decides that asks for module after module.
const (
	maxBatch   = 8 << 20
	maxWaiting = 4 * maxBatch
)

// work compiles what waits, and all that is added meanwhile.
func (c *compiler) work() {
	for {
		batch := c.batch()
		if len(batch) == 0 {
			break
		}
		if err := c.compile(batch); err != nil && c.ctx.Err() == nil {
			c.notice(fmt.Sprintf("compiled modules aren't kept: %v", err))
			return // and what comes then just waits
		}
	}
	if err := c.cache.prune(); err != nil {
		c.notice(fmt.Sprintf("compiled modules can't be cleared away: %v", err))
	}
}

// batch takes modules to compile. If there are none, nothing works on them any more.
func (c *compiler) batch() []sourceModule {
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

// compile compiles modules in a process of its own and keeps what comes of it.
func (c *compiler) compile(batch []sourceModule) error {
	in, _ := wire.Append(nil, compileInput{c.options.Limits.Nesting, c.options.Predeclared, batch})
	data, err := RunTool(c.ctx, compileTool, in, Options{Limits: c.options.Limits, RequireSandbox: c.options.RequireSandbox})
	if err != nil {
		return err
	}
	var out compileOutput
	if err := wire.Read(data, &out, int64(len(data))); err != nil || len(out.Modules) != len(batch) {
		return errors.New("what compiles them answers with something else")
	}
	for i, m := range out.Modules {
		if len(m) == 0 {
			continue // it has findings
		}
		if err := c.cache.put(c.key(batch[i].Path, batch[i].digest), m); err != nil {
			return err
		}
	}
	return nil
}

// close waits until what was to be compiled is kept, for no longer than wall from when loading began: what
// takes the evaluator too long takes as long to compile.
func (c *compiler) close(wall time.Duration) {
	stop := time.AfterFunc(wall-time.Since(c.begun), c.cancel)
	c.working.Wait()
	stop.Stop()
	c.cancel()
	if c.cache != nil {
		c.cache.root.Close()
	}
	c.pass()
}
