package local

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// collect puts the contents of dir into the store, by name, and lists what it refuses. It leaves out
// what a strict spec doesn't declare. The task is dead by now, but what it left may be links to
// anywhere. So no link is followed.
func collect(ctx context.Context, s exec.Store, dir string, spec *exec.Spec) (outputs map[string]plan.Value, refused []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	outputs = map[string]plan.Value{}
	for _, e := range entries {
		if spec.Strict && !declares(spec, e.Name()) {
			continue
		}
		v, bad, err := keep(ctx, s, root, e.Name(), e.Name(), e)
		if err != nil {
			return nil, nil, err
		}
		refused = append(refused, bad...)
		if v != nil {
			outputs[e.Name()] = v
		}
	}
	return outputs, refused, nil
}

// declares reports whether an output of spec is the entry of that name.
func declares(spec *exec.Spec, name string) bool {
	return slices.ContainsFunc(spec.Outputs, func(p plan.Param) bool { return p.Name == name && !p.Stdout && p.Glob == "" })
}

// keep puts the entry at a path into the store under a name, unless the entry, or something in it, can't be kept.
func keep(ctx context.Context, s exec.Store, root *os.Root, at, name string, e fs.DirEntry) (v plan.Value, refused []string, err error) {
	if bad := unfit(at, e.Type()); bad != "" {
		if target, err := root.Readlink(at); err == nil && utf8.ValidString(target) {
			bad += " to " + target
		}
		return nil, []string{bad}, nil
	}
	if !e.IsDir() {
		f, err := root.Open(at)
		if err != nil {
			return nil, nil, err
		}
		defer f.Close()
		v, err := s.PutFile(ctx, name, f)
		return v, nil, err
	}
	tree, refused, err := members(ctx, root, at)
	if err != nil || len(refused) > 0 {
		return nil, refused, err
	}
	v, err = s.PutDir(ctx, name, tree)
	return v, nil, err
}

// Bounds of an output that is a directory, which this process has in memory as a list.
const (
	maxEntries = 1_000_000
	maxPaths   = 128 << 20 // bytes of all paths
	maxRefused = 100       // things that can't be kept: further ones aren't listed
)

// members lists what is below a directory of root. It ends with ctx.
func members(ctx context.Context, root *os.Root, dir string) (tree []exec.Entry, refused []string, err error) {
	bytes := 0
	err = fs.WalkDir(root.FS(), dir, func(p string, d fs.DirEntry, err error) error {
		switch bytes += len(p); {
		case err != nil || p == dir:
			return err
		case len(tree) == maxEntries || bytes > maxPaths:
			refused = append(refused, fmt.Sprintf("%s: a directory with more than %d entries, or %d bytes of paths", dir, maxEntries, maxPaths))
			return fs.SkipAll
		case len(refused) == maxRefused:
			return fs.SkipAll
		case ctx.Err() != nil:
			return ctx.Err()
		}
		path, bad := strings.TrimPrefix(p, dir+"/"), unfit(p, d.Type()&^fs.ModeSymlink)
		if bad == "" && !exec.ValidPath(path) { // its names are valid, so it can only be too long
			bad = fmt.Sprintf("%s…: a path of %d bytes", strings.ToValidUTF8(p[:256], ""), len(path))
		}
		if bad != "" {
			refused = append(refused, bad)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := exec.Entry{Path: path, Dir: d.IsDir(), Executable: info.Mode()&0o111 != 0}
		switch {
		case d.Type() == fs.ModeSymlink:
			e.Executable = false
			e.Link, err = root.Readlink(p)
		case !d.IsDir():
			e.Open = func() (io.ReadCloser, error) { return root.Open(p) }
		}
		tree = append(tree, e)
		return err
	})
	for _, bad := range exec.BadLinks(tree) {
		if len(refused) < maxRefused {
			refused = append(refused, dir+"/"+bad)
		}
	}
	return tree, refused, err
}

// unfit returns why an entry can't be kept, or "" if it can.
func unfit(path string, t fs.FileMode) string {
	if !utf8.ValidString(path) {
		return fmt.Sprintf("%q: its name isn't valid UTF-8", path)
	}
	what := ""
	switch t.Type() {
	case 0, fs.ModeDir:
		return ""
	case fs.ModeSymlink:
		what = "a symbolic link"
	case fs.ModeNamedPipe:
		what = "a named pipe"
	case fs.ModeSocket:
		what = "a socket"
	default:
		what = "a device"
	}
	return path + ": " + what
}
