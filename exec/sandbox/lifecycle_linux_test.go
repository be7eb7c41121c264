package sandbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/exectest"
	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/exec/sandbox/sandboxtest"
	"github.com/flytestar/flytestar/plan"
)

func init() { roles["engine"] = engine }

// engine is a process that runs a container until it is killed. Its arguments are its home, a
// layer, and the script for the container.
func engine() {
	s, err := sandbox.New(sandbox.Options{Home: os.Args[1], Runtime: os.Getenv("FLYTESTAR_TEST_RUNTIME")})
	if err != nil {
		panic(err)
	}
	layer, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	_, err = s.Run(context.Background(), &exec.Container{
		Name: "test", Layers: []exec.Layer{exectest.Layer(layer)}, Args: []string{"sh", "-c", os.Args[3]}, Env: []string{"PATH=/bin"}, Stdout: os.Stdout,
	})
	panic(fmt.Sprint("the engine outlived its container: ", err))
}

// TestEngineKilled: no process of a container outlives an engine that is killed. The next sandbox
// removes what is left on disk and in cgroups.
func TestEngineKilled(t *testing.T) {
	for _, runtime := range []string{"", "runc"} {
		t.Run("runtime "+runtime, func(t *testing.T) {
			sandboxtest.Need(t)
			if runtime != "" {
				sandboxtest.Program(t)
				if _, err := osexec.LookPath(runtime); err != nil {
					t.Skip(err)
				}
			}
			engineKilled(t, runtime)
		})
	}
}

func engineKilled(t *testing.T, runtime string) {
	home := t.TempDir()
	layer := filepath.Join(t.TempDir(), "layer")
	must(t, os.WriteFile(layer, exectest.Image(t).Layers[0].(exectest.Layer), 0o600))
	marker := fmt.Sprintf("%d%d", os.Getpid(), time.Now().UnixNano()%1e9)
	exe, err := os.Executable()
	must(t, err)
	text := fmt.Sprintf("trap '' TERM HUP; sleep %s & setsid sleep %s & echo started; wait", marker, marker)
	cmd := osexec.Command(exe, home, layer, text)
	cmd.Env = append(os.Environ(), "FLYTESTAR_TEST_ROLE=engine", "FLYTESTAR_TEST_RUNTIME="+runtime)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "started\n" {
		cmd.Process.Kill()
		t.Fatalf("got %q, %v", line, err)
	}
	eventually(t, "the container's processes can be seen", func() bool { return len(running(t, marker)) >= 2 })
	must(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil {
		t.Error("the engine wasn't killed")
	}
	eventually(t, "the container's processes die", func() bool { return len(running(t, marker)) == 0 })
	if left := sandboxtest.Left(t, home, cmd.Process.Pid); len(left) == 0 {
		t.Error("nothing is left to sweep; the test can't tell whether it is")
	}
	if _, err := sandbox.New(sandbox.Options{Home: home, Runtime: runtime}); err != nil {
		t.Fatal(err)
	}
	if left := sandboxtest.Left(t, home, cmd.Process.Pid); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// running lists the sleeping processes of this machine that have a marker in their arguments.
func running(t testing.TB, marker string) []string {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	var found []string
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(data), "sleep") && strings.Contains(string(data), marker) {
			found = append(found, name)
		}
	}
	return found
}

// whileRunning calls f while a container runs, then lets the container run a script, and returns
// how it ended.
func whileRunning(t *testing.T, s *sandbox.Sandbox, c *exec.Container, text string, f func()) (*exec.Exit, string) {
	t.Helper()
	signals := t.TempDir()
	c.Args = []string{"/bin/sh", "-c", "touch /signals/started; while ! test -e /signals/go; do sleep 0.01; done; " + text}
	c.Mounts = append(c.Mounts, exec.Mount{Source: signals, Target: "/signals", Writable: true})
	go func() {
		defer os.WriteFile(filepath.Join(signals, "go"), nil, 0o644)
		for t.Context().Err() == nil {
			if _, err := os.Stat(filepath.Join(signals, "started")); err == nil {
				f()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return run(t, s, c)
}

// TestSweepSpares: a sweep removes nothing that running containers use, of this process or others.
func TestSweepSpares(t *testing.T) {
	home := t.TempDir()
	s, other := sandboxtest.New(t, sandbox.Options{Home: home}), sandboxtest.New(t, sandbox.Options{Home: home})
	swept := false
	exit, out := whileRunning(t, s, script(t, ""), "echo x > /x && cat /x", func() {
		what, err := other.Sweep(t.Context())
		if err != nil || len(what.Cgroups)+len(what.Scratch) > 0 {
			t.Errorf("swept %+v, %v", what, err)
		}
		swept = true
	})
	if exit.Code != 0 || out != "x\n" || !swept {
		t.Errorf("got %+v %q, swept: %v", exit, out, swept)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestConcurrent: a hundred containers at once.
func TestConcurrent(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			c := script(t, fmt.Sprintf("echo %d > /x; sleep 0.5; cat /x", i))
			if exit, out := run(t, s, c); exit.Code != 0 || out != fmt.Sprintf("%d\n", i) {
				t.Errorf("%d: %+v %q", i, exit, out)
			}
		})
	}
	wg.Wait()
}

// TestManyLayers: a container may have as many layers as the kernel takes. Upper ones cover lower
// ones.
func TestManyLayers(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	c := script(t, "cat /which; ls /many | wc -l; test -e /many/0 || echo gone")
	for i := 1; i < 499; i++ {
		files := map[string]string{"which": fmt.Sprintln(i), fmt.Sprintf("many/%d", i): ""}
		if i == 498 {
			files["many/.wh.0"], files["many/.wh.1"] = "", ""
		}
		if i == 1 {
			files["many/0"] = ""
		}
		c.Layers = append(c.Layers, layerOf(t, files))
	}
	exit, out := run(t, s, c)
	if exit.Code != 0 || out != "498\n497\ngone\n" {
		t.Errorf("got %+v %q", exit, out)
	}
	c.Layers = append(c.Layers, c.Layers[1:3]...)
	_, err := s.Run(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "501 layers") {
		t.Errorf("one layer too many: %v", err)
	}
}

// TestCancelEarly: nothing stays behind, at whatever moment the context ends. sandboxtest.New
// checks that.
func TestCancelEarly(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	run(t, s, script(t, "true"))
	for i := range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*200*time.Microsecond)
		_, err := s.Run(ctx, script(t, "sleep 10"))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %d: %v", i, err)
		}
	}
}

// TestGrace: the image's signal is sent, and a process that doesn't heed it dies when its moment is
// over.
func TestGrace(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	for _, tt := range []struct{ signal, trap, want string }{
		{"SIGQUIT", "trap 'echo quit; exit' QUIT", "up\nquit\n"}, {"SIGRTMIN+3", "trap 'echo real time; exit' 37", "up\nreal time\n"},
		{"12", "trap 'echo twelve; exit' USR2", "up\ntwelve\n"}, {"nonsense", "trap 'echo term; exit' TERM", "up\nterm\n"},
		{"SIGTERM", "trap '' TERM", "up\n"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		c := script(t, tt.trap+"; echo up; while :; do sleep 0.01; done")
		c.StopSignal, c.Grace = tt.signal, time.Minute
		if tt.want == "up\n" {
			c.Grace = 50 * time.Millisecond
		}
		var log strings.Builder
		c.Stdout = writerFunc(func(p []byte) (int, error) { cancel(); return log.Write(p) })
		if exit, err := s.Run(ctx, c); !errors.Is(err, context.Canceled) || log.String() != tt.want {
			t.Errorf("%s: got %+v, %v; log %q", tt.signal, exit, err, &log)
		}
	}
}

// TestOutputFails: if the writer of the output fails, the container ends with that error.
func TestOutputFails(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	c := script(t, "while :; do echo x; done")
	full := errors.New("no space")
	c.Stdout = writerFunc(func([]byte) (int, error) { return 0, full })
	if _, err := s.Run(t.Context(), c); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

// TestRefused: a container that can't be run gives a clear error before anything runs.
func TestRefused(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	for name, tt := range map[string]struct {
		change func(*exec.Container)
		class  diag.Class
		want   string
	}{
		"no command":  {func(c *exec.Container) { c.Args = nil }, diag.System, "without a command"},
		"disk":        {func(c *exec.Container) { c.Resource = plan.Resources{Disk: 1} }, diag.System, "disk"},
		"gpu":         {func(c *exec.Container) { c.Resource = plan.Resources{GPU: 1} }, diag.System, "GPU"},
		"mount /proc": {func(c *exec.Container) { c.Mounts = []exec.Mount{{Source: "/etc", Target: "/x/../proc/1"}} }, diag.System, "mounted at"},
		"mount /":     {func(c *exec.Container) { c.Mounts = []exec.Mount{{Source: "/etc", Target: "/"}} }, diag.System, "mounted at"},
		"no source":   {func(c *exec.Container) { c.Mounts = []exec.Mount{{Source: "/no/such", Target: "/x"}} }, diag.System, "/no/such"},
		"twice": {func(c *exec.Container) {
			c.Mounts = []exec.Mount{{Source: "/etc", Target: "/x"}, {Source: "/usr", Target: "/x"}}
		}, diag.System, "two mounts"},
		"no user":       {func(c *exec.Container) { c.User = "nobody-here" }, diag.Task, "nobody-here"},
		"no group":      {func(c *exec.Container) { c.User = "0:none" }, diag.Task, "none"},
		"id":            {func(c *exec.Container) { c.User = "70000" }, diag.Task, "70000"},
		"workdir":       {func(c *exec.Container) { c.Workdir = "/bin/sh/x" }, diag.Task, "working directory"},
		"file on a dir": {func(c *exec.Container) { c.Files = []exec.File{{Path: "/bin"}} }, diag.Task, "/bin"},
		"links": {func(c *exec.Container) {
			c.Layers = append(c.Layers, layerOf(t, map[string]string{"a": "->b", "b": "->a"}))
			c.Files = []exec.File{{Path: "/a/x"}}
		}, diag.System, "/a/x"},
		"link to proc": {func(c *exec.Container) {
			c.Layers = append(c.Layers, layerOf(t, map[string]string{"p": "->/proc/sys"}))
			c.Files = []exec.File{{Path: "/p/x"}}
		}, diag.System, "/p/x"},
		"proc is a link": {func(c *exec.Container) { c.Layers = append(c.Layers, layerOf(t, map[string]string{"proc": "->/tmp"})) }, diag.Task, "/proc"},
		"passwd is a fifo": {func(c *exec.Container) {
			c.User = "x"
			c.Layers = append(c.Layers, layerOf(t, map[string]string{"etc/passwd": "->/tmp"}))
		}, diag.Task, "passwd"},
	} {
		c := script(t, "echo ran")
		tt.change(c)
		c.Stdout = writerFunc(func([]byte) (int, error) { t.Errorf("%s: it ran", name); return 0, nil })
		_, err := s.Run(t.Context(), c)
		var e *diag.Error
		if !errors.As(err, &e) || e.Class != tt.class || !strings.Contains(e.Msg, tt.want) {
			t.Errorf("%s: got %v, want class %s and %q", name, err, tt.class, tt.want)
		}
	}
}

// TestLimits: a container has the limits that were asked for. The suite of executors shows what
// happens when memory runs out.
func TestLimits(t *testing.T) {
	if !sandboxtest.CanLimit() {
		t.Skip("cgroups can't be made here")
	}
	s := sandboxtest.New(t, sandbox.Options{Processes: 20})
	c := script(t, "i=0; while [ $i -lt 40 ]; do sleep 1 & i=$((i+1)); done; wait")
	if exit, out := run(t, s, c); exit.Code == 0 || !exit.Crowded || !strings.Contains(out, "fork") {
		t.Errorf("40 processes where 20 are allowed: %+v %s", exit, out)
	}
	c = script(t, "")
	c.Resource = plan.Resources{MilliCPU: 200, Memory: 64 << 20}
	var limits string
	exit, out := whileRunning(t, s, c, "true", func() { limits = cgroupFiles(t, "cpu.max", "cpu.cfs_quota_us", "memory.max", "memory.limit_in_bytes") })
	if exit.Code != 0 || limits != "20000 67108864" {
		t.Errorf("with a fifth of a core and 64 MiB, the cgroup's limits are %s: %+v %s", limits, exit, out)
	}
	c = script(t, "cat /proc/self/oom_score_adj")
	if _, out := run(t, s, c); out == "0\n" || strings.HasPrefix(out, "-") {
		t.Errorf("the kernel's choice when memory runs out: %s", out)
	}
	c = script(t, "echo ran")
	c.Resource.Memory = 128 << 10
	if exit, out := run(t, s, c); !exit.OOM || out != "" {
		t.Errorf("with less memory than a container needs: %+v %s", exit, out)
	}
	c = script(t, "df -k /dev/shm | tail -1")
	c.Resource.Shm = 8 << 20
	if exit, out := run(t, s, c); exit.ShmFull || exit.Crowded || !strings.Contains(out, " 8192 ") {
		t.Errorf("/dev/shm: %+v %s", exit, out)
	}
	c = script(t, "dd if=/dev/zero of=/dev/shm/x bs=1M 2>/dev/null")
	c.Resource.Shm = 8 << 20
	if exit, _ := run(t, s, c); !exit.ShmFull {
		t.Errorf("a full /dev/shm: %+v", exit)
	}
}

// cgroupFiles returns the first word of each of these files in the cgroup of this process's
// container.
func cgroupFiles(t *testing.T, names ...string) string {
	var found []string
	for _, name := range names {
		for _, depth := range []string{"", "*/", "*/*/", "*/*/*/"} {
			paths, err := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/%sflytestar-%d-*/%s", depth, os.Getpid(), name))
			if err != nil {
				t.Error(err)
			}
			for _, path := range paths {
				data, err := os.ReadFile(path)
				if err != nil {
					t.Error(err)
				}
				word, _, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
				found = append(found, word)
			}
		}
	}
	return strings.Join(found, " ")
}

// TestMounts: a container sees mounts with their owners, writable or not. Small files are
// read-only.
func TestMounts(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	ro, rw := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(ro+"/f", []byte("theirs"), 0o600))
	c := script(t, `
		cat /ro/f; echo; stat -c '%u %a' /ro/f
		(echo x > /ro/f) 2>/dev/null || echo read-only
		echo mine > /rw/f; chmod 4755 /rw/f
		cat /secret; stat -c '%u %a' /secret; (echo x > /secret) 2>/dev/null || echo read-only
		cat /run/deep/link/x; cat /var/alias/y`)
	c.Layers = append(c.Layers, layerOf(t, map[string]string{"run/deep/link": "->/nowhere", "var/alias": "->../srv"}))
	c.Mounts = []exec.Mount{{Source: rw, Target: "/rw", Writable: true}, {Source: ro, Target: "/ro"}}
	c.Files = []exec.File{
		{Path: "/secret", Mode: 0o600, Data: []byte("s\n")}, {Path: "/run/deep/link/x", Data: []byte("x\n"), Mode: 0o444}, {Path: "/var/alias/y", Data: []byte("y\n"), Mode: 0o444},
	}
	exit, out := run(t, s, c)
	if want := "theirs\n0 600\nread-only\ns\n0 600\nread-only\nx\ny\n"; exit.Code != 0 || out != want {
		t.Errorf("got %+v %q, want %q", exit, out, want)
	}
	info, err := os.Stat(rw + "/f")
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v %v", info, err)
	}
	entries, err := os.ReadDir(ro)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
}

// layerOf makes a layer of files by path. A content that begins with "->" makes a link.
func layerOf(t testing.TB, files map[string]string) exectest.Layer {
	t.Helper()
	var entries []tarEntry
	for name, content := range files {
		e := tarEntry{name: name, content: content}
		if to, ok := strings.CutPrefix(content, "->"); ok {
			e = tarEntry{name: name, kind: '2', link: to}
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b tarEntry) int { return strings.Compare(a.name, b.name) })
	return makeTar(t, entries)
}
