package evaluator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// attempt is something that an evaluator must not be able to do.
type attempt struct {
	name string
	do   func() error
}

// attempts are tried in this order. Where doing the thing would hurt the
// machine, arguments are wrong in a way that the kernel notices only once it has taken the call.
func attempts(parent int) []attempt {
	var (
		none    uintptr
		p       = uintptr(parent)
		minus   = ^none // -1
		scratch [64]byte
		buffer  = uintptr(unsafe.Pointer(&scratch))
		remote  = uintptr(unsafe.Pointer(&layerNames)) // the parent is the same binary, at the same address
		temp    = filepath.Join(os.TempDir(), fmt.Sprintf("flytestar-probe-%d", os.Getpid()))
		nowhere = cString("/nonexistent/flytestar")
	)
	list := []attempt{
		{"read a file", func() error { _, err := os.ReadFile("/proc/self/status"); return err }},
		{"list a directory", func() error { _, err := os.ReadDir("/"); return err }},
		{"write a file", func() error { return os.WriteFile(temp, nil, 0o600) }},
		{"remove a file", func() error { return os.Remove(temp) }},
		{"stat", func() error { _, err := os.Stat("/"); return err }},
		{"connect", func() error { _, err := net.Dial("tcp", "127.0.0.1:1"); return err }},
		{"listen", func() error { return opened(net.Listen("tcp", "127.0.0.1:0")) }},
		{"execute", func() error { return osexec.Command("/bin/true").Run() }},
		{"fork", fork},
		{"raise a limit", func() error {
			return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: unix.RLIM_INFINITY})
		}},
	}
	for _, c := range []struct {
		name   string
		number uintptr
		args   []uintptr
	}{
		{"read a link", unix.SYS_READLINKAT, []uintptr{atCWD, cString("/proc/self/exe"), buffer, 64}},
		{"make a device", unix.SYS_MKNODAT, []uintptr{atCWD, nowhere, unix.S_IFCHR, minus}},
		{"rename", unix.SYS_RENAMEAT2, []uintptr{atCWD, nowhere, atCWD, nowhere, 0}},
		{"link", unix.SYS_LINKAT, []uintptr{atCWD, nowhere, atCWD, nowhere, 0}},
		{"change a mode", unix.SYS_FCHMODAT, []uintptr{atCWD, nowhere, 0}},
		{"change an owner", unix.SYS_FCHOWNAT, []uintptr{atCWD, nowhere, 0, 0, 0}},
		{"open by handle", unix.SYS_OPEN_BY_HANDLE_AT, []uintptr{atCWD, none, 0}},
		{"open with openat2", unix.SYS_OPENAT2, []uintptr{atCWD, nowhere, none, 0}},
		{"make a file of memory", unix.SYS_MEMFD_CREATE, []uintptr{nowhere, 0}},
		{"change directory", unix.SYS_CHDIR, []uintptr{nowhere}},
		{"chroot", unix.SYS_CHROOT, []uintptr{nowhere}},
		{"pivot_root", unix.SYS_PIVOT_ROOT, []uintptr{nowhere, nowhere}},
		{"mount", unix.SYS_MOUNT, []uintptr{none, none, none, 0, none}},
		{"unmount", unix.SYS_UMOUNT2, []uintptr{nowhere, 0}},
		{"open a tree", unix.SYS_OPEN_TREE, []uintptr{minus, nowhere, 0}},
		{"move a mount", unix.SYS_MOVE_MOUNT, []uintptr{minus, nowhere, minus, nowhere, 0}},
		{"unshare", unix.SYS_UNSHARE, []uintptr{0}},
		{"unshare the user namespace", unix.SYS_UNSHARE, []uintptr{unix.CLONE_NEWUSER | 1}},
		{"enter a namespace", unix.SYS_SETNS, []uintptr{minus, 0}},
		{"make an internet socket", unix.SYS_SOCKET, []uintptr{unix.AF_INET, unix.SOCK_STREAM, 0}},
		{"make an internet v6 socket", unix.SYS_SOCKET, []uintptr{unix.AF_INET6, unix.SOCK_DGRAM, 0}},
		{"make a local socket", unix.SYS_SOCKET, []uintptr{unix.AF_UNIX, unix.SOCK_STREAM, 0}},
		{"make a netlink socket", unix.SYS_SOCKET, []uintptr{unix.AF_NETLINK, unix.SOCK_RAW, 0}},
		{"make a packet socket", unix.SYS_SOCKET, []uintptr{unix.AF_PACKET, unix.SOCK_RAW, 0}},
		{"make a pair of sockets", unix.SYS_SOCKETPAIR, []uintptr{unix.AF_UNIX, unix.SOCK_STREAM, 0, buffer}},
		{"connect a socket", unix.SYS_CONNECT, []uintptr{minus, buffer, 16}},
		{"send", unix.SYS_SENDTO, []uintptr{minus, buffer, 1, 0, none, 0}},
		{"send a file descriptor", unix.SYS_SENDMSG, []uintptr{minus, buffer, 0}},
		{"receive", unix.SYS_RECVMSG, []uintptr{minus, buffer, 0}},
		{"execve", unix.SYS_EXECVE, []uintptr{nowhere, none, none}},
		{"execveat", unix.SYS_EXECVEAT, []uintptr{atCWD, nowhere, none, none, 0}},
		{"clone3", unix.SYS_CLONE3, []uintptr{buffer, 0}},
		{"clone into a namespace", unix.SYS_CLONE, []uintptr{unix.CLONE_THREAD | unix.CLONE_NEWUSER}},
		{"trace the parent", unix.SYS_PTRACE, []uintptr{unix.PTRACE_SEIZE, p, 0, 0}},
		{"read the parent's memory", unix.SYS_PROCESS_VM_READV, []uintptr{p, iovec(buffer), 1, iovec(remote), 1, 0}},
		{"write the parent's memory", unix.SYS_PROCESS_VM_WRITEV, []uintptr{p, iovec(buffer), 1, iovec(0), 1, 0}},
		{"compare descriptors with the parent", unix.SYS_KCMP, []uintptr{p, p, 0, 0, 0}},
		{"learn the parent's id", unix.SYS_GETPPID, nil},
		{"signal the parent", unix.SYS_KILL, []uintptr{p, 0}},
		{"signal init", unix.SYS_KILL, []uintptr{1, 0}},
		{"signal its group", unix.SYS_KILL, []uintptr{0, 0}},
		{"signal everybody", unix.SYS_KILL, []uintptr{minus, 0}},
		{"signal a thread of the parent's", unix.SYS_TGKILL, []uintptr{p, p, 0}},
		{"signal any thread", unix.SYS_TKILL, []uintptr{p, 0}},
		{"queue a signal", unix.SYS_RT_SIGQUEUEINFO, []uintptr{p, 0, none}},
		{"open a process", unix.SYS_PIDFD_OPEN, []uintptr{p, 0}},
		{"take a descriptor of a process", unix.SYS_PIDFD_GETFD, []uintptr{minus, 0, 0}},
		{"signal an open process", unix.SYS_PIDFD_SEND_SIGNAL, []uintptr{minus, 0, none, 0}},
		{"limit the parent", unix.SYS_PRLIMIT64, []uintptr{p, unix.RLIMIT_NOFILE, none, buffer}},
		{"schedule the parent", unix.SYS_SCHED_SETSCHEDULER, []uintptr{p, minus, buffer}},
		{"set priorities", unix.SYS_SETPRIORITY, []uintptr{minus, 0, 0}},
		{"set up io_uring", unix.SYS_IO_URING_SETUP, []uintptr{0, none}},
		{"use bpf", unix.SYS_BPF, []uintptr{9999, none, 0}},
		{"use the keyring", unix.SYS_KEYCTL, []uintptr{unix.KEYCTL_GET_KEYRING_ID, minus - 2, 0}}, // the session's
		{"add a key", unix.SYS_ADD_KEY, []uintptr{none, none, none, 0, 0}},
		{"watch events of the processor", unix.SYS_PERF_EVENT_OPEN, []uintptr{none, 0, minus, minus, 0}},
		{"handle page faults", unix.SYS_USERFAULTFD, []uintptr{1}},
		{"watch files", unix.SYS_INOTIFY_INIT1, []uintptr{0}},
		{"share memory", unix.SYS_SHMAT, []uintptr{minus, none, 0}},
		{"open a message queue", unix.SYS_MQ_OPEN, []uintptr{none, 0, 0, none}},
		{"map code", unix.SYS_MMAP, []uintptr{none, 4096, unix.PROT_READ | unix.PROT_EXEC, unix.MAP_PRIVATE | unix.MAP_ANON, minus, 0}},
		{"make memory executable", unix.SYS_MPROTECT, []uintptr{none, 0, unix.PROT_EXEC}},
		{"type into the terminal", unix.SYS_IOCTL, []uintptr{0, unix.TIOCSTI, buffer}},
		{"change personality", unix.SYS_PERSONALITY, []uintptr{0xffffffff}},
		{"ask for privileges", unix.SYS_PRCTL, []uintptr{unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0}},
		{"survive the parent", unix.SYS_PRCTL, []uintptr{unix.PR_GET_PDEATHSIG, buffer, 0, 0, 0}},
		{"change the filter", unix.SYS_SECCOMP, []uintptr{unix.SECCOMP_GET_ACTION_AVAIL, 0, buffer}},
		{"set capabilities", unix.SYS_CAPSET, []uintptr{buffer, none}},
		{"set its user", unix.SYS_SETUID, []uintptr{uintptr(os.Getuid())}},
		{"leave its session", unix.SYS_SETPGID, []uintptr{minus, 0}},
		{"learn the machine's name", unix.SYS_UNAME, []uintptr{uintptr(unsafe.Pointer(new(unix.Utsname)))}},
		{"set the clock", unix.SYS_CLOCK_SETTIME, []uintptr{unix.CLOCK_MONOTONIC, none}},
		{"reboot", unix.SYS_REBOOT, []uintptr{0, 0, 0, 0}},
		// The last one, since from then on every signal stops this process for the parent to look at it.
		{"be traced", unix.SYS_PTRACE, []uintptr{unix.PTRACE_TRACEME, 0, 0, 0}},
	} {
		list = append(list, attempt{c.name, func() error { return raw(c.number, c.args...) }})
	}
	return list
}

// atCWD is AT_FDCWD as an argument.
const atCWD = ^uintptr(99)

// cString returns a string as an argument. The test's process keeps it for ever.
func cString(s string) uintptr {
	b := append([]byte(s), 0)
	kept = append(kept, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

// iovec returns a struct iovec of 8 bytes as an argument.
func iovec(base uintptr) uintptr {
	v := &[2]uintptr{base, 8}
	kept = append(kept, v)
	return uintptr(unsafe.Pointer(v))
}

var kept []any

func raw(number uintptr, args ...uintptr) error {
	a := make([]uintptr, 6)
	copy(a, args)
	if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func opened(l net.Listener, err error) error {
	if err == nil {
		return l.Close()
	}
	return err
}

// fork makes a process that ends at once.
func fork() error {
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	switch {
	case errno != 0:
		return errno
	case pid == 0:
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	_, err := unix.Wait4(int(pid), nil, 0, nil)
	return err
}

// probe tries everything and names, a line each, what wasn't refused for want of permission.
func probe(parent int) string {
	var able []string
	for _, a := range attempts(parent) {
		if err := a.do(); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOSYS) {
			able = append(able, a.name)
		}
	}
	return strings.Join(able, "\n")
}

// Variables that make the test binary, started again, something else.
const (
	probeVariable   = "INTERP_TEST_PROBE"   // it says what it can do: with the lockdown's layer of that name, or "bare"
	withoutVariable = "INTERP_TEST_WITHOUT" // it runs on a kernel without these system calls, by number
)

// beProbe is the process that probeVariable asks for.
func beProbe(layer string) {
	var l Layer
	switch layer {
	case "landlock":
		l = denyFiles()
	case "seccomp":
		l = filterCalls()
	}
	if l.Missing != "" {
		fmt.Print(l)
		return
	}
	fmt.Print(probe(os.Getppid()))
}

// withoutCalls refuses this process and its children system calls as a kernel does that hasn't got them.
func withoutCalls(numbers string) error {
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: callOffset, Size: 4}}
	for _, n := range strings.Split(numbers, ",") {
		number, err := strconv.Atoi(n)
		if err != nil {
			return err
		}
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(number), SkipTrue: 1}, noCall)
	}
	return installFilter(append(program, allowCall))
}

// again runs tests of this binary in another process, set up by prepare, and
// demands that they pass without skipping.
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

// TestLockdown runs what tries to get out in the evaluator.
func TestLockdown(t *testing.T) {
	e := startFile(t, tryAll, interp.Limits{})
	t.Log(e.Lockdown())
	if e.Lockdown().Level != Full {
		t.Skipf("this machine's kernel can't")
	}
	got, err := e.Body(t.Context(), "try_all", map[string]plan.Value{"n": int64(os.Getpid())}, testHost{})
	if err != nil || got != "" {
		t.Errorf("the evaluator can, %v:\n%s", err, got)
	}
}

// TestProbe runs the probe in processes that aren't locked down, or by one
// layer alone: what an evaluator is refused is possible elsewhere, or fails for another reason.
func TestProbe(t *testing.T) {
	all := attempts(1)
	bare := bareProbe(t, "bare")
	for _, a := range all {
		switch {
		case slices.Contains(bare, a.name):
		case os.Geteuid() != 0:
			t.Logf("without root it can't be shown that one could: %s", a.name)
		default:
			t.Errorf("the probe can't %s: so that an evaluator can't shows nothing", a.name)
		}
	}
	if left := bareProbe(t, "seccomp"); len(left) > 0 {
		t.Errorf("the filter alone leaves %q", left)
	}
	left := bareProbe(t, "landlock")
	for _, name := range []string{"read a file", "list a directory", "write a file", "execute"} {
		if slices.Contains(left, name) {
			t.Errorf("landlock alone leaves %q", name)
		}
	}
}

// bareProbe returns what a process can do that has one layer of the lockdown, or none.
func bareProbe(t *testing.T, layer string) []string {
	t.Helper()
	var out []byte
	var err error
	for range 3 { // a signal that comes while it is traced, or in the process that it forks, stops it for good
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := osexec.CommandContext(ctx, "/proc/self/exe")
		cmd.Env = append(os.Environ(), probeVariable+"="+layer, "GODEBUG=asyncpreemptoff=1")
		out, err = cmd.Output()
		stuck := ctx.Err() != nil
		cancel()
		if !stuck {
			break
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", layer, err)
	}
	if strings.Contains(string(out), "is missing") {
		t.Skipf("%s", out)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
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

// TestLoneRoot shows that root of a user namespace gets it too: one without other users, and one as containers have it.
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

// namespace has as many users; root in it is this process's user, or else one that nobody is.
func namespace(count int) *syscall.SysProcAttr {
	uid, gid := os.Getuid(), os.Getgid()
	if count > 1 {
		uid, gid = firstUser<<1, firstUser<<1
	}
	return &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, Credential: &syscall.Credential{NoSetGroups: true}, GidMappingsEnableSetgroups: count > 1,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: count}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: count}},
	}
}

// TestInherited looks at an evaluator from outside: what it has of its parent's.
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
	for _, want := range []string{`Max file size +0 +0`, `Max core file size +0 +0`, fmt.Sprintf(`Max open files +%d +%[1]d`, maxFiles), `Max address space +\d+ +\d+`} {
		if !regexp.MustCompile(want).MatchString(limits) {
			t.Errorf("want %s in\n%s", want, limits)
		}
	}
}

// userWanted is the pattern of the four ids of an evaluator's user: another
// for root's, where there is one that may execute this binary.
func userWanted(e *Evaluator) string {
	user := os.Getuid()
	if c := e.process.cmd.SysProcAttr.Credential; c != nil {
		user = int(c.Uid)
	}
	return fmt.Sprintf(`%d\s+%[1]d\s+%[1]d\s+%[1]d`, user)
}

// TestUsers: root's evaluator is a user of its own if that can be.
func TestUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	e := startFile(t, "", interp.Limits{})
	c := e.process.cmd.SysProcAttr.Credential
	if c == nil || c.Uid != firstUser+uint32(os.Getpid()) || c.Gid != c.Uid {
		t.Errorf("the evaluator is %+v", c)
	}
	if got := e.Lockdown().Layers[1]; got.Detail != "no capabilities, a user of its own" {
		t.Errorf("it says %v", got)
	}
}

// descriptors demands that a process has none but its own.
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
	var told Lockdown
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
	options = Options{Source: sources{"main.star": ""}, Entry: "main.star", Locked: func(l Lockdown) { told = l }}
	e, _, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if told.Level != Partial || len(told.Missing()) != strings.Count(os.Getenv("MISSING"), ",")+1 || told.String() != e.Lockdown().String() {
		t.Errorf("told %v, is %v", told, e.Lockdown())
	}
}
