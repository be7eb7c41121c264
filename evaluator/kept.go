package evaluator

import (
	"errors"

	"github.com/flytestar/flytestar/evaluator/compiled"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/evaluator/wire"
	"github.com/flytestar/flytestar/plan"
)

// This file replays a load whose graph was kept. A graph is validated when it is received, and it
// is kept only if the evaluator was locked down in full.

// maxPrints bounds how often modules print whose graph is kept.
const maxPrints = 1000

// evaluation is everything there is to know of a load that has succeeded.
type evaluation struct {
	Lockdown lockdown.State
	Prints   []printMsg
	Graph    *plan.Graph
}

// known returns an earlier load of the same modules, or nil.
func known(c *compiled.Cache, options *Options) *evaluation {
	data := c.Graph(options.Entry, options.Source)
	if data == nil {
		return nil
	}
	var e evaluation
	err := wire.Read(data, &e, options.Limits.Message)
	if err == nil && e.Graph == nil {
		err = errors.New("it is empty")
	}
	if err != nil {
		c.GraphUnusable(err)
		return nil
	}
	return &e
}

// keep keeps the graph of a load while the caller goes on.
func (e *Evaluator) keep(g *plan.Graph) {
	if e.lockdown.Level != lockdown.Full || e.size < compiled.MinSource || len(e.prints) > maxPrints {
		return
	}
	e.cache.KeepGraph(e.options.Entry, g.Modules, e.python, func() []byte {
		data, _ := wire.Append(nil, evaluation{e.lockdown, e.prints, g})
		return data
	})
}

// replay returns an evaluator that has ended, of an earlier load.
func replay(options Options, c *compiled.Cache, earlier *evaluation) *Evaluator {
	e := &Evaluator{options: options, limits: options.Limits, cache: c, lockdown: earlier.Lockdown, err: errClosed, gone: make(chan struct{})}
	close(e.gone)
	if e.options.Locked != nil {
		e.options.Locked(e.lockdown)
	}
	for _, m := range earlier.Prints {
		e.show(m, "")
	}
	c.Pass()
	return e
}
