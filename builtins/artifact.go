package builtins

import (
	"path"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/site"
	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/builtins/value"
	"github.com/flytestar/flytestar/plan"
)

// Artifact is a File or Dir of the workspace.
type Artifact struct {
	Decl plan.Artifact // without its position
	Site site.Site
}

// newFile implements file(path). spec.md, "file and dir".
func (r *Registry) newFile(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return r.newArtifact(th, b, args, kwargs, false)
}

// newDir implements dir(path). With anything but a string it is Starlark's own dir. spec.md, "file
// and dir".
func (r *Registry) newDir(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) == 1 && len(kwargs) == 0 {
		if _, ok := args[0].(starlark.String); !ok {
			return starlark.Universe["dir"].(*starlark.Builtin).CallInternal(th, args, kwargs)
		}
	}
	return r.newArtifact(th, b, args, kwargs, true)
}

// newArtifact makes a File or Dir. Nothing looks at the workspace until the graph is checked.
func (r *Registry) newArtifact(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple, dir bool) (starlark.Value, error) {
	var p string
	if _, err := loading(th, b.Name()); err != nil {
		return nil, err
	}
	if err := unpack.Args(b.Name(), args, kwargs, "path", &p); err != nil {
		return nil, err
	}
	p, err := workspacePath(th, b.Name(), p)
	if err == nil && !plan.ValidFileName(path.Base(p)) {
		err = errorf("%q can't be the name of an input", path.Base(p)).WithHint("name a file or directory below the workspace's root")
	}
	if err != nil {
		return nil, unpack.About(b.Name(), err)
	}
	a := &Artifact{plan.Artifact{Path: p, Dir: dir}, site.Of(th)}
	if !r.made[a.Decl] {
		r.made[a.Decl] = true
		r.Artifacts = append(r.Artifacts, a)
	}
	return value.ToStarlark(a.Decl.Value()), nil
}
