package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strconv"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// layout says where an attempt finds its inputs.
type layout struct {
	mounts []exec.Input   // one for each File and Dir
	plain  map[string]any // by name, as JSON for the task: Files and Dirs are their paths
	tagged map[string]any // the same for the python shim: {"$path": …}, {"$struct": …}, {"$dict": …}
}

// place lays out a task's inputs.
func place(inputs map[string]plan.Value) (*layout, error) {
	l := &layout{plain: map[string]any{}, tagged: map[string]any{}}
	for _, name := range sortedKeys(inputs) {
		var err error
		if l.plain[name], l.tagged[name], err = l.value(inputs[name], path.Join(exec.InputsPath, name)); err != nil {
			return nil, fmt.Errorf("input %q: %w", name, err)
		}
	}
	return l, nil
}

// value returns both forms of v. It mounts Files and Dirs at or below the path at. That path is
// empty if a key above v can't be the name of a file.
func (l *layout) value(v plan.Value, at string) (plain, tagged any, err error) {
	switch v := v.(type) {
	case float64:
		text, err := plan.MarshalValue(v) // so that it stays a float
		return json.Number(text), json.Number(text), err
	case plan.File, plan.Dir:
		if at == "" {
			return nil, nil, fmt.Errorf("a %s below a key that can't be a file's name", plan.TypeName(v))
		}
		l.mounts = append(l.mounts, exec.Input{Path: at, Artifact: v})
		return at, map[string]any{"$path": at}, nil
	case []plan.Value:
		ps, ts := make([]any, len(v)), make([]any, len(v))
		for i, x := range v {
			if ps[i], ts[i], err = l.value(x, below(at, strconv.Itoa(i))); err != nil {
				return nil, nil, err
			}
		}
		return ps, ts, nil
	case map[string]plan.Value:
		ps, ts, err := l.members(v, at)
		return ps, map[string]any{"$dict": ts}, err
	case plan.Struct:
		ps, ts, err := l.members(v, at)
		return ps, map[string]any{"$struct": ts}, err
	}
	return v, v, nil // nil, bool, int64, string
}

func (l *layout) members(m map[string]plan.Value, at string) (plain, tagged map[string]any, err error) {
	plain, tagged = make(map[string]any, len(m)), make(map[string]any, len(m))
	for _, k := range sortedKeys(m) {
		if plain[k], tagged[k], err = l.value(m[k], below(at, k)); err != nil {
			return nil, nil, err
		}
	}
	return plain, tagged, nil
}

// below returns the path of a member, or "" if it can't have one.
func below(at, name string) string {
	if at == "" || !plan.ValidFileName(name) {
		return ""
	}
	return at + "/" + name
}

// marshal is json.Marshal without escaping for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
