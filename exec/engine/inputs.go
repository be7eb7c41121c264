package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// layout says where an attempt finds its inputs (spec.md, "Tasks").
type layout struct {
	mounts []exec.Input   // one for each File and Dir
	plain  map[string]any // by name, as JSON for the task: Files and Dirs are their paths
	tagged map[string]any // the same for the python shim: {"$path": …}, {"$struct": …}, {"$dict": …}
}

// place lays out a task's inputs.
func place(inputs map[string]plan.Value) (*layout, error) {
	l := &layout{plain: map[string]any{}, tagged: map[string]any{}}
	for _, name := range sortedKeys(inputs) {
		v := inputs[name]
		at := location{path: path.Join(exec.InputsPath, name)}
		if isArtifact(v) {
			at = at.below(artifactName(v))
		}
		var err error
		if l.plain[name], l.tagged[name], err = l.value(v, at); err != nil {
			return nil, fmt.Errorf("input %q: %w", name, err)
		}
	}
	return l, nil
}

// value returns both forms of v. It mounts a File or Dir at that place, and those in a container
// below it.
func (l *layout) value(v plan.Value, at location) (plain, tagged any, err error) {
	switch v := v.(type) {
	case float64:
		text, err := plan.MarshalValue(v) // so that it stays a float
		return json.Number(text), json.Number(text), err
	case plan.File, plan.Dir:
		if err := at.check(v); err != nil {
			return nil, nil, err
		}
		l.mounts = append(l.mounts, exec.Input{Path: at.path, Artifact: v})
		return at.path, map[string]any{"$path": at.path}, nil
	case []plan.Value:
		ps, ts := make([]any, len(v)), make([]any, len(v))
		side := sideBySide(numbered(v))
		for i, x := range v {
			if ps[i], ts[i], err = l.value(x, at.member(strconv.Itoa(i), x, side)); err != nil {
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

func (l *layout) members(m map[string]plan.Value, at location) (plain, tagged map[string]any, err error) {
	plain, tagged = make(map[string]any, len(m)), make(map[string]any, len(m))
	side := sideBySide(maps.All(m))
	for _, k := range sortedKeys(m) {
		if plain[k], tagged[k], err = l.value(m[k], at.member(k, m[k], side)); err != nil {
			return nil, nil, err
		}
	}
	return plain, tagged, nil
}

// location is where a value lies in the container.
type location struct {
	path string
	odd  bool   // a key above it can't be a file's name
	key  string // that key
}

// maxInputPath bounds the path of an input, in bytes. No system call takes a path of more than 4,095
// bytes, and an executor may have to put a directory of its own before it.
const maxInputPath = 3500

// check returns an error if an artifact can't lie there.
func (at location) check(v plan.Value) error {
	switch {
	case at.odd:
		return fmt.Errorf("a %s below the key %.80q, which can't be a file's name", plan.TypeName(v), at.key)
	case len(at.path) > maxInputPath:
		return fmt.Errorf("the path of %s %.80q has %d bytes, more than %d", plan.TypeName(v), artifactName(v), len(at.path), maxInputPath)
	}
	return nil
}

// below returns the place of a directory entry.
func (at location) below(name string) location {
	if !at.odd && !plan.ValidFileName(name) {
		at.odd, at.key = true, name
	}
	at.path += "/" + name
	return at
}

// member returns the place of a container's member. Artifacts lie side by side under their own
// names if they can, else each in a directory named by its key. A container has such a directory
// always.
func (at location) member(key string, v plan.Value, side bool) location {
	if !isArtifact(v) {
		return at.below(key)
	}
	if !side {
		at = at.below(key)
	}
	return at.below(artifactName(v))
}

// sideBySide reports whether the artifacts among a container's members can lie in one directory:
// no two have one name, nor has a container with artifacts that name as its key.
func sideBySide(members iter.Seq2[string, plan.Value]) bool {
	taken := map[string]bool{}
	for key, v := range members {
		name := key
		if isArtifact(v) {
			name = artifactName(v)
		} else if !holdsArtifact(v) {
			continue
		}
		if taken[name] {
			return false
		}
		taken[name] = true
	}
	return true
}

// numbered returns a list's members with their indices as keys.
func numbered(l []plan.Value) iter.Seq2[string, plan.Value] {
	return func(yield func(string, plan.Value) bool) {
		for i, v := range l {
			if !yield(strconv.Itoa(i), v) {
				return
			}
		}
	}
}

func isArtifact(v plan.Value) bool { return artifactName(v) != "" }

// artifactName returns the name of a File or Dir, and "" for another value.
func artifactName(v plan.Value) string {
	switch v := v.(type) {
	case plan.File:
		return v.Name
	case plan.Dir:
		return v.Name
	}
	return ""
}

// holdsArtifact reports whether a File or Dir is in v.
func holdsArtifact(v plan.Value) bool {
	switch v := v.(type) {
	case plan.File, plan.Dir:
		return true
	case []plan.Value:
		return slices.ContainsFunc(v, holdsArtifact)
	case map[string]plan.Value:
		return anyHolds(v)
	case plan.Struct:
		return anyHolds(v)
	}
	return false
}

func anyHolds(m map[string]plan.Value) bool {
	for _, v := range m {
		if holdsArtifact(v) {
			return true
		}
	}
	return false
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
