package inside

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// OnlinePath is the file by which the C library counts the machine's cores.
const OnlinePath = "/sys/devices/system/cpu/online"

// StagedOnline is where a runtime finds the file for a container that may not use all cores.
const StagedOnline = Staging + "/online"

// stageOnline writes that file.
func (c *Config) stageOnline() error {
	if len(c.CPUs) == 0 {
		return nil
	}
	var list []string
	for _, cpu := range c.CPUs {
		list = append(list, strconv.Itoa(cpu))
	}
	if err := os.WriteFile(StagedOnline, []byte(strings.Join(list, ",")+"\n"), 0o444); err != nil {
		return err
	}
	return os.Chmod(StagedOnline, 0o444) // whatever the umask
}

// openOnline returns a detached mount of that file, or -1.
func (c *Config) openOnline() (int, error) {
	if len(c.CPUs) == 0 {
		return -1, nil
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, StagedOnline, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, err
	}
	return fd, unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// showLimits lets the process see its limits where programs look for them: its cgroups, and the file
// of cores.
func (c *Config) showLimits(online int) error {
	if online >= 0 {
		if err := attach(online, OnlinePath); err != nil {
			return fmt.Errorf("mounting %s: %w", OnlinePath, err)
		}
	}
	const dir = "/sys/fs/cgroup"
	if len(c.Groups) == 0 {
		return nil
	}
	if c.Groups[0].Name == "" {
		return attach(c.Groups[0].Tree, dir)
	}
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("tmpfs", dir, "tmpfs", safe, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("mounting %s: %w", dir, err)
	}
	for _, g := range c.Groups {
		at := dir + "/" + g.Name
		if err := unix.Mkdir(at, 0o755); err != nil {
			return err
		}
		if err := attach(g.Tree, at); err != nil {
			return fmt.Errorf("mounting %s: %w", at, err)
		}
	}
	return unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|safe, "")
}

// pin lets this thread, and what it forks, use only these cores; all if there are none.
func pin(cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("choosing cores: %w", err)
	}
	return nil
}
