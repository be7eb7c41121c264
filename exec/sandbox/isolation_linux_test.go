package sandbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/exec/sandbox/sandboxtest"
)

func init() {
	roles["probe"] = probe
	roles["traced"] = traced
}

// traced asks to be traced, executes itself, and then gets a signal.
func traced() {
	runtime.LockOSThread()
	if _, _, errno := unix.Syscall(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0); errno != 0 {
		panic(errno)
	}
	if os.Getenv("AGAIN") == "" {
		panic(syscall.Exec("/probe", []string{"/probe"}, []string{"FLYTESTAR_TEST_ROLE=traced", "AGAIN=1"}))
	}
	fmt.Println("goes on")
	unix.Kill(os.Getpid(), unix.SIGABRT)
	panic("it outlived its signal")
}

// sight is what a process in a container can see.
type sight struct {
	Status  map[string]string // lines of /proc/self/status
	UIDMap  []string          // fields of /proc/self/uid_map
	PIDs    int               // processes that it sees
	Links   []string          // network interfaces
	Blocks  []string          // block devices in /dev
	Root    []string          // entries of /
	Mounts  string            // /proc/self/mountinfo
	Cgroup  string            // /proc/self/cgroup
	Refused map[string]string // what was tried: the error, or "" if it was allowed
}

// probe runs in a container. It reads what it can, and tries what it mustn't be able to do.
func probe() {
	runtime.LockOSThread() // tracing and leaving a namespace concern one thread
	s := sight{Status: map[string]string{}, Refused: map[string]string{}}
	data, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		s.Status[key] = strings.TrimSpace(value)
	}
	data, _ = os.ReadFile("/proc/self/uid_map")
	s.UIDMap = strings.Fields(string(data))
	processes, _ := filepath.Glob("/proc/[0-9]*")
	s.PIDs = len(processes)
	links, _ := net.Interfaces()
	for _, l := range links {
		s.Links = append(s.Links, l.Name)
	}
	devices, _ := os.ReadDir("/dev")
	for _, d := range devices {
		if d.Type()&os.ModeDevice != 0 && d.Type()&os.ModeCharDevice == 0 {
			s.Blocks = append(s.Blocks, d.Name())
		}
	}
	entries, _ := os.ReadDir("/")
	for _, e := range entries {
		s.Root = append(s.Root, e.Name())
	}
	data, _ = os.ReadFile("/proc/self/mountinfo")
	s.Mounts = string(data)
	data, _ = os.ReadFile("/proc/self/cgroup")
	s.Cgroup = string(data)
	for name, try := range tries() {
		s.Refused[name] = ""
		if err := try(); err != nil {
			s.Refused[name] = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// tries returns attempts, and those whose targets the test passes to the probe.
func tries() map[string]func() error {
	t := maps.Clone(attempts)
	t["setns uts"] = func() error { return setns("/proc/self/ns/uts") }
	t["host port"] = dial("tcp", os.Getenv("PROBE_ADDRESS"))
	t["host file"] = func() error { _, err := os.Stat(os.Getenv("PROBE_FILE")); return err }
	for _, p := range []string{
		"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/asound", "/proc/acpi", "/sys/firmware", "/sys/devices/virtual/powercap",
	} {
		t["read "+p] = func() error { return readSomething(p) }
	}
	return t
}

func clone(flag uintptr) error {
	return (&osexec.Cmd{Path: "/bin/true", SysProcAttr: &syscall.SysProcAttr{Cloneflags: flag}}).Run()
}

func setns(file string) error {
	fd, err := unix.Open(file, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, 0)
}

// readSomething fails if a path is missing, can't be read, or is empty.
func readSomething(name string) error {
	if entries, err := os.ReadDir(name); err == nil {
		if len(entries) == 0 {
			return fmt.Errorf("it is empty")
		}
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	return err
}

// probed returns what the probe sees in one of our containers.
func probed(t *testing.T, network bool, env []string) sight {
	t.Helper()
	exe := sandboxtest.Program(t)
	c := script(t, "exec /probe")
	c.Env = append(c.Env, env...)
	c.Network = network
	c.Mounts = []exec.Mount{{Source: exe, Target: "/probe"}}
	exit, out := run(t, sandboxtest.New(t, sandbox.Options{}), c)
	return parse(t, exit.Code, out)
}

func parse(t *testing.T, code int, out string) sight {
	t.Helper()
	var s sight
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	return s
}

// TestIsolation tries from inside a container what a task mustn't do. It tries the same under runc
// with Docker's default profile, which mustn't be stricter.
func TestIsolation(t *testing.T) {
	host, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer host.Close()
	abstract, err := net.Listen("unix", abstractSocket)
	must(t, err)
	defer abstract.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("x"), 0o644))
	env := []string{"FLYTESTAR_TEST_ROLE=probe", "PROBE_ADDRESS=" + host.Addr().String(), "PROBE_FILE=" + secret}

	ours := probed(t, false, env)
	for key, want := range map[string]string{
		"Seccomp": "2", "NoNewPrivs": "1", "CapInh": none, "CapAmb": none, "CapPrm": some, "CapEff": some, "CapBnd": some,
	} {
		if got := ours.Status[key]; got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	if fmt.Sprint(ours.Links) != "[lo]" || len(ours.Blocks) > 0 || ours.PIDs > 2 {
		t.Errorf("network interfaces %v, block devices %v, %d processes", ours.Links, ours.Blocks, ours.PIDs)
	}
	if len(ours.UIDMap) != 3 || ours.UIDMap[1] == "0" {
		t.Errorf("root inside is root outside: uid_map %v", ours.UIDMap)
	}
	for name, refusal := range ours.Refused {
		if refusal == "" {
			t.Errorf("%s: not refused", name)
		}
	}
	if got := ours.Refused["clone3"]; got != unix.ENOSYS.Error() {
		t.Errorf("clone3: %s; programs fall back to clone only if it isn't implemented", got)
	}
	opaque(t, ours)
	notStricter(t, ours, env)
	connected(t, probed(t, true, env))
}

const (
	none = "0000000000000000"
	some = "00000000800004fb" // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE, SETFCAP
)

// opaque fails if a container sees paths of the host that it needn't see.
func opaque(t *testing.T, s sight) {
	t.Helper()
	if want := "[bin dev etc probe proc root sys tmp]"; fmt.Sprint(s.Root) != want {
		t.Errorf("/: %v, want %s", s.Root, want)
	}
	for line := range strings.Lines(s.Cgroup) {
		if !strings.HasSuffix(line, ":/\n") {
			t.Errorf("a cgroup's path shows: %s", line)
		}
	}
	for line := range strings.Lines(s.Mounts) {
		// A bind mount shows its path within its file system; no other mount does.
		if f := strings.Fields(line); f[4] != "/probe" && (strings.Contains(line, os.TempDir()) || strings.Contains(line, "flytestar")) {
			t.Errorf("a mount shows the host's paths: %s", line)
		}
	}
}

// connected checks what a container with network can do: use the network, and nothing else.
func connected(t *testing.T, s sight) {
	t.Helper()
	links, err := net.Interfaces()
	must(t, err)
	if len(s.Links) != len(links) {
		t.Errorf("network interfaces %v, the host has %d", s.Links, len(links))
	}
	scoped := slices.ContainsFunc(sandbox.Probe(), func(f sandbox.Finding) bool { return f.Name == "landlock" && f.OK })
	for name, refusal := range s.Refused {
		allowed := name == "host port" || name == "reach out" || name == "abstract socket" && !scoped
		if refusal == "" && !allowed {
			t.Errorf("with network, %s: not refused", name)
		}
	}
	if refusal := s.Refused["host port"]; refusal != "" {
		t.Errorf("with network, a port of the host's: %s", refusal)
	}
}

// TestDevices: a device can be used, but not changed, whoever it belongs to.
func TestDevices(t *testing.T) {
	c := script(t, "for d in null zero full random urandom tty; do chmod 600 /dev/$d 2>&1; done; echo x > /dev/null && dd if=/dev/zero bs=4 count=1 2>/dev/null | wc -c")
	exit, out := run(t, sandboxtest.New(t, sandbox.Options{}), c)
	if exit.Code != 0 || strings.Count(out, "Read-only file system") != 6 || !strings.HasSuffix(out, "4\n") {
		t.Errorf("got %+v; %s", exit, out)
	}
}

// TestTraced: a process that wants to be traced by its parent goes on, and ends by its signal.
func TestTraced(t *testing.T) {
	c := script(t, "")
	c.Args, c.Env = []string{"/probe"}, []string{"FLYTESTAR_TEST_ROLE=traced"}
	c.Mounts = []exec.Mount{{Source: sandboxtest.Program(t), Target: "/probe"}}
	exit, out := run(t, sandboxtest.New(t, sandbox.Options{}), c)
	if exit.Code != 128+int(unix.SIGABRT) && exit.Code != 2 || !strings.HasPrefix(out, "goes on\n") || strings.Contains(out, "outlived") {
		t.Errorf("got %+v; %s", exit, out)
	}
}

// TestIsolationUser: a user other than root has no capabilities at all.
func TestIsolationUser(t *testing.T) {
	c := script(t, "grep -E '^(Cap(Inh|Prm|Eff|Amb)|Uid|Gid|Groups|NoNewPrivs|Seccomp):' /proc/self/status; id -u; touch /x 2>&1")
	c.User = "worker"
	exit, out := run(t, sandboxtest.New(t, sandbox.Options{}), c)
	for _, want := range []string{"CapPrm:\t" + none, "CapEff:\t" + none, "CapInh:\t" + none, "CapAmb:\t" + none, "Uid:\t1000\t1000\t1000\t1000", "Groups:\t1000 ", "Permission denied"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in: %s", want, out)
		}
	}
	if exit.Code == 0 {
		t.Error("it could write to /")
	}
}

// notStricter fails if runc with Docker's default profile refuses something that ours allows.
func notStricter(t *testing.T, ours sight, env []string) {
	t.Helper()
	exe := sandboxtest.Program(t)
	var out bytes.Buffer
	runc(t, bundle(t, []string{"/probe"}, env, map[string]string{"probe": exe}), 0, &out)
	docker := parse(t, 0, out.String())
	for name, refusal := range docker.Refused {
		if refusal != "" && ours.Refused[name] == "" {
			t.Errorf("%s: runc refuses it (%s), we don't", name, refusal)
		}
	}
	for _, set := range []string{"CapEff", "CapPrm", "CapBnd"} {
		if more := bits(t, ours.Status[set]) &^ bits(t, docker.Status[set]); more != 0 {
			t.Errorf("%s: %x beyond runc's", set, more)
		}
	}
}

func bits(t *testing.T, hex string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(hex, 16, 64)
	must(t, err)
	return n
}
