package exectest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// Options say what the suite has to work with.
type Options struct {
	Executor exec.Executor // it has the secrets of [SecretValues]
	Store    exec.Store    // the Executor's
	Image    plan.Digest   // digest, for the Executor, of what [Image] returned
	Limits   bool          // whether memory can be limited; else that is skipped
	// Left lists what attempts have left behind on this machine: processes,
	// mounts, cgroups, files. It is called when none is under way.
	Left func(t testing.TB) []string
}

// Run is the suite that every Executor passes.
func Run(t *testing.T, opts Options) {
	s := &suite{opts}
	for _, tt := range []struct {
		name string
		run  func(*suite, *testing.T)
	}{
		{"Capacity", (*suite).capacity},
		{"Reap", (*suite).reap},
		{"Started", (*suite).started},
		{"Secrets", (*suite).secrets},
		{"Exit", (*suite).exit},
		{"Signal", (*suite).signal},
		{"NoProgram", (*suite).noProgram},
		{"OutOfMemory", (*suite).outOfMemory},
		{"Limits", (*suite).limits},
		{"Cancel", (*suite).cancel},
		{"Stop", (*suite).stop},
		{"Environment", (*suite).environment},
		{"Inputs", (*suite).inputs},
		{"Workdir", (*suite).workdir},
		{"InputNames", (*suite).inputNames},
		{"ManyInputs", (*suite).manyInputs},
		{"Files", (*suite).files},
		{"Outputs", (*suite).outputs},
		{"OutputsRefused", (*suite).outputsRefused},
		{"OutputsStrict", (*suite).outputsStrict},
		{"User", (*suite).user},
		{"Home", (*suite).home},
		{"Loopback", (*suite).loopback},
		{"Fresh", (*suite).fresh},
		{"Log", (*suite).log},
		{"Concurrent", (*suite).concurrent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.run(s, t)
			if left := opts.Left(t); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

type suite struct{ Options }

// patience is when the suite gives up. What it tests takes a fraction of that even on a busy machine.
const patience = 5 * time.Minute

// attempt is one that runs a shell script, and its log.
func (s *suite) attempt(script string) (*exec.Attempt, *bytes.Buffer) {
	log := new(bytes.Buffer)
	return &exec.Attempt{
		Spec:    exec.Spec{Image: exec.ImageRef{Digest: s.Image}, Args: []string{"/bin/sh", "-c", script}},
		Address: exec.Address{Run: "run", Action: "0123456789ab", Number: 1, Task: "box.leaf"},
		Log:     log, Started: func() {},
	}, log
}

// run runs an attempt that must be able to run.
func (s *suite) run(t testing.TB, a *exec.Attempt) *exec.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := s.Executor.Run(ctx, a)
	if err != nil {
		t.Fatalf("%q: %v", a.Args, err)
	}
	return res
}

// script runs a shell script that must succeed, and returns what it left and its log.
func (s *suite) script(t testing.TB, script string, inputs ...exec.Input) (*exec.Result, string) {
	t.Helper()
	a, log := s.attempt(script)
	a.Inputs = inputs
	res := s.run(t, a)
	if res.Code != 0 {
		t.Fatalf("exit code %d %s: %s", res.Code, res.Signal, log)
	}
	return res, log.String()
}

func (s *suite) capacity(t *testing.T) {
	if c, err := s.Executor.Capacity(t.Context()); err != nil || c.Attempts < 1 {
		t.Errorf("got %+v, %v", c, err)
	}
}

// reap: a run that left nothing is no error, and attempts of other runs go on.
func (s *suite) reap(t *testing.T) {
	a, log := s.attempt("echo up; cat /var/inputs/go; echo done")
	a.Run, a.Inputs = "other", []exec.Input{{Path: "/var/inputs/go", Artifact: s.put(t, "go", "")}}
	up := make(chan struct{})
	a.Log = writerFunc(func(p []byte) (int, error) {
		if log.Len() == 0 {
			close(up)
		}
		return log.Write(p)
	})
	ended := make(chan *exec.Result)
	go func() { ended <- s.run(t, a) }()
	select {
	case <-up:
	case res := <-ended:
		t.Fatalf("it ended before it began: %+v", res)
	}
	if err := s.Executor.Reap(t.Context(), "run"); err != nil {
		t.Error(err)
	}
	if res := <-ended; res.Code != 0 || !strings.HasSuffix(log.String(), "done\n") {
		t.Errorf("an attempt of another run: got %+v; log %q", res.Exit, log)
	}
}

// started: it is called once for an attempt that starts, before Run returns, and never for another.
func (s *suite) started(t *testing.T) {
	for _, script := range []string{"true", "exit 3", "kill -9 $$"} {
		a, _ := s.attempt(script)
		calls := 0
		a.Started = func() { calls++ }
		if s.run(t, a); calls != 1 {
			t.Errorf("%q: started %d times", script, calls)
		}
	}
	a, _ := s.attempt("true")
	a.Image.Digest = plan.Digest("sha256:" + strings.Repeat("0", 64))
	a.Started = func() { t.Error("an attempt without an image has started") }
	if res, err := s.Executor.Run(t.Context(), a); err == nil {
		t.Errorf("without an image: got %+v", res.Exit)
	}
}

// SecretValues are the secrets that an executor has in the suite, by key.
var SecretValues = Secrets{"token": "a secret value", "file": "line 1\nline 2\n"}

// Secrets are secrets by key.
type Secrets map[string]string

// Secret implements exec.Secrets.
func (s Secrets) Secret(_ context.Context, key string) ([]byte, error) {
	value, ok := s[key]
	if !ok {
		return nil, diag.Errorf(diag.Position{}, diag.Usage, "there is no secret %q", key)
	}
	return []byte(value), nil
}

// secrets: an attempt gets the values of what it refers to, and fails to start without one.
func (s *suite) secrets(t *testing.T) {
	a, log := s.attempt(`printf '%s|' "$TOKEN"; cat /run/secrets/file`)
	a.Secrets = []exec.Secret{{Key: "token", EnvVar: "TOKEN"}, {Key: "file", Path: "/run/secrets/file"}}
	if res := s.run(t, a); res.Code != 0 || log.String() != "a secret value|line 1\nline 2\n" {
		t.Errorf("got %+v; log %q", res.Exit, log)
	}
	a, _ = s.attempt("true")
	a.Secrets = []exec.Secret{{Key: "nothing", EnvVar: "X"}}
	res, err := s.Executor.Run(t.Context(), a)
	var e *diag.Error
	if !errors.As(err, &e) || e.Class != diag.Usage || !strings.Contains(e.Msg, "nothing") {
		t.Errorf("a secret that isn't there: got %+v, %v", res, err)
	}
}

func (s *suite) exit(t *testing.T) {
	for _, code := range []int{0, 1, 3, 126, 255} {
		a, log := s.attempt(fmt.Sprintf("echo x > /var/outputs/x; exit %d", code))
		res := s.run(t, a)
		if res.Code != code || res.Signal != "" || res.OOM || res.Duration <= 0 {
			t.Errorf("exit %d: got %+v; log %s", code, res.Exit, log)
		}
		if (len(res.Outputs) > 0) != (code == 0) {
			t.Errorf("exit %d: outputs %v", code, res.Outputs)
		}
	}
}

func (s *suite) signal(t *testing.T) {
	for name, number := range map[string]int{"KILL": 9, "TERM": 15, "SEGV": 11} {
		a, log := s.attempt("kill -" + name + " $$; sleep 5")
		if res := s.run(t, a); res.Signal != "SIG"+name || res.Code != 128+number || res.OOM {
			t.Errorf("SIG%s: got %+v; log %s", name, res.Exit, log)
		}
	}
}

// noProgram: a program that isn't there is the task's fault, however that is said.
func (s *suite) noProgram(t *testing.T) {
	a, _ := s.attempt("")
	a.Args = []string{"/no/such/program"}
	res, err := s.Executor.Run(t.Context(), a)
	var e *diag.Error
	switch {
	case errors.As(err, &e) && e.Class == diag.Task && strings.Contains(e.Msg, "/no/such/program"):
	case err == nil && (res.Code == 126 || res.Code == 127):
	default:
		t.Errorf("got %+v, %v", res, err)
	}
}

func (s *suite) outOfMemory(t *testing.T) {
	if !s.Limits {
		t.Skip("memory can't be limited here")
	}
	grow := `x=0123456789abcdef; while :; do x=$x$x; done`
	a, log := s.attempt(grow)
	a.Resources.Memory = 64 << 20
	if res := s.run(t, a); !res.OOM || res.Code == 0 {
		t.Errorf("got %+v; log %s", res.Exit, log)
	}
	a, log = s.attempt("(" + grow + "); exit 5") // another process than the first
	a.Resources.Memory = 64 << 20
	if res := s.run(t, a); !res.OOM || res.Code == 0 {
		t.Errorf("in a child: got %+v; log %s", res.Exit, log)
	}
	a, _ = s.attempt("kill -9 $$")
	a.Resources.Memory = 64 << 20
	if res := s.run(t, a); res.OOM || res.Signal != "SIGKILL" {
		t.Errorf("killed for another reason: got %+v", res.Exit)
	}
}

// limits: programs that look for their limits find them.
func (s *suite) limits(t *testing.T) {
	if !s.Limits {
		t.Skip("memory can't be limited here")
	}
	a, log := s.attempt(`
		nproc
		cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory/memory.stat 2>/dev/null | grep -q '\<134217728$' && echo memory
		cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null | grep -q '^70000\>' && echo cpu
		for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/memory/memory.limit_in_bytes; do test -e $f && (echo 0 > $f) 2>/dev/null && echo "$f can be written"; done
		true`)
	a.Resources = plan.Resources{Memory: 128 << 20, MilliCPU: 700}
	if res := s.run(t, a); res.Code != 0 || log.String() != "1\nmemory\ncpu\n" {
		t.Errorf("got %+v; log %s", res.Exit, log)
	}
}

// cancel: the whole tree of processes dies, also those that don't want to.
func (s *suite) cancel(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, _ := s.attempt(`trap "" TERM INT HUP; sleep 1000 & setsid sleep 1000 & (trap "" TERM; sleep 1000) & echo started; wait; wait; sleep 1000`)
	a.Log = writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("started")) {
			cancel()
		}
		return len(p), nil
	})
	if res, err := s.Executor.Run(ctx, a); !errors.Is(err, context.Canceled) { // not the deadline's end
		t.Errorf("got %+v, %v", res, err)
	}
}

// stop: an attempt that is to end is told, and what it does then is in the log.
func (s *suite) stop(t *testing.T) {
	for _, user := range []string{"", "worker"} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		a, log := s.attempt(`trap "echo saved; exit 0" TERM; echo started; while :; do sleep 0.01; done`)
		a.User = user
		a.Log = writerFunc(func(p []byte) (int, error) {
			if bytes.Contains(p, []byte("started")) {
				cancel()
			}
			return log.Write(p)
		})
		res, err := s.Executor.Run(ctx, a)
		cancel()
		if !errors.Is(err, context.Canceled) || log.String() != "started\nsaved\n" {
			t.Errorf("%q: got %+v, %v; log %q", user, res, err, log)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (s *suite) environment(t *testing.T) {
	t.Setenv("FLYTESTAR_SUITE", "the host's")
	a, log := s.attempt("")
	a.Args = []string{"env"}
	a.Env = []string{"BOTH=attempt", "EMPTY=", "SPACE=a b=c"}
	if res := s.run(t, a); res.Code != 0 {
		t.Fatalf("got %+v; log %s", res.Exit, log)
	}
	got := strings.Split(strings.TrimSpace(log.String()), "\n")
	slices.Sort(got)
	got = slices.DeleteFunc(got, func(kv string) bool { return strings.HasPrefix(kv, "PATH=/") || kv == "HOME=/root" })
	want := []string{"BOTH=attempt", "EMPTY=", "FROM_IMAGE=image", "SPACE=a b=c"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q, PATH and HOME", got, want)
	}
}

// put keeps a file.
func (s *suite) put(t testing.TB, name, content string) plan.File {
	t.Helper()
	f, err := s.Store.PutFile(t.Context(), name, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (s *suite) inputs(t *testing.T) {
	f := s.put(t, "f", "content")
	open := func(content string) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
	}
	d, err := s.Store.PutDir(t.Context(), "d", []exec.Entry{
		{Path: "a/run", Executable: true, Open: open("#!/bin/sh\necho ran\n")}, {Path: "empty", Dir: true}, {Path: "x", Open: open("in d")},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, log := s.script(t, `
		pwd
		cat /var/inputs/f /var/inputs/l/0 /workspace/x; echo
		/var/inputs/d/a/run
		cd /var/inputs/d; find . | sort
		cd /
		for f in /var/inputs/f /var/inputs/l/0 /var/inputs/d/x /workspace/x; do
			(echo changed > $f) 2>/dev/null && echo "$f can be written"
			chmod 777 $f 2>/dev/null && echo "$f can be changed"
			rm -f $f 2>/dev/null && echo "$f can be removed"
		done
		touch /var/inputs/d/new /workspace/new 2>/dev/null && echo "directories can be written"
		true`,
		exec.Input{Path: "/var/inputs/f", Artifact: f}, exec.Input{Path: "/var/inputs/l/0", Artifact: f},
		exec.Input{Path: "/var/inputs/d", Artifact: d}, exec.Input{Path: exec.WorkspacePath, Artifact: d})
	want := "/var/work\ncontentcontentin d\nran\n.\n./a\n./a/run\n./empty\n./x\n"
	if log != want {
		t.Errorf("got %s\nwant %s", log, want)
	}
	if got := s.content(t, f); got != "content" {
		t.Errorf("the store now has %q", got)
	}
}

// workdir: whoever the user is, the working directory can be written to, and begins with what is in
// /workspace. Another attempt sees nothing of what was written there.
func (s *suite) workdir(t *testing.T) {
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("carried\n")), nil }
	d, err := s.Store.PutDir(t.Context(), "d", []exec.Entry{{Path: "deep/er/x", Open: open}, {Path: "tool", Executable: true, Open: open}})
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"", "worker", "1234:7", "worker"} {
		a, log := s.attempt(`
			ls; cat deep/er/x && test -x tool && ! test -e /workspace/new
			echo more >> deep/er/x && echo new > new && echo new > deep/new && mkdir sub && rm tool && mv deep moved
			cat moved/er/x /workspace/deep/er/x; test "$(stat -c %u . moved moved/er/x | sort -u)" = "$(id -u)" && pwd`)
		a.User = user
		a.Inputs = []exec.Input{{Path: exec.WorkspacePath, Artifact: d}}
		res := s.run(t, a)
		if want := "deep\ntool\ncarried\ncarried\nmore\ncarried\n" + exec.WorkPath + "\n"; res.Code != 0 || log.String() != want {
			t.Errorf("%q: got %+v; log %s\nwant %s", user, res.Exit, log, want)
		}
		a, log = s.attempt("touch x && ls -A")
		a.User = user
		if res := s.run(t, a); res.Code != 0 || log.String() != "x\n" {
			t.Errorf("%q carries nothing: got %+v; log %s", user, res.Exit, log)
		}
	}
}

// inputNames: whatever the names of inputs are, each lies at its path, beside others and beside
// files of the attempt.
func (s *suite) inputNames(t *testing.T) {
	f := s.put(t, "f", "content")
	d, err := s.Store.PutDir(t.Context(), "d", []exec.Entry{{Path: "x", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("in d")), nil }}})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"reads.fastq.gz", "-rf", "a b", "it's", `"`, "$HOME", "*", "é", "e\u0301", "two\nlines", ".hidden", "\\", strings.Repeat("n", 255)}
	a, log := s.attempt(`
		cat /var/inputs/n; echo
		cd /var/inputs/pair
		for f in * .hidden; do printf '[%s]' "$f"; cat "./$f"; done | wc -c
		cat /var/inputs/deep/k/0/x /var/inputs/deep/k/y; echo
		touch /var/inputs/new /var/inputs/pair/new 2>/dev/null && echo "directories can be written"
		find /var/inputs -type f | wc -l`)
	for _, name := range names {
		a.Inputs = append(a.Inputs, exec.Input{Path: "/var/inputs/pair/" + name, Artifact: f})
	}
	a.Inputs = append(a.Inputs, exec.Input{Path: "/var/inputs/deep/k/0", Artifact: d}, exec.Input{Path: "/var/inputs/deep/k/y", Artifact: f})
	a.Files = []exec.File{{Path: "/var/inputs/n", Mode: 0o444, Data: []byte("7")}}
	a.User = "1234"
	size := 0
	for _, name := range names {
		size += len("[]content") + len(name)
	}
	want := fmt.Sprintf("7\n%d\nin dcontent\n%d\n", size, len(names)+4)
	if res := s.run(t, a); log.String() != want {
		t.Errorf("got %+v %s, want %s", res.Exit, log, want)
	}
}

// manyInputs: an attempt has more inputs than a process may have open files.
func (s *suite) manyInputs(t *testing.T) {
	const files, dirs = 3000, 200
	f := s.put(t, "f", "x")
	d, err := s.Store.PutDir(t.Context(), "d", []exec.Entry{{Path: "x", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("y")), nil }}})
	if err != nil {
		t.Fatal(err)
	}
	a, log := s.attempt("cat /var/inputs/l/* | wc -c; cat /var/inputs/d/*/x | wc -c")
	for i := range files {
		a.Inputs = append(a.Inputs, exec.Input{Path: fmt.Sprintf("/var/inputs/l/%d", i), Artifact: f})
	}
	for i := range dirs {
		a.Inputs = append(a.Inputs, exec.Input{Path: fmt.Sprintf("/var/inputs/d/%d", i), Artifact: d})
	}
	if res := s.run(t, a); log.String() != fmt.Sprintf("%d\n%d\n", files, dirs) {
		t.Errorf("got %+v %s", res.Exit, log)
	}
}

// content reads a file of the store.
func (s *suite) content(t testing.TB, v plan.Value) string {
	t.Helper()
	f, ok := v.(plan.File)
	if !ok {
		t.Fatalf("%#v is no file", v)
	}
	r, err := s.Store.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (s *suite) files(t *testing.T) {
	a, log := s.attempt("")
	a.Args = []string{"/var/flytestar/script"}
	a.Files = []exec.File{
		{Path: "/var/flytestar/script", Mode: 0o755, Data: []byte("#!/bin/sh\ncat /var/inputs.json\nstat -c %a /var/inputs.json\ncat\n")},
		{Path: exec.InputsJSON, Mode: 0o444, Data: []byte("{}\n")},
	}
	res := s.run(t, a)
	if res.Code != 0 || log.String() != "{}\n444\n" {
		t.Errorf("got %+v; log %q", res.Exit, log)
	}
}

func (s *suite) outputs(t *testing.T) {
	res, _ := s.script(t, `
		cd /var/outputs
		find . -mindepth 1
		echo hello > a; chmod 000 a
		mkdir -p d/sub/empty; echo x > d/sub/x; echo y > d/y; chmod 755 d/y; chmod 500 d/sub
		touch .hidden "with space"
		ln a linked`)
	var names []string
	for name := range res.Outputs {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{".hidden", "a", "d", "linked", "with space"}; !reflect.DeepEqual(names, want) || len(res.Refused) != 0 {
		t.Fatalf("got %q, refused %q; want %q", names, res.Refused, want)
	}
	if got := s.content(t, res.Outputs["a"]); got != "hello\n" {
		t.Errorf("a: %q", got)
	}
	if got := s.content(t, res.Outputs["linked"]); got != "hello\n" {
		t.Errorf("linked: %q", got)
	}
	s.outputLinks(t)
	_, log := s.script(t, "cd /in; find . | sort; cat sub/x; test -x y && ! test -x sub/x && echo as it was", exec.Input{Path: "/in", Artifact: res.Outputs["d"]})
	if want := ".\n./sub\n./sub/empty\n./sub/x\n./y\nx\nas it was\n"; log != want {
		t.Errorf("d: got %s, want %s", log, want)
	}
}

// outputsStrict: a strict attempt keeps only what it declares, and looks at nothing else.
func (s *suite) outputsStrict(t *testing.T) {
	a, _ := s.attempt("cd /var/outputs; echo x > wanted; echo y > stray; mkdir dir; echo z > dir/z; ln -s /etc link")
	a.Strict = true
	a.Outputs = []plan.Param{{Name: "wanted", Type: plan.Type{Kind: plan.KindFile}}, {Name: "never", Type: plan.Type{Kind: plan.KindFile}}}
	res := s.run(t, a)
	if len(res.Outputs) != 1 || s.content(t, res.Outputs["wanted"]) != "x\n" || len(res.Refused) != 0 {
		t.Errorf("kept %v, refused %q", res.Outputs, res.Refused)
	}
}

// outputLinks: links that stay within an output Dir are kept, and lead there where the Dir is an input.
func (s *suite) outputLinks(t *testing.T) {
	res, _ := s.script(t, `
		mkdir -p /var/outputs/d/v1 && cd /var/outputs/d
		echo x > v1/x; ln -s v1 latest; ln -s ../latest/x v1/y; ln -s latest/x z`)
	if len(res.Refused) > 0 {
		t.Fatalf("refused %q", res.Refused)
	}
	_, log := s.script(t, "cd /in; for l in latest v1/y z; do readlink $l; done; cat latest/x v1/y z", exec.Input{Path: "/in", Artifact: res.Outputs["d"]})
	if want := "v1\n../latest/x\nlatest/x\nx\nx\nx\n"; log != want {
		t.Errorf("got %s, want %s", log, want)
	}
}

// outputsRefused: what is neither file nor directory isn't kept, and a link
// doesn't make the executor read what it leads to.
func (s *suite) outputsRefused(t *testing.T) {
	secret := t.TempDir() + "/secret"
	if err := os.WriteFile(secret, []byte("the host's"), 0o644); err != nil {
		t.Fatal(err)
	}
	res, _ := s.script(t, fmt.Sprintf(`
		cd /var/outputs
		echo fine > fine
		ln -s %s host
		ln -s fine inside
		ln -s / root
		mkfifo pipe
		mkdir -p dir/deep; ln -s %s dir/deep/host; echo x > dir/x
		mkdir piped; mkfifo piped/p`, secret, secret))
	if len(res.Outputs) != 1 || s.content(t, res.Outputs["fine"]) != "fine\n" {
		t.Errorf("kept %v", res.Outputs)
	}
	for _, want := range []string{"host: ", "inside: ", "root: ", "pipe: ", "dir/deep/host: ", "piped/p: "} {
		if !slices.ContainsFunc(res.Refused, func(r string) bool { return strings.HasPrefix(r, want) }) {
			t.Errorf("refused %q, but not %s", res.Refused, want)
		}
	}
}

// user: whoever the image's or the attempt's user is can write outputs.
func (s *suite) user(t *testing.T) {
	for user, id := range map[string]string{"": "0", "root": "0", "worker": "1000", "1234": "1234", "7:8": "7"} {
		a, log := s.attempt("id -u > /var/outputs/id; cat /dev/stdin /var/inputs/f")
		a.User = user
		a.Inputs = []exec.Input{{Path: "/var/inputs/f", Artifact: s.put(t, "f", "readable")}}
		res := s.run(t, a)
		if res.Code != 0 || log.String() != "readable" {
			t.Errorf("%q: got %+v; log %s", user, res.Exit, log)
			continue
		}
		if got := strings.TrimSpace(s.content(t, res.Outputs["id"])); got != id {
			t.Errorf("%q: ran as %s, want %s", user, got, id)
		}
	}
}

// home: HOME is the user's in the image, or else a directory that the user can write to. A HOME that
// is set stays.
func (s *suite) home(t *testing.T) {
	for _, tt := range []struct{ user, env, want string }{
		{"", "", "/root"}, {"0:0", "", "/root"}, {"worker", "", "/tmp"}, {"1000", "", "/tmp"}, {"1000:7", "", "/tmp"},
		{"guest", "", "*"}, {"homeless", "", "*"}, {"1234", "", "*"}, {"7:8", "", "*"}, {"1234", "HOME=/bin", "/bin"},
	} {
		a, log := s.attempt(`test "$HOME" = /bin || echo x > "$HOME/x"; id -un >/dev/null && echo "$HOME"`)
		a.User = tt.user
		if tt.env != "" {
			a.Env = []string{tt.env}
		}
		res, got := s.run(t, a), log.String()
		if res.Code != 0 || got != tt.want+"\n" && (tt.want != "*" || !strings.HasPrefix(got, "/")) {
			t.Errorf("%q %s: got %+v, HOME %s, want %s", tt.user, tt.env, res.Exit, got, tt.want)
		}
	}
}

// loopback: without network an attempt can talk to itself, over both families and by name.
func (s *suite) loopback(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1", "localhost", `"$(hostname)"`} {
		_, log := s.script(t, `case `+address+` in ::1) test -e /proc/net/if_inet6 || exit 0; esac
			nc -w 5 `+address+` 9 2>&1 && exit 1; exit 0`)
		if log != "" && !strings.Contains(log, "refused") { // nobody listens there
			t.Errorf("%s: %s", address, log)
		}
	}
}

// fresh: an attempt sees nothing of what another left in its root file system.
func (s *suite) fresh(t *testing.T) {
	for range 2 {
		s.script(t, "! test -e /mark && ! test -e /tmp/mark && touch /mark /tmp/mark && rm /bin/true")
	}
}

// log: it is complete, and stdout and stderr are in the order in which they were written.
func (s *suite) log(t *testing.T) {
	const lines = 5000
	_, log := s.script(t, fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; (sleep 0.1; echo -n end) & wait", lines))
	var want strings.Builder
	for i := range lines {
		fmt.Fprintf(&want, "out %d\nerr %d\n", i, i)
	}
	want.WriteString("end")
	if log != want.String() {
		t.Errorf("got %d bytes, want %d, or another order; ends in %q", len(log), want.Len(), log[max(0, len(log)-40):])
	}
	a, big := s.attempt("yes | dd bs=65536 count=160 iflag=fullblock 2>/dev/null")
	if res := s.run(t, a); res.Code != 0 || big.Len() != 160*65536 {
		t.Errorf("a large log: got %+v, %d bytes, want %d", res.Exit, big.Len(), 160*65536)
	}
}

func (s *suite) concurrent(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			a, log := s.attempt(fmt.Sprintf("echo %d; echo %d > /var/outputs/n; sleep 0.1", i, i))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			res, err := s.Executor.Run(ctx, a)
			if err != nil {
				t.Errorf("%d: %v", i, err)
				return
			}
			want := fmt.Sprintf("%d\n", i)
			if res.Code != 0 || log.String() != want || res.Outputs["n"] == nil {
				t.Errorf("%d: got %+v; log %q", i, res, log)
				return
			}
			f, _ := res.Outputs["n"].(plan.File)
			r, err := s.Store.Open(ctx, f)
			if err != nil {
				t.Errorf("%d: %v", i, err)
				return
			}
			defer r.Close()
			if data, err := io.ReadAll(r); err != nil || string(data) != want {
				t.Errorf("%d: output %q, %v", i, data, err)
			}
		})
	}
	wg.Wait()
}
