package local_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/artifact"
	"github.com/flytestar/flytestar/exec/exectest"
	"github.com/flytestar/flytestar/exec/local"
	"github.com/flytestar/flytestar/plan"
)

// sandboxFunc is a sandbox that calls a function instead of running a container. The function gets
// the outputs directory.
type sandboxFunc func(ctx context.Context, c *exec.Container, outputs string) (*exec.Exit, error)

func (f sandboxFunc) Unpack(context.Context, []exec.Layer) error { return nil }

func (f sandboxFunc) Run(ctx context.Context, c *exec.Container) (*exec.Exit, error) {
	for _, m := range c.Mounts {
		if m.Target == exec.OutputsPath && m.Writable {
			return f(ctx, c, m.Source)
		}
	}
	return nil, errors.New("the container has no outputs directory that it can write to")
}

func openStore(t *testing.T, dir string) *artifact.Store {
	t.Helper()
	s, err := artifact.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// newExecutor returns an executor whose sandbox is a function, and the directory of its store.
func newExecutor(t *testing.T, img *exec.Image, f sandboxFunc) (*local.Executor, string) {
	dir := t.TempDir()
	e := &local.Executor{Sandbox: f, Images: exectest.Images{"sha256:i": img}, Store: openStore(t, dir)}
	t.Cleanup(func() {
		if left, err := filepath.Glob(filepath.Join(dir, "tmp", "*", "*")); err != nil || len(left) > 0 {
			t.Errorf("left in the scratch directory: %q, %v", left, err)
		}
	})
	return e, dir
}

// simple is an attempt that asks for nothing.
func simple() *exec.Attempt {
	return &exec.Attempt{
		Spec:    exec.Spec{Image: exec.ImageRef{Digest: "sha256:i"}, Args: []string{"true"}},
		Address: exec.Address{Task: "e.t"}, Log: new(bytes.Buffer),
	}
}

func TestExecutorContainer(t *testing.T) {
	img := &exec.Image{
		Layers: []exec.Layer{exectest.Layer("layer")},
		Env:    []string{"PATH=/opt/venv/bin:/bin", "A=image", "B=image"}, User: "worker:users",
	}
	var got *exec.Container
	var input []byte
	e, dir := newExecutor(t, img, func(_ context.Context, c *exec.Container, _ string) (*exec.Exit, error) {
		got = c
		_, err := c.Stdout.Write([]byte("said"))
		input, _ = os.ReadFile(filepath.Join(c.Mounts[0].Source, "f/x.txt"))
		return &exec.Exit{}, err
	})
	f, err := e.Store.PutFile(t.Context(), "f", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	files := []exec.File{{Path: exec.InputsJSON, Mode: 0o444, Data: []byte("{}")}}
	a := &exec.Attempt{
		Spec: exec.Spec{
			Image: exec.ImageRef{Digest: "sha256:i"}, Args: []string{"true"}, Env: []string{"B=attempt", "C="},
			Files: files, Inputs: []exec.Input{{Path: "/var/inputs/f/x.txt", Artifact: f}}, Network: true,
		},
		Address:   exec.Address{Run: "r", Action: "a", Number: 2, Task: "my_env.run_it"},
		Resources: plan.Resources{Memory: 1}, Log: &log,
	}
	res, err := e.Run(t.Context(), a)
	if err != nil || res.Code != 0 || len(res.Outputs) != 0 || log.String() != "said" {
		t.Fatalf("got %+v, %v; log %q", res, err, &log)
	}
	if want := []string{"PATH=/opt/venv/bin:/bin", "A=image", "B=attempt", "C="}; !reflect.DeepEqual(got.Env, want) {
		t.Errorf("environment %q, want %q", got.Env, want)
	}
	if got.Name != "my-env-run-it" || got.Workdir != "/var/work" || got.User != "worker:users" || !got.Network || got.Resource.Memory != 1 || got.Diff != nil {
		t.Errorf("got %+v", got)
	}
	if !reflect.DeepEqual(got.Layers, img.Layers) || !reflect.DeepEqual(got.Files, files) || !reflect.DeepEqual(got.Args, a.Args) {
		t.Errorf("got %+v", got)
	}
	in := got.Mounts[0]
	if in.Target != "/var/inputs" || in.Writable || !strings.HasPrefix(in.Source, dir) || string(input) != "x" {
		t.Errorf("input %+v, %q", in, input)
	}
	img.User, img.Workdir, a.User = "worker", "/app", "0"
	if _, err := e.Run(t.Context(), a); err != nil || got.User != "0" || got.Workdir != "/app" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// long is a long name for a directory.
var long = strings.Repeat("x", 210)

// makeDeep makes directories whose path is too long for one system call.
func makeDeep(dir, path string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	return errors.Join(root.MkdirAll(path[:len(path)-1], 0o755), root.Close())
}

// TestExecutorOutputs: whatever a container leaves, only files and directories are kept, and no
// link is followed.
func TestExecutorOutputs(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the host's"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, _ := newExecutor(t, new(exec.Image), func(_ context.Context, c *exec.Container, out string) (*exec.Exit, error) {
		if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o777 {
			t.Errorf("outputs: %v, %v", info, err)
		}
		if info, err := os.Stat(filepath.Dir(out)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("above outputs: %v, %v", info, err)
		}
		at := func(name string) string { return filepath.Join(out, name) }
		sock, err := net.Listen("unix", at("socket"))
		if err == nil {
			sock.(*net.UnixListener).SetUnlinkOnClose(false)
			err = sock.Close()
		}
		return &exec.Exit{}, errors.Join(err,
			os.WriteFile(at("fine"), []byte("fine"), 0o600),
			os.MkdirAll(at("dir/sub"), 0o755), os.WriteFile(at("dir/sub/x"), []byte("x"), 0o755),
			os.MkdirAll(at("bad/sub"), 0o755), os.Symlink(secret, at("bad/sub/link")), os.WriteFile(at("bad/x"), nil, 0o644),
			os.Symlink(secret, at("link")), os.Symlink("/", at("root")), os.Symlink("fine", at("inside")),
			syscall.Mkfifo(at("pipe"), 0o644), os.WriteFile(at("\xff"), nil, 0o644),
			os.MkdirAll(at("odd/a\xff/b"), 0o755), makeDeep(out, "deep/"+strings.Repeat(long+"/", 40)),
		)
	})
	res, err := e.Run(t.Context(), simple())
	if err != nil {
		t.Fatal(err)
	}
	fine, _ := res.Outputs["fine"].(plan.File)
	dir, _ := res.Outputs["dir"].(plan.Dir)
	if len(res.Outputs) != 2 || fine.Size != 4 || dir.Size != 1 {
		t.Errorf("kept %+v", res.Outputs)
	}
	slices.Sort(res.Refused)
	want := []string{
		`"\xff": its name isn't valid UTF-8`, `"odd/a\xff": its name isn't valid UTF-8`, "bad/sub/link: a symbolic link to " + secret + ", which is absolute",
		("deep/" + long + "/" + long)[:256] + "…: a path of 4219 bytes", "inside: a symbolic link to fine",
		"link: a symbolic link to " + secret, "pipe: a named pipe", "root: a symbolic link to /", "socket: a socket",
	}
	if !reflect.DeepEqual(res.Refused, want) {
		t.Errorf("refused %q, want %q", res.Refused, want)
	}
	path, err := e.Store.Path(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(path, "sub/x")); err != nil || info.Mode() != 0o555 {
		t.Errorf("an executable is kept as %v, %v", info, err)
	}
}

// TestExecutorFails: an attempt that failed leaves no outputs. One that couldn't be run is an
// error.
func TestExecutorFails(t *testing.T) {
	broken := errors.New("no namespaces")
	var exit *exec.Exit
	e, _ := newExecutor(t, new(exec.Image), func(ctx context.Context, c *exec.Container, out string) (*exec.Exit, error) {
		if err := os.WriteFile(filepath.Join(out, "x"), nil, 0o644); err != nil {
			return nil, err
		}
		if exit == nil {
			return nil, broken
		}
		return exit, ctx.Err()
	})
	a := simple()
	if _, err := e.Run(t.Context(), a); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	exit = &exec.Exit{Code: 137, Signal: "SIGKILL", OOM: true, MaxRSS: 5}
	if res, err := e.Run(t.Context(), a); err != nil || res.Exit != *exit || len(res.Outputs) != 0 {
		t.Errorf("got %+v, %v", res, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Run(ctx, a); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	a.Image.Digest = "sha256:unknown"
	if _, err := e.Run(t.Context(), a); err == nil {
		t.Error("an unknown image runs")
	}
	a.Image.Digest, a.Inputs = "sha256:i", []exec.Input{{Path: "/var/inputs/f", Artifact: plan.File{Name: "f", Digest: plan.Digest("sha256:" + strings.Repeat("b", 64))}}}
	if _, err := e.Run(t.Context(), a); err == nil || !strings.Contains(err.Error(), "isn't in the artifact store") {
		t.Errorf("an input that isn't there: %v", err)
	}
}
