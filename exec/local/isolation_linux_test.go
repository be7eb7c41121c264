package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/local"
)

func init() { roles["probe"] = probe }

// sight is what a process in a container finds out about itself.
type sight struct {
	Status  map[string]string // lines of /proc/self/status
	UIDMap  []string          // fields of /proc/self/uid_map
	PIDs    int               // processes that it sees
	Links   []string          // network interfaces
	Blocks  []string          // block devices in /dev
	Refused map[string]string // by what was tried: the error, or "" where it was allowed
}

// probe runs in a container: it reads what it can, and tries what it mustn't be able to do.
func probe() {
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

// tries are what a task must not be able to do; nil means that it could.
func tries() map[string]func() error {
	t := map[string]func() error{
		"mount":        func() error { return unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "") },
		"new user ns":  func() error { return clone(unix.CLONE_NEWUSER) },
		"new mount ns": func() error { return clone(unix.CLONE_NEWNS) },
		"unshare":      func() error { return unix.Unshare(unix.CLONE_NEWNS) },
		"setns":        func() error { return setns("/proc/self/ns/uts") },
		"ptrace init":  func() error { return unix.PtraceAttach(1) },
		"keyctl":       func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); return err },
		"add_key": func() error {
			_, err := unix.AddKey("user", "x", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
			return err
		},
		"bpf":           func() error { return call(unix.SYS_BPF, 0, 0, 0) },
		"userfaultfd":   func() error { return call(unix.SYS_USERFAULTFD, 0, 0, 0) },
		"io_uring":      func() error { return call(unix.SYS_IO_URING_SETUP, 0, 0, 0) },
		"perf":          func() error { return call(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0) },
		"kexec":         func() error { return call(unix.SYS_KEXEC_LOAD, 0, 0, 0) },
		"init_module":   func() error { return call(unix.SYS_INIT_MODULE, 0, 0, 0) },
		"block device":  func() error { return unix.Mknod("/tmp/block", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))) },
		"kernel memory": func() error { return unix.Mknod("/tmp/mem", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1))) },
		"host name":     func() error { return unix.Sethostname([]byte("x")) },
		"clock":         func() error { return unix.Settimeofday(&unix.Timeval{Sec: 1}) },
		"chroot":        func() error { return unix.Chroot("/tmp") },
		"packet socket": func() error { return socket(unix.AF_PACKET, unix.SOCK_RAW) },
		"raw socket":    func() error { return socket(unix.AF_INET, unix.SOCK_RAW) },
		"host port":     dialHost,
		"host file":     func() error { _, err := os.Stat(os.Getenv("PROBE_FILE")); return err },
	}
	for _, p := range []string{"/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/mm/ksm/run", "/proc/irq/default_smp_affinity"} {
		t["write "+p] = func() error { return openForWriting(p) }
	}
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

// call makes a system call with arguments that mean nothing: only a refusal
// without looking at them counts as one.
func call(number, a, b, c uintptr) error {
	if _, _, errno := unix.Syscall6(number, a, b, c, 0, 0, 0); errno == unix.EPERM || errno == unix.ENOSYS {
		return errno
	}
	return nil
}

func socket(family, kind int) error {
	fd, err := unix.Socket(family, kind, unix.IPPROTO_ICMP)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func dialHost() error {
	conn, err := net.Dial("tcp", os.Getenv("PROBE_ADDRESS"))
	if err == nil {
		conn.Close()
	}
	return err
}

func openForWriting(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err == nil {
		f.Close()
	}
	return err
}

// readSomething fails where a path isn't there, mustn't be read, or has nothing in it.
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

// probed returns what the probe sees in a container of ours.
func probed(t *testing.T, network bool, env []string) sight {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	c := script(t, "exec /probe")
	c.Env = append(c.Env, env...)
	c.Network = network
	c.Mounts = []exec.Mount{{Source: exe, Target: "/probe"}}
	exit, out := run(t, newSandbox(t, local.Options{}), c)
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

// TestIsolation tries from inside a container what a task mustn't do, and
// the same under runc with Docker's default profile, which mustn't be stricter.
func TestIsolation(t *testing.T) {
	host, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer host.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("x"), 0o644))
	env := []string{"FLYTESTAR_TEST_ROLE=probe", "PROBE_ADDRESS=" + host.Addr().String(), "PROBE_FILE=" + secret}

	ours := probed(t, false, env)
	for key, want := range map[string]string{"Seccomp": "2", "NoNewPrivs": "1", "CapInh": strings.Repeat("0", 16), "CapAmb": strings.Repeat("0", 16)} {
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
	if open := probed(t, true, env); open.Refused["host port"] != "" {
		t.Errorf("with the network asked for: %s", open.Refused["host port"])
	}
	notStricter(t, ours, env)
}

// notStricter fails where runc with Docker's default profile refuses something that ours allows.
func notStricter(t *testing.T, ours sight, env []string) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
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
