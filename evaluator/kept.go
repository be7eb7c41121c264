package evaluator

import (
	"fmt"
	"os"

	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/evaluator/wire"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// This file keeps graphs, beside the compiled modules. Evaluating the same
// sources under the same limits gives the same graph, so where only the graph is
// wanted and no module has changed, no evaluator is started. A graph comes from
// an evaluator that has run the very modules whose digests it is kept under:
// were that one taken over, the next one would be by the same modules. It is
// validated when it is received, and only that of a full lockdown is kept.

// maxPrints is how often modules print at most whose graph is kept.
const maxPrints = 1000

// keptGraph is an entry of the cache. Rest is read only if no module has changed.
type keptGraph struct {
	Modules []keptModule
	Rest    []byte // an evaluation
}

type keptModule struct{ Path, Digest string }

// evaluation is what there is to know of a load that has succeeded.
type evaluation struct {
	Lockdown lockdown.State
	Prints   []printMsg
	Graph    *plan.Graph
}

// graphKey is a digest of all that decides a graph but the modules' content.
func (c *compiler) graphKey() cacheKey {
	return c.key(fmt.Sprintf("%s %+v", c.options.Entry, c.options.Limits), "graph")
}

// graph returns what is known of an earlier load of the same modules, nil if there is nothing.
func (c *compiler) graph() *evaluation {
	if c.options.Cache == "" {
		return nil
	}
	if _, err := os.Lstat(c.options.Cache); err != nil {
		return nil // it is made when there is something to keep
	}
	if c.open(); c.cache == nil {
		return nil
	}
	data := c.cache.get(c.graphKey())
	if data == nil {
		return nil
	}
	var kept keptGraph
	var e evaluation
	err := wire.Read(data, &kept, c.options.Limits.Message)
	for _, m := range kept.Modules {
		source, err := c.options.Source.ReadModule(m.Path)
		if err != nil || interp.Digest(source) != m.Digest {
			return nil // loading says what is wrong with it
		}
	}
	if err == nil {
		err = wire.Read(kept.Rest, &e, c.options.Limits.Message)
	}
	if err != nil || e.Graph == nil {
		c.notice(fmt.Sprintf("a graph that was kept isn't used: %v", err))
		return nil
	}
	return &e
}

// keep keeps the graph of a load, while others go on.
func (c *compiler) keep(e evaluation) {
	if !c.opened {
		c.open()
	}
	if c.cache == nil || e.Lockdown.Level != lockdown.Full {
		return
	}
	var kept keptGraph
	for _, m := range e.Graph.Modules {
		kept.Modules = append(kept.Modules, keptModule{m.Path, m.Digest})
	}
	c.working.Go(func() {
		kept.Rest, _ = wire.Append(nil, e)
		data, _ := wire.Append(nil, kept)
		err := c.cache.put(c.graphKey(), data)
		if err == nil {
			err = c.cache.prune() // nothing else may, where no module is large enough to be kept
		}
		if err != nil {
			c.notice(fmt.Sprintf("the graph isn't kept as it should be: %v", err))
		}
	})
}

// replay returns an evaluator that has ended, of an earlier load.
func (c *compiler) replay(known *evaluation) *Evaluator {
	e := &Evaluator{options: c.options, limits: c.options.Limits, compiler: c, lockdown: known.Lockdown, err: errClosed, gone: make(chan struct{})}
	close(e.gone)
	if e.options.Locked != nil {
		e.options.Locked(e.lockdown)
	}
	for _, m := range known.Prints {
		e.show(m, "")
	}
	c.pass()
	return e
}
