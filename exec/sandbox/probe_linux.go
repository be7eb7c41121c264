package sandbox

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/plan"
)

// Probe returns what sandboxes need of this machine, and what is there. It changes nothing that
// lasts.
func Probe() []Finding {
	return []Finding{probeUser(), probeUserNamespaces(), probeOverlay(), probeMapping(), probeCgroups(), probeSeccomp(), probeLandlock()}
}

func probeUser() Finding {
	f := Finding{Name: "user", Needed: true, OK: os.Geteuid() == 0, Detail: fmt.Sprintf("user id %d", os.Geteuid())}
	if !f.OK {
		f.Hint = "building and running need root on this machine: use sudo; check, plan and graph work without"
	}
	return f
}

// probeUserNamespaces makes a user namespace: there is no other way to know.
func probeUserNamespaces() Finding {
	f := Finding{Name: "user namespaces", Needed: true}
	limit, err := os.ReadFile("/proc/sys/user/max_user_namespaces")
	if err == nil && strings.TrimSpace(string(limit)) == "0" {
		f.Detail, f.Hint = "user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=15000"
		return f
	}
	ids := &idmap{base: IDBase}
	ns, err := ids.makeNamespace()
	if err != nil {
		f.Detail, f.Hint = err.Error(), "the kernel needs CONFIG_USER_NS; a container around flytestar must let it make namespaces and keep CAP_SETUID, CAP_SETGID and CAP_SYS_ADMIN"
		return f
	}
	ns.Close()
	f.OK, f.Detail = true, fmt.Sprintf("ids %d to %d stand for a container's", IDBase, IDBase+IDCount-1)
	return f
}

func probeOverlay() Finding {
	f := Finding{Name: "overlayfs", Needed: true}
	known, err := os.ReadFile("/proc/filesystems")
	f.OK = err == nil && strings.Contains(string(known), "\toverlay\n")
	if f.OK {
		f.Detail = "the kernel has it"
	} else {
		f.Detail, f.Hint = "the kernel doesn't list it", "modprobe overlay"
	}
	return f
}

// probeMapping maps the ids of a directory that every machine has.
func probeMapping() Finding {
	f := Finding{Name: "idmapped mounts", Needed: true}
	s := &Sandbox{ids: idmap{base: IDBase}}
	t := &trees{sandbox: s}
	defer t.close()
	dir := os.TempDir()
	if _, err := t.open(dir, true); err != nil {
		f.Detail, f.Hint = err.Error(), "Linux 5.19 or later, and a home directory on ext4, xfs, btrfs or tmpfs"
		return f
	}
	f.OK, f.Detail = true, "work on the file system of "+dir
	return f
}

// probeCgroups makes a cgroup with limits, and removes it.
func probeCgroups() Finding {
	f := Finding{Name: "cgroups", Hint: "only limits of memory and cpu need them: flytestar must be able to write to the cgroup file system"}
	g, err := findCgroups(false)
	if err == nil {
		var c *cgroup
		if c, err = g.tryMake(plan.Resources{Memory: 64 << 20, MilliCPU: 1000}, 1000); err == nil {
			err = c.remove()
		}
	}
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	version := "v1"
	if cgroups.IsCgroup2UnifiedMode() {
		version = "v2"
	} else if cgroups.IsCgroup2HybridMode() {
		version = "v1, hybrid"
	}
	f.OK, f.Hint = true, ""
	f.Detail = version + ": memory, cpu and processes can be limited"
	return f
}

func probeSeccomp() Finding {
	f := Finding{Name: "seccomp", Needed: true}
	data, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail")
	if f.OK = err == nil && strings.Contains(string(data), "errno"); !f.OK {
		f.Detail, f.Hint = "the kernel can't filter system calls", "a kernel with CONFIG_SECCOMP_FILTER"
		return f
	}
	filter, err := assembleFilter()
	if f.OK = err == nil; !f.OK {
		f.Detail = err.Error()
		return f
	}
	f.Detail = fmt.Sprintf("Docker's default profile, %d instructions", len(filter)/int(unsafe.Sizeof(unix.SockFilter{})))
	return f
}

func probeLandlock() Finding {
	f := Finding{Name: "landlock"}
	abi := landlockABI()
	if f.OK = abi >= scopeABI; f.OK {
		f.Detail = fmt.Sprintf("ABI %d: containers with network can't reach the host's abstract unix sockets", abi)
	} else {
		f.Detail = fmt.Sprintf("ABI %d: containers with network can reach the host's abstract unix sockets", abi)
		f.Hint = fmt.Sprintf("ABI %d comes with Linux 6.12, and landlock must be among the kernel's lsm= modules", scopeABI)
	}
	return f
}

// scopeABI is the first version of landlock that can scope abstract unix sockets.
const scopeABI = 6

// landlockABI returns the version of landlock in this kernel, or 0 if it has none.
func landlockABI() int {
	const version = 1 // LANDLOCK_CREATE_RULESET_VERSION
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, version)
	if errno != 0 {
		return 0
	}
	return int(abi)
}

func canScopeSockets() bool { return landlockABI() >= scopeABI }
