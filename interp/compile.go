package interp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"go.starlark.net/starlark"
)

// This file fills the cache: while an evaluator loads modules that aren't
// there, a tool in another process compiles them, and never runs one.

// compileTool is the name of the tool that compiles modules.
const compileTool = "compile"

// minCached is the size in bytes of source from which compiling takes longer than reading what was compiled.
const minCached = 16 << 10

// cacheVersion must change with all that changes what source.go and names.go
// find, with what a summary has, and with its form. A build that knows its
// version or revision differs from others by that as well.
const cacheVersion = "1"

// compileInput is what compileTool is given.
type compileInput struct {
	nesting     int32
	predeclared []string
	modules     []uncompiled
}

// uncompiled is a module that is to be compiled.
type uncompiled struct {
	path, source string
	digest       string // of the source; the tool isn't told
}

func (in *compileInput) code(c *codec) {
	c.number(&in.nesting)
	list(c, &in.predeclared, (*codec).string)
	list(c, &in.modules, func(c *codec, m *uncompiled) {
		c.string(&m.path)
		c.string(&m.source)
	})
}

// compileModules is compileTool: it answers with each module compiled, empty for one with findings.
func compileModules(data []byte) ([]byte, error) {
	var in compileInput
	if err := decode(data, in.code); err != nil {
		return nil, err
	}
	predeclared := starlark.StringDict{}
	for _, name := range in.predeclared {
		predeclared[name] = starlark.None
	}
	limits := Limits{Nesting: int(in.nesting)}.Defaults()
	out := make([]string, len(in.modules))
	for i, m := range in.modules {
		limits.Source = int64(len(m.source)) // the parent has checked it
		c, found := compile(m.path, []byte(m.source), predeclared, limits)
		if c == nil || found != nil {
			continue
		}
		data, err := c.encode()
		if err != nil {
			return nil, err
		}
		out[i] = string(data)
	}
	return encode(func(c *codec) { list(c, &out, (*codec).string) }), nil
}

// encode returns c in its written form: the program after its length, and the summary.
func (c *compiled) encode() ([]byte, error) {
	var program bytes.Buffer
	if err := c.program.Write(&program); err != nil {
		return nil, err
	}
	out := binary.AppendUvarint(nil, uint64(program.Len()))
	return append(append(out, program.Bytes()...), c.summary.encode()...), nil
}

// decodeCompiled returns the module at path from its written form.
func decodeCompiled(path string, data []byte) (*compiled, error) {
	size, n := binary.Uvarint(data)
	if n <= 0 || size > uint64(len(data)-n) {
		return nil, errMalformed
	}
	data = data[n:]
	program, err := starlark.CompiledProgram(bytes.NewReader(data[:size]))
	if err != nil {
		return nil, err
	}
	summary, err := decodeSummary(path, data[size:])
	if err != nil {
		return nil, err
	}
	return &compiled{program, summary}, nil
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
	waiting []uncompiled
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
	c.waiting = append(c.waiting, uncompiled{path, string(source), digest})
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
	c.prefix = encode(func(w *codec) {
		parts := []string{cacheVersion, build(), fmt.Sprint(starlark.CompilerVersion), fmt.Sprintf("%+v", *dialect), fmt.Sprint(c.options.Limits.Nesting)}
		list(w, &parts, (*codec).string)
		for _, names := range [][]string{c.options.Predeclared, starlark.Universe.Keys()} {
			names = slices.Sorted(slices.Values(names))
			list(w, &names, (*codec).string)
		}
	})
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
	return sha256.Sum256(encode(func(w *codec) {
		w.data = append(w.data, c.prefix...)
		w.string(&path)
		w.string(&digest)
	}))
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
func (c *compiler) batch() []uncompiled {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < len(c.waiting) && (n == 0 || size+len(c.waiting[n].source) <= maxBatch) {
		size += len(c.waiting[n].source)
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
func (c *compiler) compile(batch []uncompiled) error {
	in := compileInput{int32(c.options.Limits.Nesting), c.options.Predeclared, batch}
	data, err := RunTool(c.ctx, compileTool, encode(in.code), Options{Limits: c.options.Limits, RequireSandbox: c.options.RequireSandbox})
	if err != nil {
		return err
	}
	var modules []string
	if err := decode(data, func(c *codec) { list(c, &modules, (*codec).string) }); err != nil || len(modules) != len(batch) {
		return errors.New("what compiles them answers with something else")
	}
	for i, m := range modules {
		if m == "" {
			continue // it has findings
		}
		if err := c.cache.put(c.key(batch[i].path, batch[i].digest), []byte(m)); err != nil {
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
