package value

import (
	"context"
	"fmt"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/plan"
)

// bodyLocal is the key of the thread-local that holds the [Body] that the thread evaluates.
const bodyLocal = "flytestar.body"

// Body is the evaluation of a task's function.
type Body interface {
	Host() plan.Host // has the content of artifacts
	MaxValue() int64 // bytes of a value that passes between tasks, encoded
}

// Enter makes th the thread that evaluates b.
func Enter(th *starlark.Thread, b Body) { th.SetLocal(bodyLocal, b) }

// BodyOf returns the body that th evaluates. If th loads a module instead, its error says that what
// can't be called then.
func BodyOf(th *starlark.Thread, what string) (Body, error) {
	if b, ok := th.Local(bodyLocal).(Body); ok {
		return b, nil
	}
	return nil, errorf("%s can't be called while a module loads", what).
		WithHint("call it in the function of a task")
}

// File is a file in the artifact store or of the workspace. spec.md, "Bodies".
type File struct{ Ref plan.File }

// Dir is a directory in the artifact store or of the workspace. spec.md, "Bodies".
type Dir struct{ Ref plan.Dir }

var (
	_ starlark.HasAttrs   = File{}
	_ starlark.Comparable = File{}
	_ starlark.HasAttrs   = Dir{}
	_ starlark.Comparable = Dir{}
)

// String returns the file's name and size, or its path in the workspace.
func (f File) String() string { return artifactString("File", f.Ref) }

// Type returns "File".
func (f File) Type() string { return "File" }

// Freeze does nothing: Files are immutable.
func (f File) Freeze() {}

// Truth returns true.
func (f File) Truth() starlark.Bool { return true }

// Hash returns a hash of the digest or the path.
func (f File) Hash() (uint32, error) {
	return starlark.String(string(f.Ref.Digest) + f.Ref.Workspace).Hash()
}

// CompareSameType compares by name and content, or by path in the workspace. There is no order.
func (f File) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	return compareArtifacts(op, f.Ref, y.(File).Ref, "File")
}

// Attr implements starlark.HasAttrs.
func (f File) Attr(name string) (starlark.Value, error) {
	if name == "read" {
		return starlark.NewBuiltin("read", readFile).BindReceiver(f), nil
	}
	return artifactAttr(name, f.Ref)
}

// AttrNames implements starlark.HasAttrs.
func (f File) AttrNames() []string { return []string{"digest", "name", "read", "size"} }

// String returns the directory's name and size, or its path in the workspace.
func (d Dir) String() string { return artifactString("Dir", plan.File(d.Ref)) }

// Type returns "Dir".
func (d Dir) Type() string { return "Dir" }

// Freeze does nothing: Dirs are immutable.
func (d Dir) Freeze() {}

// Truth returns true.
func (d Dir) Truth() starlark.Bool { return true }

// Hash returns a hash of the digest or the path.
func (d Dir) Hash() (uint32, error) {
	return starlark.String(string(d.Ref.Digest) + d.Ref.Workspace).Hash()
}

// CompareSameType compares by name and content, or by path in the workspace. There is no order.
func (d Dir) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	return compareArtifacts(op, plan.File(d.Ref), plan.File(y.(Dir).Ref), "Dir")
}

// Attr implements starlark.HasAttrs.
func (d Dir) Attr(name string) (starlark.Value, error) {
	if name == "files" {
		return starlark.NewBuiltin("files", filesOfDir).BindReceiver(d), nil
	}
	return artifactAttr(name, plan.File(d.Ref))
}

// AttrNames implements starlark.HasAttrs.
func (d Dir) AttrNames() []string { return []string{"digest", "files", "name", "size"} }

func artifactString(what string, f plan.File) string {
	if f.Workspace != "" {
		return fmt.Sprintf("<%s %q of the workspace>", what, f.Workspace)
	}
	return fmt.Sprintf("<%s %q, %d bytes>", what, f.Name, f.Size)
}

func compareArtifacts(op syntax.Token, x, y plan.File, what string) (bool, error) {
	switch {
	case op != syntax.EQL && op != syntax.NEQ:
	case (x.Workspace == "") != (y.Workspace == ""):
		return false, unread(plan.File{Workspace: x.Workspace + y.Workspace}, "content")
	default:
		return (x == y) == (op == syntax.EQL), nil
	}
	return false, errorf("a %s can't be ordered", what).WithHint("compare names or digests")
}

func artifactAttr(attr string, f plan.File) (starlark.Value, error) {
	switch attr {
	case "name":
		return starlark.String(f.Name), nil
	case "digest":
		if f.Workspace != "" {
			return nil, unread(f, attr)
		}
		return starlark.String(f.Digest), nil
	case "size":
		if f.Workspace != "" {
			return nil, unread(f, attr)
		}
		return starlark.MakeInt64(f.Size), nil
	}
	return nil, nil
}

// unread is the error about what only the run knows of a File or Dir of the workspace.
func unread(f plan.File, what string) error {
	return errorf("the %s of %s isn't known here, since modules don't read files", what, f.Workspace).
		WithHint("make it the default of an input: the task's function gets it with its content")
}

// maxRead is the default of max_bytes.
const maxRead = 1 << 20

// readFile implements File.read. spec.md, "Bodies".
func readFile(th *starlark.Thread, fn *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	limit := unpack.Count(maxRead)
	if err := unpack.Args(fn.Name(), args, kwargs, "max_bytes?", &limit); err != nil {
		return nil, err
	}
	b, err := BodyOf(th, "File.read")
	if err != nil {
		return nil, err
	}
	f := fn.Receiver().(File)
	if f.Ref.Size > int64(limit) {
		return nil, errorf("%s has %d bytes, more than %d", f.Ref.Name, f.Ref.Size, limit).
			WithHint("read(max_bytes = %d), or leave it to a task in a container", f.Ref.Size)
	}
	data, err := b.Host().Read(context.Background(), f.Ref, int64(limit))
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(data) {
		return nil, errorf("%s isn't valid UTF-8", f.Ref.Name).WithHint("leave it to a task in a container")
	}
	return starlark.String(data), nil
}

// filesOfDir implements Dir.files. spec.md, "Bodies".
func filesOfDir(th *starlark.Thread, fn *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	pattern := "*"
	if err := unpack.Args(fn.Name(), args, kwargs, "pattern?", &pattern); err != nil {
		return nil, err
	}
	b, err := BodyOf(th, "Dir.files")
	if err != nil {
		return nil, err
	}
	refs, err := b.Host().Files(context.Background(), fn.Receiver().(Dir).Ref, pattern)
	if err != nil {
		return nil, err
	}
	th.Steps += uint64(len(refs))
	files := make([]starlark.Value, len(refs))
	for i, f := range refs {
		files[i] = File{f}
	}
	return starlark.NewList(files), nil
}

// fileFromText implements File.from_text. spec.md, "Bodies".
func fileFromText(th *starlark.Thread, fn *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name, text string
	if err := unpack.Args(fn.Name(), args, kwargs, "name", &name, "text", &text); err != nil {
		return nil, err
	}
	b, err := BodyOf(th, "File.from_text")
	if err != nil {
		return nil, err
	}
	switch {
	case !plan.ValidFileName(name):
		return nil, errorf("%q can't name a file", name)
	case int64(len(text)) > b.MaxValue():
		return nil, plan.ErrValue.Errorf("the text has %d bytes, more than %d", len(text), b.MaxValue())
	case !utf8.ValidString(text):
		return nil, errorf("the text isn't valid UTF-8")
	}
	ref, err := b.Host().Text(context.Background(), name, text)
	if err != nil {
		return nil, err
	}
	return File{ref}, nil
}
