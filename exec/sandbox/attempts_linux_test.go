package sandbox_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// attempts are what a container's root must not be able to do. Each returns nil if it could.
var attempts = map[string]func() error{
	"mount tmpfs":       func() error { return unix.Mount("x", "/", "tmpfs", 0, "") },
	"mount bind":        func() error { return unix.Mount("/", "/", "", unix.MS_BIND, "") },
	"remount /proc/sys": func() error { return unix.Mount("", "/proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT, "") },
	"umount /proc":      func() error { return unix.Unmount("/proc", unix.MNT_DETACH) },
	"umount mask":       func() error { return unix.Unmount("/proc/keys", unix.MNT_DETACH) },
	"pivot_root":        func() error { return unix.PivotRoot("/", "/") },
	"fsopen":            func() error { _, err := unix.Fsopen("tmpfs", 0); return err },
	"open_tree":         func() error { _, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE); return err },
	"move_mount":        func() error { return unix.MoveMount(unix.AT_FDCWD, "/proc", unix.AT_FDCWD, "/", 0) },
	"unshare mount":     func() error { return unix.Unshare(unix.CLONE_NEWNS) },
	"unshare net":       func() error { return unix.Unshare(unix.CLONE_NEWNET) },
	"unshare user":      func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"clone user":        func() error { return clone(unix.CLONE_NEWUSER) },
	"clone pid":         func() error { return clone(unix.CLONE_NEWPID) },
	"clone3":            call(unix.SYS_CLONE3, 0, 8),
	"setns":             func() error { return unix.Setns(0, 0) },
	"ptrace attach 1":   func() error { return unix.PtraceAttach(1) },
	"process_vm_readv 1": func() error {
		_, err := unix.ProcessVMReadv(1, []unix.Iovec{{Base: new(byte), Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		return err
	},
	"pidfd_getfd 1": func() error {
		fd, err := unix.PidfdOpen(1, 0)
		if err != nil {
			return err
		}
		_, err = unix.PidfdGetfd(fd, 0, 0)
		return err
	},
	"keyctl": func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); return err },
	"add_key": func() error {
		_, err := unix.AddKey("user", "x", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
		return err
	},
	"request_key":        func() error { _, err := unix.RequestKey("user", "x", "", 0); return err },
	"bpf":                call(unix.SYS_BPF, 0, 0, 72),
	"perf_event_open":    call(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, ^uintptr(0), 0),
	"userfaultfd":        call(unix.SYS_USERFAULTFD, 0),
	"io_uring_setup":     call(unix.SYS_IO_URING_SETUP, 1, 0),
	"open_by_handle_at":  call(unix.SYS_OPEN_BY_HANDLE_AT, ^uintptr(99), 0, 0),
	"kexec_load":         call(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0),
	"init_module":        call(unix.SYS_INIT_MODULE, 0, 1, 0),
	"finit_module":       call(unix.SYS_FINIT_MODULE, 0, 0, 0),
	"delete_module":      call(unix.SYS_DELETE_MODULE, 0, 0),
	"reboot":             call(unix.SYS_REBOOT, 0, 0, 0, 0),
	"swapon":             call(unix.SYS_SWAPON, 0, 0),
	"acct":               call(unix.SYS_ACCT, 0),
	"quotactl":           call(unix.SYS_QUOTACTL, 0, 0, 0, 0),
	"syslog":             call(unix.SYS_SYSLOG, 3, 0, 16),
	"lookup_dcookie":     call(unix.SYS_LOOKUP_DCOOKIE, 0, 0, 16),
	"vhangup":            call(unix.SYS_VHANGUP),
	"settimeofday":       func() error { return unix.Settimeofday(&unix.Timeval{Sec: 1}) },
	"clock_settime":      call(unix.SYS_CLOCK_SETTIME, 0, 0),
	"sethostname":        func() error { return unix.Sethostname([]byte("x")) },
	"chroot":             func() error { return unix.Chroot("/") },
	"mbind":              call(unix.SYS_MBIND, 0, 0, 0, 0, 0, 0),
	"fanotify_init":      call(unix.SYS_FANOTIFY_INIT, 0, 0),
	"personality":        call(unix.SYS_PERSONALITY, 0x0040000),
	"raise nofile":       func() error { return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 30, Max: 1 << 30}) },
	"nice":               func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -10) },
	"oom_score_adj":      write("/proc/self/oom_score_adj", "-500"),
	"socket vsock":       socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0),
	"socket alg":         socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0),
	"socket packet":      socket(unix.AF_PACKET, unix.SOCK_RAW, 0),
	"socket raw":         socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP),
	"mknod null":         node(unix.S_IFCHR, 1, 3),
	"mknod mem":          node(unix.S_IFCHR, 1, 1),
	"mknod disk":         node(unix.S_IFBLK, 254, 0),
	"open /dev/mem":      open("/dev/mem"),
	"open /dev/kmsg":     open("/dev/kmsg"),
	"open /dev/vda":      open("/dev/vda"),
	"open /dev/sda":      open("/dev/sda"),
	"read /proc/kcore":   open("/proc/kcore"),
	"read environ 1":     open("/proc/1/environ"),
	"read mem 1":         open("/proc/1/mem"),
	"read auxv 1":        open("/proc/1/auxv"),
	"link root 1":        link("/proc/1/root"),
	"link exe 1":         link("/proc/1/exe"),
	"link cwd 1":         link("/proc/1/cwd"),
	"link fd 1":          link("/proc/1/fd/3"),
	"link ns 1":          link("/proc/1/ns/mnt"),
	"write sysrq":        write("/proc/sysrq-trigger", "?"),
	"write core_pattern": write("/proc/sys/kernel/core_pattern", "core"),
	"write hostname":     write("/proc/sys/kernel/hostname", "x"),
	"write ip_forward":   write("/proc/sys/net/ipv4/ip_forward", "1"),
	"write drop_caches":  write("/proc/sys/vm/drop_caches", "1"),
	"write irq":          write("/proc/irq/default_smp_affinity", "1"),
	"write uevent":       write("/sys/kernel/uevent_helper", "x"),
	"write attr":         write("/proc/self/attr/exec", "x"),
	"write uid_map":      write("/proc/self/uid_map", "0 0 1"),
	"make in /sys":       func() error { return os.Mkdir("/sys/fs/cgroup/x", 0o755) },
	"make in /proc/bus":  func() error { return os.Mkdir("/proc/bus/x", 0o755) },
	"give file away":     func() error { return os.Lchown("/proc/self/exe", 70000, 0) },
	"reach out":          dial("udp", "192.0.2.1:9"), // it sends nothing; a route is enough for success
	"abstract socket":    dial("unix", abstractSocket),
}

// abstractSocket is a socket on which the test listens, on the host.
const abstractSocket = "@flytestar-test"

// call makes a system call with arguments that mean nothing. Only a call that is refused before the
// kernel looks at them counts as refused.
func call(number uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		_, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno == unix.EPERM || errno == unix.ENOSYS {
			return errno
		}
		return nil
	}
}

func write(name, text string) func() error {
	return func() error {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString(text)
		return err
	}
}

func open(name string) func() error {
	return func() error {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.Read(make([]byte, 16))
		return err
	}
}

func link(name string) func() error {
	return func() error {
		_, err := os.Readlink(name)
		return err
	}
}

// node makes a device node and reads from the device.
func node(kind, major, minor uint32) func() error {
	return func() error {
		name := filepath.Join("/", fmt.Sprintf("node-%d-%d", major, minor))
		if err := unix.Mknod(name, kind|0o600, int(unix.Mkdev(major, minor))); err != nil {
			return err
		}
		return open(name)()
	}
}

func socket(domain, kind, protocol int) func() error {
	return func() error {
		fd, err := unix.Socket(domain, kind, protocol)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

func dial(network, address string) func() error {
	return func() error {
		c, err := net.Dial(network, address)
		if err == nil {
			c.Close()
		}
		return err
	}
}
