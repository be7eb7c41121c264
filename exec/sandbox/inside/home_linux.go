package inside

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// FreshHome is the home of a user who has none, or can't write to it.
const FreshHome = "/var/flytestar/home"

// identify looks up the container's user, and gives that user what programs expect: HOME, unless the
// environment has it, an entry in /etc/passwd, and the private directories.
func (c *Config) identify(f *filler) (identity, error) {
	id, err := f.lookUser(c.User)
	if err != nil {
		return id, err
	}
	if !id.known && id.uid == 0 {
		id.home = "/root"
	}
	has := slices.ContainsFunc(c.Env, func(kv string) bool { return strings.HasPrefix(kv, "HOME=") })
	if !has && !f.canWrite(id.home, id) {
		id.home = FreshHome
		if err := f.makeHome(id); err != nil {
			return id, fmt.Errorf("making %s: %w", FreshHome, err)
		}
	}
	if !has {
		c.Env = append(slices.Clone(c.Env), "HOME="+id.home)
	}
	if !id.known && id.uid != 0 {
		if err := f.register(id); err != nil {
			return id, err
		}
	}
	for i := range c.Mounts {
		if err := c.Mounts[i].own(f.owner, id); err != nil {
			return id, fmt.Errorf("giving %s to the user: %w", c.Mounts[i].Target, err)
		}
	}
	return id, nil
}

// canWrite reports whether dir is a directory that a user may write to. It goes by owner and mode.
func (f *filler) canWrite(dir string, id identity) bool {
	if !path.IsAbs(dir) {
		return false
	}
	fd, err := f.open(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	var fs unix.Statfs_t
	if unix.Fstat(fd, &st) != nil || unix.Fstatfs(fd, &fs) != nil || fs.Flags&unix.ST_RDONLY != 0 {
		return false
	}
	gid := uint32(int(st.Gid) - f.owner)
	mode := st.Mode & 7
	switch {
	case id.uid == 0:
		return true
	case int(st.Uid)-f.owner == int(id.uid):
		mode = st.Mode >> 6 & 7
	case gid == id.gid || slices.Contains(id.groups, gid):
		mode = st.Mode >> 3 & 7
	}
	return mode&3 == 3
}

// makeHome makes the fresh home.
func (f *filler) makeHome(id identity) error {
	fd, err := f.locate(FreshHome, true, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fchownat(fd, "", f.owner+int(id.uid), f.owner+int(id.gid), unix.AT_EMPTY_PATH)
}

// register adds a user to /etc/passwd, under the id as name: many programs look their user up there,
// and end if it is missing. An image without that file does without.
func (f *filler) register(id identity) error {
	fd, err := f.open("/etc/passwd", unix.O_RDWR|unix.O_APPEND|unix.O_NONBLOCK)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.EROFS { // EROFS: the container brings its own
		return nil
	}
	if err != nil {
		return fmt.Errorf("adding the user to /etc/passwd: %w", err)
	}
	table := os.NewFile(uintptr(fd), "/etc/passwd")
	defer table.Close()
	line := fmt.Sprintf("%d:x:%d:%d::%s:/bin/sh\n", id.uid, id.uid, id.gid, cmp.Or(id.home, "/"))
	info, err := table.Stat()
	if err != nil {
		return err
	}
	if last := []byte("\n"); info.Size() > 0 {
		if _, err := table.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	_, err = table.WriteString(line)
	return err
}
