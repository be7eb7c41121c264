package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/exec/sandbox/inside"
	"github.com/flytestar/flytestar/plan"
)

// groupPrefix begins the names of containers' cgroups. After it come the process id and start time
// of the process that made the cgroup, by which a sweep knows whether that process is dead, and a
// number.
const groupPrefix = "flytestar-"

// groupCount numbers this process's cgroups.
var groupCount atomic.Int64

// cgroupSite is where this process makes cgroups for containers. With cgroup v1 that is below its
// own cgroup, so that limits on it hold for them too. With v2 it is beside its own cgroup: there a
// cgroup that has processes can't have children with limits.
type cgroupSite struct {
	dirs  map[string]string // parent directories by controller; with v2 one, under the key ""
	owner string            // "PID-START"

	// foreign means that an OCI runtime makes a cgroup below each of these. A runtime takes one
	// path for all controllers, so these are then at the top.
	foreign bool
}

// controllers are the ones that limits need, and those that programs look for when they ask what
// their limits are: a JVM wants to see all of them. Others would only cost time.
var controllers = []string{"memory", "pids", "cpu", "cpuacct", "cpuset"}

// findCgroups looks at how cgroups are mounted here. A controller that is missing is an error only
// when a limit needs it.
func findCgroups(foreign bool) (*cgroupSite, error) {
	start, err := startTime("self")
	if err != nil {
		return nil, err
	}
	g := &cgroupSite{dirs: map[string]string{}, owner: fmt.Sprintf("%d-%s", os.Getpid(), start), foreign: foreign}
	if cgroups.IsCgroup2UnifiedMode() {
		m, err := fs2.NewManager(&cgroups.Cgroup{Name: groupPrefix, Resources: &cgroups.Resources{}}, "")
		if err == nil {
			g.dirs[""] = filepath.Dir(m.Path(""))
		}
		return g, nil
	}
	if !foreign {
		for _, c := range controllers {
			if dir, err := cgroups.GetOwnCgroupPath(c); err == nil {
				g.dirs[c] = dir
			}
		}
		return g, nil
	}
	mounts, err := cgroups.GetCgroupMounts(true)
	if err != nil {
		return g, nil
	}
	for _, m := range mounts {
		for _, c := range m.Subsystems {
			g.dirs[c] = m.Mountpoint // runtimes make cgroups in all of them
		}
	}
	if cgroups.IsCgroup2HybridMode() {
		g.dirs["unified"] = filepath.Join(fs2.UnifiedMountpoint, "unified")
	}
	return g, nil
}

// startTime returns when a process began, in ticks of the kernel since boot.
func startTime(pid string) (string, error) {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return "", err
	}
	// The name stands in parentheses and may hold anything. The fields after it hold no
	// parenthesis.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("/proc/%s/stat has %d fields", pid, len(fields))
	}
	return fields[19], nil
}

// cgroup is a container's cgroup. A nil cgroup has no limits and counts nothing.
type cgroup struct {
	manager cgroups.Manager
	site    *cgroupSite
	name    string
	alarm   *oomAlarm // nil if the kernel counts kills below this cgroup
}

// make makes a cgroup with limits. If it can't, that is an error only if limits of memory or cpu
// were asked for; otherwise the container does without a cgroup.
func (g *cgroupSite) make(r plan.Resources, processes int64) (*cgroup, error) {
	c, err := g.tryMake(r, processes)
	if err == nil {
		return c, nil
	}
	if r.Memory == 0 && r.MilliCPU == 0 {
		return nil, nil
	}
	return nil, broken("limits of memory and cpu can't be enforced on this machine: %w", err).
		WithHint("flytestar must be able to write to the cgroup file system; else leave memory and cpu out of resources")
}

// Limits returns an error unless this machine can hold containers to the resources: it makes a cgroup
// with them, and removes it.
func (s *Sandbox) Limits(r plan.Resources) error {
	if err := Unsupported(r); err != nil {
		return err
	}
	if s.runtime != "" || r.Memory == 0 && r.MilliCPU == 0 {
		return nil
	}
	c, err := s.groups.make(r, s.opts.Processes)
	if err != nil || c == nil {
		return err
	}
	return c.remove()
}

func (g *cgroupSite) tryMake(r plan.Resources, processes int64) (*cgroup, error) {
	cfg := &cgroups.Cgroup{
		Name:      fmt.Sprintf("%s%s-%d", groupPrefix, g.owner, groupCount.Add(1)),
		Resources: g.limits(r, processes),
	}
	m, err := g.manager(cfg, r)
	if err != nil {
		return nil, err
	}
	c := &cgroup{manager: m, site: g, name: cfg.Name}
	if err = m.Apply(-1); err == nil {
		err = m.Set(cfg.Resources)
	}
	if _, v2 := g.dirs[""]; err == nil && g.foreign && !v2 && r.Memory > 0 {
		c.alarm, err = newOOMAlarm(m.Path("memory"))
	}
	if err != nil {
		return nil, errors.Join(err, c.remove())
	}
	return c, nil
}

// manager returns what manages the cgroup, in the needed controllers that are there.
func (g *cgroupSite) manager(cfg *cgroups.Cgroup, r plan.Resources) (cgroups.Manager, error) {
	if dir, ok := g.dirs[""]; ok {
		return fs2.NewManager(cfg, filepath.Join(dir, cfg.Name))
	}
	paths := map[string]string{}
	limited := r.Memory > 0 || r.MilliCPU > 0
	for _, c := range controllers {
		if dir, ok := g.dirs[c]; ok && (limited || c == "memory" || c == "pids") {
			paths[c] = filepath.Join(dir, cfg.Name)
		}
	}
	if len(paths) == 0 {
		return nil, errors.New("no cgroup controller of memory, pids or cpu is mounted")
	}
	if paths["pids"] == "" {
		cfg.Resources.PidsLimit = nil
	}
	return fs.NewManager(cfg, paths)
}

// cpuPeriod is the period of the CPU limit in microseconds.
const cpuPeriod = 100_000

// limits translates resources into limits of a cgroup.
func (g *cgroupSite) limits(r plan.Resources, processes int64) *cgroups.Resources {
	l := &cgroups.Resources{PidsLimit: &processes, Memory: r.Memory, SkipDevices: true}
	if r.Memory > 0 && g.countsSwap() {
		l.MemorySwap = r.Memory // memory and swap together: no swap
	}
	if r.MilliCPU > 0 {
		l.CpuPeriod = cpuPeriod
		l.CpuQuota = max(r.MilliCPU*cpuPeriod/1000, 1000) // the kernel takes no less
	}
	return l
}

// countsSwap reports whether swap can be limited. With v1 the kernel may lack that.
func (g *cgroupSite) countsSwap() bool {
	if _, v2 := g.dirs[""]; v2 {
		return true
	}
	_, err := os.Stat(filepath.Join(g.dirs["memory"], "memory.memsw.limit_in_bytes"))
	return err == nil
}

// show adds mounts of the cgroup's own files to t, by the names under /sys/fs/cgroup. With v2 there
// is one, and its name is empty. An OCI runtime makes these mounts itself.
func (c *cgroup) show(t *trees) (list []inside.Group, err error) {
	if c == nil || c.site.foreign {
		return nil, nil
	}
	for _, name := range append([]string{""}, controllers...) {
		dir := c.manager.Path(name)
		if _, v2 := c.site.dirs[""]; dir == "" || v2 != (name == "") {
			continue
		}
		tree, err := t.openAs(dir, true, false)
		if err != nil {
			return nil, err
		}
		list = append(list, inside.Group{Name: name, Tree: tree})
	}
	return list, nil
}

// join moves a process into the cgroup.
func (c *cgroup) join(pid int) error {
	if c == nil || c.site.foreign {
		return nil
	}
	return c.manager.AddPid("", pid)
}

// path returns where an OCI runtime is to make the container's cgroup: below this one.
func (c *cgroup) path() string {
	if c == nil {
		return ""
	}
	return strings.TrimPrefix(filepath.Join("/", c.site.dirs[""], c.name, "container"), fs2.UnifiedMountpoint)
}

// oom reports whether the kernel killed a process of the cgroup because memory ran out.
func (c *cgroup) oom() (bool, error) {
	if c == nil {
		return false, nil
	}
	if c.alarm != nil {
		return c.alarm.rang()
	}
	n, err := c.manager.OOMKillCount()
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // no memory controller, and so no limit
	}
	return n > 0, err
}

// crowded reports whether the cgroup's limit of processes was reached. A kernel may not tell.
func (c *cgroup) crowded() bool {
	if c == nil {
		return false
	}
	dir := cmp.Or(c.manager.Path(""), c.manager.Path("pids"))
	data, err := os.ReadFile(filepath.Join(dir, "pids.events"))
	n, isMax := strings.CutPrefix(strings.TrimSpace(string(data)), "max ")
	return err == nil && isMax && n != "0"
}

// remove removes the cgroup. None of its processes is left.
func (c *cgroup) remove() error {
	if c == nil {
		return nil
	}
	if c.alarm != nil {
		c.alarm.close()
	}
	err := c.manager.Destroy()
	if c.site.foreign {
		for _, dir := range c.site.dirs {
			err = errors.Join(err, cgroups.RemovePath(filepath.Join(dir, c.name)))
		}
	}
	return err
}

// oomAlarm hears from the kernel when the memory of a cgroup (v1), or of one below it, has run out.
type oomAlarm struct {
	event   int // an eventfd
	control *os.File
}

func newOOMAlarm(dir string) (*oomAlarm, error) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	control, err := os.Open(filepath.Join(dir, "memory.oom_control"))
	if err != nil {
		unix.Close(event)
		return nil, err
	}
	a := &oomAlarm{event, control}
	line := fmt.Sprintf("%d %d", event, control.Fd())
	if err := os.WriteFile(filepath.Join(dir, "cgroup.event_control"), []byte(line), 0); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// rang reports whether memory has run out.
func (a *oomAlarm) rang() (bool, error) {
	var n [8]byte
	_, err := unix.Read(a.event, n[:])
	if err == unix.EAGAIN {
		return false, nil
	}
	return err == nil, err
}

func (a *oomAlarm) close() {
	a.control.Close()
	unix.Close(a.event)
}

// sweep removes the cgroups of dead processes. The kernel doesn't remove a cgroup that has
// processes, so no running container can lose its cgroup.
func (g *cgroupSite) sweep() (swept []string, err error) {
	var failed []error
	for _, dir := range g.dirs {
		left, err := filepath.Glob(filepath.Join(dir, groupPrefix+"*-*-*"))
		if err != nil {
			return swept, err
		}
		for _, path := range left {
			if ownerLives(filepath.Base(path)) {
				continue
			}
			if err := cgroups.RemovePath(path); err != nil {
				failed = append(failed, err)
				continue
			}
			swept = append(swept, path)
		}
	}
	return swept, errors.Join(failed...)
}

// ownerLives reports whether the process in a cgroup's name is still alive.
func ownerLives(name string) bool {
	parts := strings.Split(strings.TrimPrefix(name, groupPrefix), "-")
	if _, err := strconv.Atoi(parts[0]); err != nil || len(parts) != 3 {
		return true // not one of ours
	}
	start, err := startTime(parts[0])
	return err == nil && start == parts[1]
}
