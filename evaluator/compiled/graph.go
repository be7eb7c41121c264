package compiled

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/flytestar/flytestar/evaluator/wire"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// This file keeps graphs. Evaluating the same sources under the same limits gives the same graph.
// So a load that only wants the graph starts no evaluator if no module has changed.
//
// A graph comes from an evaluator that has executed the very modules whose digests it is kept
// under. If these took that evaluator over, they would take over the next one as well.

// keptGraph is an entry of the directory. Rest is read only if no module has changed.
type keptGraph struct {
	Modules []keptModule
	Python  []keptModule // files that signatures were read of; a file that isn't there counts as empty
	Rest    []byte       // what the evaluator says of the load
}

type keptModule struct {
	Path   string
	Digest plan.Digest
}

// graphKey is a digest of everything that decides a graph except the modules' content.
func (c *Cache) graphKey(entry string) key {
	return c.key(fmt.Sprintf("%s %+v", entry, c.options.Compiler.Limits), "graph")
}

// Graph returns what [Cache.KeepGraph] kept of an earlier load of the same modules, or nil.
func (c *Cache) Graph(entry string, source interp.Source) []byte {
	if c.options.Dir == "" {
		return nil
	}
	if _, err := os.Lstat(c.options.Dir); err != nil {
		return nil // it is made when there is something to keep
	}
	if !c.open() {
		return nil
	}
	data := c.dir.get(c.graphKey(entry))
	if data == nil {
		return nil
	}
	var kept keptGraph
	if err := wire.Read(data, &kept, c.options.Compiler.Limits.Message); err != nil {
		c.GraphUnusable(err)
		return nil
	}
	for _, m := range kept.Modules {
		source, err := source.ReadModule(m.Path)
		if err != nil || plan.DigestOf(source) != m.Digest {
			return nil // loading says what is wrong with it
		}
	}
	for _, p := range kept.Python {
		data, _ := interp.ReadPython(source, p.Path, c.options.Compiler.Limits.Source)
		if plan.DigestOf(data) != p.Digest {
			return nil
		}
	}
	return kept.Rest
}

// GraphUnusable notes that a graph which was kept can't be used.
func (c *Cache) GraphUnusable(err error) {
	c.notice(fmt.Sprintf("a graph that was kept isn't used: %v", err))
}

// KeepGraph keeps what rest returns under the modules of a load, and the Python files whose
// signatures it has read. It returns at once.
func (c *Cache) KeepGraph(entry string, modules []plan.Module, python map[string]plan.Digest, rest func() []byte) {
	if c.options.Dir == "" || !c.open() {
		return
	}
	var kept keptGraph
	for _, m := range modules {
		kept.Modules = append(kept.Modules, keptModule{m.Path, m.Digest})
	}
	for _, p := range slices.Sorted(maps.Keys(python)) {
		kept.Python = append(kept.Python, keptModule{p, python[p]})
	}
	c.working.Go(func() {
		kept.Rest = rest()
		data, _ := wire.Append(nil, kept)
		err := c.dir.put(c.graphKey(entry), data)
		if err == nil {
			err = c.dir.prune() // nothing else does where no module is large enough to be kept
		}
		if err != nil {
			c.notice(fmt.Sprintf("the graph isn't kept as it should be: %v", err))
		}
	})
}
