package debian_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/flytestar/flytestar/exec"
)

// box is a small [exec.Sandbox] for this package's tests: an overlay of the
// layers, chroot and namespaces, as root. It isolates little, but it really runs
// what a base needs, and tells what changed. exec/local has the real one.
type box struct {
	dir      string
	mu       sync.Mutex
	unpacked map[string]string // directories by diff id
}

func newSandbox(dir string) (exec.Sandbox, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the tests' sandbox needs root")
	}
	return &box{dir: dir, unpacked: map[string]string{}}, os.MkdirAll(dir, 0o755)
}

// Run implements [exec.Sandbox].
func (b *box) Run(ctx context.Context, c *exec.Container) (_ *exec.Exit, err error) {
	tmp, err := os.MkdirTemp(b.dir, "run")
	if err != nil {
		return nil, err
	}
	root := filepath.Join(tmp, "root")
	mounts, err := b.mount(tmp, root, c)
	defer func() {
		for i := len(mounts) - 1; i >= 0; i-- {
			err = errors.Join(err, syscall.Unmount(mounts[i], syscall.MNT_DETACH))
		}
		err = errors.Join(err, os.RemoveAll(tmp))
	}()
	if err != nil {
		return nil, err
	}
	cmd := osexec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = c.Env, c.Stdout, c.Stderr, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET}
	failed := (*osexec.ExitError)(nil)
	switch err := cmd.Run(); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &failed):
		return &exec.Exit{Code: failed.ExitCode()}, nil
	case err != nil:
		return nil, err
	case c.Diff != nil:
		return &exec.Exit{}, difference(filepath.Join(tmp, "upper"), c.Diff)
	}
	return &exec.Exit{}, nil
}

// mount mounts the container's tree at root. It returns what it mounted, on errors too.
func (b *box) mount(tmp, root string, c *exec.Container) (mounts []string, err error) {
	var lower []string
	for _, l := range c.Layers {
		dir, err := b.unpack(l)
		if err != nil {
			return nil, err
		}
		lower = append([]string{dir}, lower...)
	}
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(tmp, d), 0o755); err != nil {
			return nil, err
		}
	}
	mount := func(source, target, kind string, flags uintptr, data string) {
		if err == nil {
			err = os.NewSyscallError("mount "+target, syscall.Mount(source, target, kind, flags, data))
		}
		if err == nil {
			mounts = append(mounts, target)
		}
	}
	mount("overlay", root, "overlay", 0, fmt.Sprintf("volatile,lowerdir=%s,upperdir=%s/upper,workdir=%[2]s/work", strings.Join(lower, ":"), tmp))
	mount("proc", root+"/proc", "proc", 0, "")
	mount("/dev", root+"/dev", "", syscall.MS_BIND, "")
	for i, f := range c.Files {
		name := filepath.Join(tmp, fmt.Sprint("file", i))
		if err := os.WriteFile(name, f.Data, fs.FileMode(f.Mode)); err != nil {
			return mounts, err
		}
		mount(name, root+f.Path, "", syscall.MS_BIND, "")
	}
	return mounts, err
}

// unpack unpacks a layer, once.
func (b *box) unpack(l exec.Layer) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if dir := b.unpacked[l.DiffID()]; dir != "" {
		return dir, nil
	}
	dir := filepath.Join(b.dir, strings.TrimPrefix(l.DiffID(), "sha256:")[:16])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	r, err := l.Uncompressed()
	if err != nil {
		return "", err
	}
	defer r.Close()
	cmd := osexec.Command("tar", "-C", dir, "--numeric-owner", "-xpf", "-")
	cmd.Stdin = r
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("tar: %w: %s", err, out)
	}
	b.unpacked[l.DiffID()] = dir
	return dir, nil
}

// difference writes an overlay's upper directory as a layer.
func difference(upper string, w io.Writer) error {
	tw := tar.NewWriter(w)
	err := filepath.WalkDir(upper, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == upper {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(name); err != nil {
				return err
			}
		}
		hdr, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err
		}
		hdr.Name = strings.TrimPrefix(name, upper+"/")
		if hdr.Typeflag == tar.TypeChar && hdr.Devmajor == 0 && hdr.Devminor == 0 {
			dir, file := filepath.Split(hdr.Name)
			hdr = &tar.Header{Typeflag: tar.TypeReg, Name: dir + ".wh." + file}
		}
		if err := tw.WriteHeader(hdr); err != nil || !info.Mode().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(tw, f)
		return err
	})
	return errors.Join(err, tw.Close())
}
