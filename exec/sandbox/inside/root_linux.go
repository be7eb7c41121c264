package inside

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// enter makes the container's root from its layers and moves into it. All mounts are in a namespace
// of the container's own and vanish with its last process.
func (c *Config) enter() error {
	// The sandbox has moved this process into the container's cgroup. A cgroup namespace that is
	// made there has the right root.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("making a cgroup namespace: %w", err)
	}
	if err := unix.Sethostname([]byte(c.Hostname)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if err := c.mountRoot(); err != nil {
		return err
	}
	if err := c.openFiles(); err != nil {
		return err
	}
	online, err := c.openOnline()
	if err != nil {
		return err
	}
	devices, err := openDevices()
	if err != nil {
		return err
	}
	// The kernel only lets a process mount /proc and /sys while it sees other mounts of them.
	proc, err := fresh("proc", 0)
	if err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	sys := c.Sys
	if sys < 0 {
		if sys, err = fresh("sysfs", unix.MOUNT_ATTR_RDONLY); err != nil {
			return fmt.Errorf("mounting /sys: %w", err)
		}
	}
	if err := pivot(Staging + "/root"); err != nil {
		return err
	}
	if err := c.mountSystem(proc, sys, devices); err != nil {
		return err
	}
	if err := c.showLimits(online); err != nil {
		return err
	}
	return hide()
}

// mountRoot mounts the overlay of layers and scratch directory at "root" in Staging.
func (c *Config) mountRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", Staging, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	if err := unix.Chdir(Staging); err != nil {
		return err
	}
	for _, d := range []string{"l", "s", "root", "empty"} {
		if err := unix.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := attach(c.LayerTree, "l"); err != nil {
		return fmt.Errorf("attaching layers: %w", err)
	}
	if err := attach(c.Scratch, "s"); err != nil {
		return fmt.Errorf("attaching the scratch directory: %w", err)
	}
	if err := c.mountLayers(); err != nil {
		return err
	}
	if err := c.stageOnline(); err != nil {
		return err
	}
	return c.mountPrivate()
}

// mountLayers mounts the overlay of layers at "root" in the current directory. The kernel takes one
// page of options, so layers are given by links that have short names.
func (c *Config) mountLayers() error {
	lower := "empty"
	for i, dir := range c.Layers {
		link := strconv.Itoa(i)
		if err := unix.Symlink("l/"+dir, link); err != nil {
			return err
		}
		if i == 0 {
			lower = link
		} else {
			lower += ":" + link
		}
	}
	if err := mountOverlay("root", lower, ""); err != nil {
		return fmt.Errorf("mounting an overlay of %d layers: %w", len(c.Layers), err)
	}
	return nil
}

// mountOverlay mounts an overlay of lower directories and the scratch directory's "upper" and "work",
// of that number, at a target.
func mountOverlay(target, lower, number string) error {
	// nosuid: no_new_privs takes away what a program's file gives anyway. But a program with file
	// capabilities that containers don't have could then not be executed at all.
	// volatile: nothing in the scratch directory is needed after the container's end or a crash of
	// the machine. Without it, unmounting would sync the whole file system below.
	opts := "userxattr,volatile,lowerdir=" + lower + ",upperdir=s/upper" + number + ",workdir=s/work" + number
	return unix.Mount("overlay", target, "overlay", unix.MS_NODEV|unix.MS_NOSUID, opts)
}

// attach moves the detached mount fd to a target, which is relative to the current directory, and
// closes fd.
func attach(fd int, target string) error {
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return err
	}
	return unix.Close(fd)
}

// pivot makes dir the root and detaches the old root.
func pivot(dir string) error {
	if err := unix.Chdir(dir); err != nil {
		return err
	}
	// The old root ends up on top of the new one. From there it can be detached without a directory
	// to hold it.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detaching the old root: %w", err)
	}
	return unix.Chdir("/")
}

// nodes are the devices in a container's /dev.
var nodes = []string{"null", "zero", "full", "random", "urandom", "tty"}

// openDevices returns a detached, read-only mount of each of the host's nodes.
func openDevices() ([]int, error) {
	fds := make([]int, len(nodes))
	for i, n := range nodes {
		fd, err := unix.OpenTree(unix.AT_FDCWD, "/dev/"+n, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err == nil {
			// A device can be written to all the same. But its owner and mode can't be changed, whoever
			// owns it: another runtime may have given it to the user who is root in containers.
			err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
		}
		if err != nil {
			return nil, fmt.Errorf("binding /dev/%s: %w", n, err)
		}
		fds[i] = fd
	}
	return fds, nil
}

// fresh returns a detached mount of a new file system.
func fresh(fstype string, attrs int) (int, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "source", fstype); err != nil {
		return -1, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
}

// mountSystem mounts /proc, /sys and /dev, and brings the container's own network up.
func (c *Config) mountSystem(proc, sys int, devices []int) error {
	for _, m := range []struct {
		tree   int
		target string
	}{{proc, "/proc"}, {sys, "/sys"}} {
		if err := realDir(m.target); err != nil {
			return err
		}
		if err := attach(m.tree, m.target); err != nil {
			return fmt.Errorf("mounting %s: %w", m.target, err)
		}
	}
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, m := range []struct {
		target, fstype string
		flags          uintptr
		data           string
	}{
		{"/dev", "tmpfs", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=755,size=64k"},
		{"/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{"/dev/shm", "tmpfs", safe, "mode=1777,size=" + strconv.FormatInt(c.Shm, 10)},
		{"/dev/mqueue", "mqueue", safe, ""},
	} {
		if err := realDir(m.target); err != nil {
			return err
		}
		if err := unix.Mount(m.fstype, m.target, m.fstype, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s: %w", m.target, err)
		}
	}
	if err := fillDev(devices); err != nil {
		return err
	}
	if c.Sys < 0 {
		if err := openLoopback(); err != nil {
			return err
		}
	}
	return nil
}

// realDir makes a directory, in the root or in a directory that this process made, unless it
// exists. A link there is an error: it could divert a mount, and what the mount should hide would
// show.
func realDir(path string) error {
	if err := unix.Mkdir(path, 0o755); err != nil && err != unix.EEXIST {
		return fmt.Errorf("making %s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return faultf("an image needs a directory there, or nothing", "the image's %s is not a directory", path)
	}
	return nil
}

// fillDev makes the nodes and links in /dev.
func fillDev(devices []int) error {
	for i, n := range nodes {
		path := "/dev/" + n
		fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o666)
		if err != nil {
			return err
		}
		unix.Close(fd)
		if err := attach(devices[i], path); err != nil {
			return fmt.Errorf("binding %s: %w", path, err)
		}
	}
	for _, l := range [][2]string{
		{"pts/ptmx", "/dev/ptmx"}, {"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
	} {
		if err := unix.Symlink(l[0], l[1]); err != nil {
			return err
		}
	}
	return nil
}

// Masked and ReadOnly are the paths that OCI runtimes hide and write-protect by default. A path
// that the kernel doesn't have is skipped.
var (
	Masked = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
	}
	ReadOnly = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// hide masks and write-protects what /proc and /sys show of the host.
func hide() error {
	masked := Masked
	if _, err := os.Lstat("/sys/devices/system/cpu/cpu0/thermal_throttle"); err == nil {
		all, err := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")
		if err != nil {
			return err
		}
		masked = append(all, masked...)
	}
	for _, p := range masked {
		if err := mask(p); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("masking %s: %w", p, err)
		}
	}
	for _, p := range ReadOnly {
		if err := protect(p); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("write-protecting %s: %w", p, err)
		}
	}
	return nil
}

// mask covers a file with /dev/null, or a directory with an empty one.
func mask(path string) error {
	err := unix.Mount("/dev/null", path, "", unix.MS_BIND, "")
	if err == unix.ENOTDIR {
		return unix.Mount("tmpfs", path, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=4k,mode=755")
	}
	return err
}

// protect binds a path to itself, read-only.
func protect(path string) error {
	if err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	const flags = unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return unix.Mount("", path, "", flags, "")
}
