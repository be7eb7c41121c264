package sandbox

import (
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

	"github.com/flytestar/flytestar/plan"
)

// groupPrefix begins the names of containers' cgroups. The owner's process id and
// start time follow, so that a sweep can tell dead owners, then a number.
const groupPrefix = "flytestar-"

// groupCount numbers this process's cgroups.
var groupCount atomic.Int64

// cgroupSite is where this process makes cgroups for containers: below its own
// (cgroup v1), so that limits on it hold for them, or beside it (v2, where
// one with processes can't have limited children).
type cgroupSite struct {
	dirs  map[string]string // parent directories by controller; one with the key "" for v2
	owner string            // "PID-START"

	// foreign is whether an OCI runtime makes a cgroup below each of these. Runtimes take
	// one path for all controllers, so these are then at the top.
	foreign bool
}

// controllers are those that limits need. The others would only cost time.
var controllers = []string{"memory", "pids", "cpu"}

// findCgroups looks at how cgroups are mounted here. What isn't there is
// only an error when a limit needs it.
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

// startTime returns when a process began, in the kernel's ticks since boot.
func startTime(pid string) (string, error) {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return "", err
	}
	// The name, in parentheses, may hold anything; the fields after it can't hold a parenthesis.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("/proc/%s/stat has %d fields", pid, len(fields))
	}
	return fields[19], nil
}

// cgroup is a container's cgroup. A nil one has no limits, and tells nothing.
type cgroup struct {
	manager cgroups.Manager
	site    *cgroupSite
	name    string
	alarm   *oomAlarm // where the kernel doesn't count kills below this cgroup
}

// make makes a cgroup with limits. Where that can't be, it is an error if a
// limit was asked for; otherwise the container does without.
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

// manager manages the cgroup in those of controllers that are needed and there.
func (g *cgroupSite) manager(cfg *cgroups.Cgroup, r plan.Resources) (cgroups.Manager, error) {
	if dir, ok := g.dirs[""]; ok {
		return fs2.NewManager(cfg, filepath.Join(dir, cfg.Name))
	}
	paths := map[string]string{}
	for _, c := range controllers {
		if dir, ok := g.dirs[c]; ok && (c != "cpu" || r.MilliCPU > 0) {
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

// cpuPeriod is that of the CPU limit, in microseconds.
const cpuPeriod = 100_000

// limits translates resources.
func (g *cgroupSite) limits(r plan.Resources, processes int64) *cgroups.Resources {
	l := &cgroups.Resources{PidsLimit: &processes, Memory: r.Memory, SkipDevices: true}
	if r.Memory > 0 && g.countsSwap() {
		l.MemorySwap = r.Memory // memory and swap together: no swap
	}
	if r.MilliCPU > 0 {
		l.CpuPeriod = cpuPeriod
		l.CpuQuota = max(r.MilliCPU*cpuPeriod/1000, 1000) // the kernel's least
	}
	return l
}

// countsSwap reports whether swap can be limited; on v1 the kernel may lack it.
func (g *cgroupSite) countsSwap() bool {
	if _, v2 := g.dirs[""]; v2 {
		return true
	}
	_, err := os.Stat(filepath.Join(g.dirs["memory"], "memory.memsw.limit_in_bytes"))
	return err == nil
}

// join moves a process into the cgroup.
func (c *cgroup) join(pid int) error {
	if c == nil || c.site.foreign {
		return nil
	}
	return c.manager.AddPid("", pid)
}

// path is where an OCI runtime is to make the container's cgroup: below this one.
func (c *cgroup) path() string {
	if c == nil {
		return ""
	}
	return strings.TrimPrefix(filepath.Join("/", c.site.dirs[""], c.name, "container"), fs2.UnifiedMountpoint)
}

// oom reports whether the kernel killed a process of the cgroup for want of memory.
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

// remove removes the cgroup, in which no process is left.
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

// oomAlarm is told by the kernel that a cgroup's (v1) memory has run out, for
// itself or for one below.
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

// sweep removes cgroups whose owners are dead. One that has processes, which
// could only be another's, the kernel doesn't let go.
func (g *cgroupSite) sweep() ([]string, error) {
	var swept []string
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
				return swept, broken("removing a cgroup that was left behind: %w", err)
			}
			swept = append(swept, path)
		}
	}
	return swept, nil
}

// ownerLives reports whether the process that a cgroup's name names is still there.
func ownerLives(name string) bool {
	parts := strings.Split(strings.TrimPrefix(name, groupPrefix), "-")
	if _, err := strconv.Atoi(parts[0]); err != nil || len(parts) != 3 {
		return true // not one of ours
	}
	start, err := startTime(parts[0])
	return err == nil && start == parts[1]
}
