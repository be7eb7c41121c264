package image_test

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

// box is a small [exec.Sandbox] for this package's tests: an overlay of the layers and
// chroot, as root. It isolates little; it does run what builds run, and tells what changed.
// exec/local has the real one.
type box struct {
	dir string

	mu       sync.Mutex
	unpacked map[string]string // directories by diff id
}

func newSandbox(home string) (exec.Sandbox, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the tests' sandbox needs root")
	}
	b := &box{dir: filepath.Join(home, "box"), unpacked: map[string]string{}}
	return b, os.MkdirAll(b.dir, 0o755)
}

// Run implements [exec.Sandbox].
func (b *box) Run(ctx context.Context, c *exec.Container) (*exec.Exit, error) {
	tmp, err := os.MkdirTemp(b.dir, "run")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	var mounts []string
	defer func() {
		for i := len(mounts) - 1; i >= 0; i-- {
			syscall.Unmount(mounts[i], syscall.MNT_DETACH)
		}
	}()
	mount := func(source, target, kind string, flags uintptr, data string) error {
		if err := syscall.Mount(source, target, kind, flags, data); err != nil {
			return fmt.Errorf("mount %s: %w", target, err)
		}
		mounts = append(mounts, target)
		return nil
	}
	if err := b.mountRoot(tmp, c, mount); err != nil {
		return nil, err
	}
	exit, err := start(ctx, filepath.Join(tmp, "root"), c)
	if err != nil || exit.Code != 0 || c.Diff == nil {
		return exit, err
	}
	return exit, difference(filepath.Join(tmp, "upper"), c.Diff)
}

// mountRoot mounts the container's tree at tmp/root. Mount points are the lowest layer, so that they aren't part of the difference.
func (b *box) mountRoot(tmp string, c *exec.Container, mount func(source, target, kind string, flags uintptr, data string) error) error {
	points, root := filepath.Join(tmp, "points"), filepath.Join(tmp, "root")
	lower := points
	for _, l := range c.Layers {
		dir, err := b.unpack(l)
		if err != nil {
			return err
		}
		lower = dir + ":" + lower
	}
	binds := []exec.Mount{{Source: "/dev", Target: "/dev"}}
	if c.Network {
		binds = append(binds, exec.Mount{Source: "/etc/resolv.conf", Target: "/etc/resolv.conf"})
	}
	for i, f := range c.Files {
		name := filepath.Join(tmp, fmt.Sprint("file", i))
		if err := os.WriteFile(name, f.Data, fs.FileMode(f.Mode)); err != nil {
			return err
		}
		binds = append(binds, exec.Mount{Source: name, Target: f.Path})
	}
	binds = append(binds, c.Mounts...)
	for _, m := range append(binds, exec.Mount{Source: "/proc", Target: "/proc"}) {
		if err := point(m.Source, points+m.Target); err != nil {
			return err
		}
	}
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(tmp, d), 0o755); err != nil {
			return err
		}
	}
	options := "volatile,lowerdir=" + lower + ",upperdir=" + tmp + "/upper,workdir=" + tmp + "/work"
	if err := mount("overlay", root, "overlay", 0, options); err != nil {
		return err
	}
	for _, m := range binds {
		if err := mount(m.Source, root+m.Target, "", syscall.MS_BIND, ""); err != nil {
			return err
		}
	}
	if err := mount("proc", root+"/proc", "proc", 0, ""); err != nil {
		return err
	}
	return os.MkdirAll(filepath.Join(root, c.Workdir), 0o755)
}

// point makes a mount point for source.
func point(source, target string) error {
	fi, err := os.Stat(source)
	if err != nil {
		return err
	}
	if fi.IsDir() {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, nil, 0o644)
}

// unpack unpacks a layer, once.
func (b *box) unpack(l exec.Layer) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if dir := b.unpacked[l.DiffID()]; dir != "" {
		return dir, nil
	}
	dir := filepath.Join(b.dir, l.DiffID()[len("sha256:"):][:16])
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
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		gone, ok := strings.CutPrefix(filepath.Base(name), ".wh.")
		if err != nil || !ok {
			return err
		}
		return errors.Join(os.Remove(name), syscall.Mknod(filepath.Join(filepath.Dir(name), gone), syscall.S_IFCHR, 0))
	})
	b.unpacked[l.DiffID()] = dir
	return dir, err
}

// start runs the container's process to its end.
func start(ctx context.Context, root string, c *exec.Container) (*exec.Exit, error) {
	cmd := osexec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Path, cmd.Err = c.Args[0], nil // not looked up on this machine's PATH
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = c.Env, c.Stdout, c.Stderr, filepath.Join("/", c.Workdir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS}
	if !c.Network {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var failed *osexec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return &exec.Exit{Code: 128 + int(status.Signal()), Signal: status.Signal().String()}, nil
	}
	return &exec.Exit{Code: status.ExitStatus()}, nil
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
		rel := strings.TrimPrefix(name, upper+"/")
		if info.Mode()&fs.ModeCharDevice != 0 && info.Sys().(*syscall.Stat_t).Rdev == 0 {
			return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: filepath.Join(filepath.Dir(rel), ".wh."+filepath.Base(rel))})
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
		hdr.Name = rel
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
