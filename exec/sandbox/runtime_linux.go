package sandbox

import (
	"debug/elf"
	"encoding/json"
	osexec "os/exec"
	"path/filepath"
	"strconv"

	"github.com/flytestar/flytestar/exec/sandbox/inside"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// findRuntime returns the path of the OCI runtime of that name, or "" if the name is empty.
func findRuntime(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	found, err := osexec.LookPath(name)
	if err == nil {
		found, err = filepath.Abs(found)
	}
	if err != nil {
		return "", broken("the OCI runtime %s can't be found: %w", name, err).WithHint("install it, or leave --runtime out")
	}
	if err := needStatic("/proc/self/exe"); err != nil {
		return "", err
	}
	return found, nil
}

// needStatic refuses a program that isn't statically linked: containers have no loader for it.
func needStatic(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Section(".interp") != nil {
		return broken("an OCI runtime needs a flytestar that is statically linked").WithHint("build it with CGO_ENABLED=0")
	}
	return nil
}

// foreign changes a config so that the first process hands the container to the OCI runtime. The
// mounts stay the same, and stay detached from the host. Only that process and the runtime see the
// bundle.
func (b *box) foreign(c *inside.Config, t *trees) error {
	self, err := t.open("/proc/self/exe", true)
	if err != nil {
		return err
	}
	c.Mounts = append(c.Mounts, inside.Mount{Target: inside.InitPath, Tree: self})
	spec, err := b.bundle(c)
	if err != nil {
		return err
	}
	data, err := json.Marshal(spec)
	c.Foreign = &inside.Foreign{Path: b.sandbox.runtime, Spec: data, RootID: b.sandbox.ids.base}
	return err
}

// bundle returns the container's description for OCI runtimes (config.json), without the user:
// package inside looks that up in the container.
func (b *box) bundle(c *inside.Config) (*specs.Spec, error) {
	filter, err := profile()
	if err != nil {
		return nil, err
	}
	setup, err := json.Marshal(inside.Init{Signal: stopSignal(b.c.StopSignal), CPUs: c.CPUs})
	if err != nil {
		return nil, err
	}
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(b.sandbox.ids.base), Size: IDCount}}
	spec := &specs.Spec{
		Version:  "1.0.2",
		Hostname: c.Hostname,
		Root:     &specs.Root{Path: "root"},
		Process: &specs.Process{
			Args: append([]string{inside.InitPath, string(setup)}, c.Args...), Env: c.Env, Cwd: orRoot(c.Workdir), NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{Bounding: capabilityNames, Effective: capabilityNames, Permitted: capabilityNames},
			Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Hard: c.OpenFiles, Soft: c.OpenFiles}, {Type: "RLIMIT_CORE"},
			},
		},
		Mounts: b.bundleMounts(c),
		Linux: &specs.Linux{
			UIDMappings: ids, GIDMappings: ids, Seccomp: filter,
			Namespaces:    b.bundleNamespaces(),
			MaskedPaths:   inside.Masked,
			ReadonlyPaths: inside.ReadOnly,
			CgroupsPath:   b.group.path(),
			Resources:     b.bundleLimits(),
		},
	}
	if !b.c.Network {
		spec.Linux.Sysctl = inside.Sysctls
	}
	return spec, nil
}

// bundleLimits returns the limits that the container's cgroup is to show. Those of the cgroup above it
// are what counts. With v1 a limit of memory isn't repeated: it shows there all the same, and which of
// the two was reached matters.
func (b *box) bundleLimits() *specs.LinuxResources {
	r, limits := b.c.Resource, &specs.LinuxResources{}
	if b.group == nil {
		return limits
	}
	if _, v2 := b.group.site.dirs[""]; v2 && r.Memory > 0 {
		limits.Memory = &specs.LinuxMemory{Limit: &r.Memory}
	}
	if l := b.group.site.limits(r, 0); l.CpuQuota > 0 {
		limits.CPU = &specs.LinuxCPU{Quota: &l.CpuQuota, Period: &l.CpuPeriod}
	}
	return limits
}

func orRoot(dir string) string {
	if dir == "" {
		return "/"
	}
	return dir
}

func (b *box) bundleNamespaces() []specs.LinuxNamespace {
	kinds := []specs.LinuxNamespaceType{
		specs.UserNamespace, specs.MountNamespace, specs.PIDNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.CgroupNamespace,
	}
	if !b.c.Network {
		kinds = append(kinds, specs.NetworkNamespace)
	}
	var list []specs.LinuxNamespace
	for _, k := range kinds {
		list = append(list, specs.LinuxNamespace{Type: k})
	}
	return list
}

// bundleMounts returns the mounts that a runtime is to make. Without a runtime, package inside
// makes the same ones.
func (b *box) bundleMounts(c *inside.Config) []specs.Mount {
	list := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "mode=755", "size=64k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(c.Shm, 10)}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
	}
	sys := specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}}
	if b.c.Network {
		sys.Type, sys.Source, sys.Options = "bind", "/sys", []string{"rbind", "nosuid", "noexec", "nodev", "rro"}
	}
	list = append(list, sys)
	if b.group != nil {
		list = append(list, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "ro"}})
	}
	if len(c.CPUs) > 0 {
		list = append(list, specs.Mount{Destination: inside.OnlinePath, Type: "bind", Source: inside.StagedOnline, Options: []string{"bind", "nosuid", "nodev", "ro"}})
	}
	for i, m := range c.Mounts {
		options := []string{"bind", "nosuid", "nodev"}
		if !m.Write {
			options = append(options, "ro")
		}
		list = append(list, specs.Mount{Destination: m.Target, Type: "bind", Source: inside.TreePath(i), Options: options})
	}
	return list
}
