package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/plan"
	infiles "github.com/flytestar/flytestar/workspace"
)

// source is an entry of the workspace that goes into a layer.
type source struct {
	src  string // path in the workspace; empty for directories
	dst  string // path in the image, relative, its links resolved
	mode int64  // permission bits
	link string // target, for a symbolic link
	dir  bool
	size int64
	sum  string // hex SHA-256 of a file's content
}

// filesLayer returns the layer of a file or folder step.
func (j *job) filesLayer(ctx context.Context, st *state, step plan.Step) (oci.Layer, error) {
	f, err := j.store.layout.Forest(st.layers)
	if err != nil {
		return oci.Layer{}, err
	}
	var list []source
	if step.Kind == plan.StepFile {
		list, err = j.fileSource(f, st.config.WorkingDir, step)
	} else {
		list, err = j.folderSources(ctx, f, st.config.WorkingDir, step)
	}
	if err != nil {
		return oci.Layer{}, buildError(step.Pos, err)
	}
	for i := range list {
		if err := j.digestSource(ctx, &list[i]); err != nil {
			return oci.Layer{}, buildError(step.Pos, err)
		}
	}
	k := memo.NewKey("files 1").Int(int64(len(list)))
	for _, s := range list {
		k.Str(s.dst).Int(s.mode).Str(s.link).Bool(s.dir).Str(s.sum)
		names, dirs := f.Parents(s.dst)
		k.List(names)
		for _, d := range dirs {
			k.Int(d.Mode).Int(int64(d.UID)).Int(int64(d.GID))
		}
	}
	return j.layer(ctx, k, func() (oci.Layer, error) {
		return j.store.layout.WriteLayer(ctx, func(w *oci.LayerWriter) error {
			for _, s := range list {
				if err := j.writeSource(w, f, s); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// destination makes dst absolute and clean.
func destination(workdir, dst string) string {
	if path.IsAbs(dst) {
		return path.Clean(dst)
	}
	return path.Join("/", workdir, dst)
}

func (b *Builder) fileSource(f oci.Forest, workdir string, step plan.Step) ([]source, error) {
	dst := destination(workdir, step.Dst)
	if strings.HasSuffix(step.Dst, "/") {
		dst = path.Join(dst, path.Base(step.Src))
	}
	dir, err := f.Resolve(path.Dir(dst))
	if err != nil {
		return nil, err
	}
	dst = path.Join(dir, path.Base(dst))
	if _, ok := f.Dir(dst); ok || dst == "." {
		e := diag.Errorf(step.Pos, diag.Build, "/%s is a directory of the image", dst)
		return nil, e.WithHint("to put %s into it, end the destination with \"/\"", step.Src)
	}
	return []source{{src: step.Src, dst: dst}}, nil
}

// folderSources lists the members of a folder as they go into the image, sorted by name.
func (b *Builder) folderSources(ctx context.Context, f oci.Forest, workdir string, step plan.Step) ([]source, error) {
	members, err := infiles.Folder(infiles.FS(b.opts.Workspace, b.opts.Home), step.Src, step.Ignore)
	if err != nil {
		return nil, err
	}
	root := destination(workdir, step.Dst)
	dst, err := f.Resolve(root)
	if err != nil {
		return nil, err
	}
	list := []source{{dst: dst, dir: true, mode: 0o755}}
	if dst == "." {
		list = nil
	}
	for _, m := range members {
		s, err := folderMember(f, step.Src, root, m)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, ctx.Err()
}

func folderMember(f oci.Forest, folder, root string, m infiles.Entry) (source, error) {
	dst := path.Join(root, m.Path)
	if m.Dir {
		dst, err := f.Resolve(dst)
		return source{dst: dst, dir: true, mode: 0o755}, err
	}
	dir, err := f.Resolve(path.Dir(dst))
	if err != nil {
		return source{}, err
	}
	s := source{src: path.Join(folder, m.Path), dst: path.Join(dir, path.Base(dst)), link: m.Link, mode: 0o777}
	if _, ok := f.Dir(s.dst); ok {
		return s, fmt.Errorf("%s would replace /%s, a directory of the image", s.src, s.dst)
	}
	return s, nil
}

// openSource opens a regular file of the workspace.
func (b *Builder) openSource(name string) (*os.File, fs.FileInfo, error) {
	// The file was checked before, but a FIFO may have taken its place: without O_NONBLOCK, opening
	// that would block for ever.
	file, err := b.opts.Workspace.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	fi, err := file.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s isn't a regular file", name)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, fi, nil
}

// digestSource fills in what depends on a file's content and mode.
func (b *Builder) digestSource(ctx context.Context, s *source) error {
	if s.dir || s.link != "" {
		return nil
	}
	file, fi, err := b.openSource(s.src)
	if err != nil {
		return err
	}
	defer file.Close()
	h := sha256.New()
	if s.size, err = io.Copy(h, exec.Cancellable(ctx, file)); err != nil {
		return err
	}
	s.sum, s.mode = hex.EncodeToString(h.Sum(nil)), 0o644
	if fi.Mode()&0o100 != 0 {
		s.mode = 0o755
	}
	return nil
}

// writeSource writes one entry, after the directories above it.
func (b *Builder) writeSource(w *oci.LayerWriter, f oci.Forest, s source) error {
	names, dirs := f.Parents(s.dst)
	for i, n := range names {
		if err := w.AddDir(n, dirs[i]); err != nil {
			return err
		}
	}
	hdr := &tar.Header{Name: s.dst, Mode: s.mode, ModTime: oci.FileTime}
	switch {
	case s.dir:
		d, ok := f.Dir(s.dst)
		if !ok {
			d = oci.DirEntry{Mode: s.mode}
		}
		return w.AddDir(s.dst, d)
	case s.link != "":
		hdr.Typeflag, hdr.Linkname = tar.TypeSymlink, s.link
		return w.Add(hdr, nil)
	}
	file, _, err := b.openSource(s.src)
	if err != nil {
		return err
	}
	defer file.Close()
	hdr.Typeflag, hdr.Size = tar.TypeReg, s.size
	h := sha256.New()
	if err := w.Add(hdr, io.TeeReader(file, h)); err != nil {
		return err
	}
	if s.size > 0 && hex.EncodeToString(h.Sum(nil)) != s.sum {
		return fmt.Errorf("%s changed while it was read", s.src)
	}
	return nil
}
