package builtins

import (
	"fmt"
	"slices"
	"sync"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/site"
	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/plan"
)

// mapArguments are map's own. Its other named arguments are inputs of every call.
var mapArguments = []string{"items", "concurrency", "return_errors"}

// mapItems implements .map. spec.md, "Bodies".
func (c *Call) mapItems(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var items starlark.Iterable
	var concurrency unpack.Count
	var returnErrors bool
	var own, constants []starlark.Tuple
	for _, kv := range kwargs {
		if slices.Contains(mapArguments, string(kv[0].(starlark.String))) {
			own = append(own, kv)
		} else {
			constants = append(constants, kv)
		}
	}
	if err := unpack.Args(fn, args, own, "items", &items, "concurrency?", &concurrency, "return_errors?", &returnErrors); err != nil {
		return nil, err
	}
	s, err := strandOf(th, c.what())
	if err != nil {
		return nil, err
	}
	// All calls are checked and numbered before any starts.
	var bound []map[string]plan.Value
	for item := range starlark.Elements(items) {
		if err := s.room(len(bound) + 1); err != nil {
			return nil, err
		}
		inputs, err := c.bindItem(item, constants)
		if err != nil {
			return nil, unpack.About(fmt.Sprintf("item %d", len(bound)), err)
		}
		bound = append(bound, inputs)
	}
	pos := c.registry.Sources.Start(site.Of(th))
	labels := c.itemLabels(bound)
	futures := make([]*Future, len(bound))
	for i, inputs := range bound {
		call := *c
		call.label = plan.CleanLabel(c.label + " " + labels[i])
		futures[i] = s.newFuture(&call, inputs, pos)
	}
	s.runAll(futures, int(concurrency))
	if !returnErrors {
		return s.results(futures)
	}
	return s.outcomes(futures)
}

// bindItem returns the inputs for an item of map, to which constants are added. An item is the value
// of the input that they leave, or a dict of inputs by name.
func (t *Task) bindItem(item starlark.Value, constants []starlark.Tuple) (map[string]plan.Value, error) {
	d, isDict := item.(*starlark.Dict)
	left := t.left(constants, isDict)
	if left != nil && !(isDict && !takesDict(left.Type)) {
		named := starlark.Tuple{starlark.String(left.Name), item}
		return t.bind(nil, append([]starlark.Tuple{named}, constants...))
	}
	if !isDict {
		return nil, t.callError("want a dict of its inputs by name, got %s", item.Type()).WithHint("%s", t.Decl.Takes())
	}
	for key := range d.Entries() {
		if _, ok := key.(starlark.String); !ok {
			return nil, t.callError("want a dict of its inputs by name, got the key %s", key).WithHint("%s", t.Decl.Takes())
		}
	}
	return t.bind(nil, append(d.Items(), constants...))
}

// left returns the only input that constants leave, or nil if they leave several. Unless the item is
// a dict, which could have values for several, inputs with a default don't count if others are left.
func (t *Task) left(constants []starlark.Tuple, dict bool) *plan.Param {
	var all, required []*plan.Param
	for i := range t.Decl.Inputs {
		p := &t.Decl.Inputs[i]
		if slices.ContainsFunc(constants, func(kv starlark.Tuple) bool { return kv[0] == starlark.String(p.Name) }) {
			continue
		}
		all = append(all, p)
		if _, has := t.defaults[p.Name]; !has {
			required = append(required, p)
		}
	}
	switch {
	case len(all) == 1:
		return all[0]
	case len(required) == 1 && !dict:
		return required[0]
	}
	return nil
}

// takesDict reports whether a dict can be a value of type t.
func takesDict(t plan.Type) bool {
	return t.Has(plan.KindDict) || t.Has(plan.KindRecord)
}

// runAll starts the futures in order, and keeps at most concurrency of them under way (0: as many
// as a body may have). It doesn't take a goroutine for each.
func (b *body) runAll(futures []*Future, concurrency int) {
	if concurrency == 0 || concurrency > underWay {
		concurrency = underWay
	}
	next := 0
	var mu sync.Mutex
	take := func() *Future {
		mu.Lock()
		defer mu.Unlock()
		if next == len(futures) {
			return nil
		}
		next++
		return futures[next-1]
	}
	for range min(concurrency, len(futures)) {
		b.running.Go(func() {
			for f := take(); f != nil; f = take() {
				f.run()
			}
		})
	}
}
