package evaluator

import (
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// again runs tests of this binary in another process, which prepare sets up. They must pass without
// skipping.
func again(t *testing.T, tests string, prepare func(*osexec.Cmd)) {
	t.Helper()
	cmd := osexec.Command("/proc/self/exe", "-test.run=^("+tests+")$", "-test.v")
	cmd.Env, cmd.Dir = os.Environ(), "/"
	prepare(cmd)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || strings.Contains(string(out), "--- SKIP") || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("got %v", err)
	}
}

const tryAll = "def try_all(n): return probe(n)\ndef env(): return environ()\n"

// TestLockdown tries in the evaluator everything that it must not be able to do.
func TestLockdown(t *testing.T) {
	e := startFile(t, tryAll, interp.Limits{})
	t.Log(e.Lockdown())
	if e.Lockdown().Level != lockdown.Full {
		t.Skipf("this machine's kernel can't")
	}
	got, err := e.Body(t.Context(), "try_all", map[string]plan.Value{"n": int64(os.Getpid())}, testHost{})
	if err != nil || got != "" {
		t.Errorf("the evaluator can, %v:\n%s", err, got)
	}
}

// TestUnprivileged shows that a user without any rights gets the whole lockdown.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process as another user; this one has no rights as it is")
	}
	again(t, "TestLockdown|TestInherited", func(cmd *osexec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})
}

// TestLoneRoot shows that root of a user namespace gets it too: of one without other users, and of
// one as containers have.
func TestLoneRoot(t *testing.T) {
	for _, count := range []int{1, 1 << 16} {
		t.Run(strconv.Itoa(count), func(t *testing.T) {
			attr := namespace(count)
			if err := (&osexec.Cmd{Path: "/bin/true", SysProcAttr: attr}).Run(); err != nil {
				t.Skipf("no such user namespace here: %v", err)
			}
			again(t, "TestLockdown|TestInherited", func(cmd *osexec.Cmd) { cmd.SysProcAttr = attr })
		})
	}
}

// namespace returns a user namespace with count users. Its root is this process's user if count is
// 1, or else a user whom nobody is.
func namespace(count int) *syscall.SysProcAttr {
	uid, gid := os.Getuid(), os.Getgid()
	if count > 1 {
		uid, gid = 0x60000000, 0x60000000
	}
	return &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, Credential: &syscall.Credential{NoSetGroups: true}, GidMappingsEnableSetgroups: count > 1,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: count}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: count}},
	}
}

// TestInherited looks from outside at what an evaluator has inherited from its parent.
func TestInherited(t *testing.T) {
	leaked, err := syscall.Open("/proc/self/status", syscall.O_RDONLY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leaked)
	e := startFile(t, tryAll, interp.Limits{})
	env, err := e.Body(t.Context(), "env", nil, testHost{})
	if err != nil || env != fmt.Sprintf("GOTRACEBACK=none GOMAXPROCS=%d", runtime.GOMAXPROCS(0)) {
		t.Errorf("environment is %q, %v", env, err)
	}
	proc := fmt.Sprintf("/proc/%d/", e.process.cmd.Process.Pid)
	if dir, err := os.Readlink(proc + "cwd"); os.Geteuid() != 0 {
		if !errors.Is(err, unix.EACCES) {
			t.Errorf("others of its user can look into it: %q, %v", dir, err)
		}
	} else {
		if err != nil || dir != "/" {
			t.Errorf("its directory is %q, %v", dir, err)
		}
		descriptors(t, proc)
	}
	stat := strings.Fields(readFile(t, proc+"stat"))
	if id := stat[0]; stat[4] != id || stat[5] != id || stat[6] != "0" {
		t.Errorf("process %s has group %s, session %s, terminal %s", id, stat[4], stat[5], stat[6])
	}
	threads, err := filepath.Glob(proc + "task/*/status")
	if err != nil || len(threads) < 2 {
		t.Fatalf("threads are %v, %v", threads, err)
	}
	for _, thread := range threads {
		status := readFile(t, thread)
		for field, want := range map[string]string{
			"Seccomp": "2", "NoNewPrivs": "1", "Umask": "0777",
			"CapInh": "0+", "CapPrm": "0+", "CapEff": "0+", "CapAmb": "0+",
			"Uid": userWanted(e),
		} {
			if !regexp.MustCompile(`(?m)^` + field + `:\s+` + want + `$`).MatchString(status) {
				t.Errorf("%s: want %s %s in\n%s", thread, field, want, status)
			}
		}
		if e.process.cmd.SysProcAttr.Credential != nil && !regexp.MustCompile(`(?m)^Groups:\s*$`).MatchString(status) {
			t.Errorf("%s has groups:\n%s", thread, status)
		}
	}
	limits := readFile(t, proc+"limits")
	for _, want := range []string{`Max file size +0 +0`, `Max core file size +0 +0`, `Max open files +32 +32`, `Max address space +\d+ +\d+`} {
		if !regexp.MustCompile(want).MatchString(limits) {
			t.Errorf("want %s in\n%s", want, limits)
		}
	}
}

// userWanted is a pattern for the four ids of an evaluator's user. If this process is root, that is
// another user, unless no other may execute this binary.
func userWanted(e *Evaluator) string {
	user := os.Getuid()
	if c := e.process.cmd.SysProcAttr.Credential; c != nil {
		user = int(c.Uid)
	}
	return fmt.Sprintf(`%d\s+%[1]d\s+%[1]d\s+%[1]d`, user)
}

// TestUsers: an evaluator of root is a user of its own.
func TestUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	e := startFile(t, "", interp.Limits{})
	c := e.process.cmd.SysProcAttr.Credential
	if c == nil || c.Uid != uint32(lockdown.Users()[0]) || c.Gid != c.Uid {
		t.Errorf("the evaluator is %+v", c)
	}
	if got := e.Lockdown().Layers[1]; got.Detail != "no capabilities, a user of its own" {
		t.Errorf("it says %v", got)
	}
}

// descriptors demands that a process has no open files but the two pipes and its poller.
func descriptors(t *testing.T, proc string) {
	t.Helper()
	entries, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		fd, _ := strconv.Atoi(entry.Name())
		to, err := os.Readlink(filepath.Join(proc, "fd", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if fd > writeFD && to != "anon_inode:[eventpoll]" && to != "anon_inode:[eventfd]" {
			t.Errorf("descriptor %d is %s", fd, to)
		}
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// noSource fails the test that reads it.
type noSource struct{ t *testing.T }

func (s noSource) ReadModule(path string) ([]byte, error) {
	s.t.Errorf("%s was read", path)
	return nil, nil
}

// TestRequireSandbox runs itself on kernels that lack a part of the lockdown.
func TestRequireSandbox(t *testing.T) {
	if os.Getenv(withoutVariable) == "" {
		for _, missing := range []struct {
			layer string
			calls []int
		}{
			{"landlock", []int{unix.SYS_LANDLOCK_CREATE_RULESET}},
			{"seccomp", []int{unix.SYS_SECCOMP}},
			{"landlock,seccomp", []int{unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_SECCOMP}},
		} {
			again(t, "TestRequireSandbox", func(cmd *osexec.Cmd) {
				cmd.Env = append(cmd.Env, withoutVariable+"="+strings.Trim(strings.ReplaceAll(fmt.Sprint(missing.calls), " ", ","), "[]"), "MISSING="+missing.layer)
			})
		}
		return
	}
	var told lockdown.State
	options := Options{Source: noSource{t}, Entry: "main.star", RequireSandbox: true}
	_, _, err := Start(t.Context(), options)
	_, toolErr := RunTool(t.Context(), "double", []byte("ab"), options)
	for _, err := range []error{err, toolErr} {
		var d *diag.Error
		if !errors.As(err, &d) || d.Class != diag.System || d.Hint == "" {
			t.Fatalf("got %v", err)
		}
		for _, layer := range strings.Split(os.Getenv("MISSING"), ",") {
			if !strings.Contains(d.Msg, layer+" is missing: ") {
				t.Errorf("got %v, want that %s is missing", d, layer)
			}
		}
	}
	options = Options{Source: sources{"main.star": ""}, Entry: "main.star", Locked: func(l lockdown.State) { told = l }}
	e, _, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if told.Level != lockdown.Partial || len(told.Missing()) != strings.Count(os.Getenv("MISSING"), ",")+1 || told.String() != e.Lockdown().String() {
		t.Errorf("told %v, is %v", told, e.Lockdown())
	}
}
