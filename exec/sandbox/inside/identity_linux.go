package inside

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxID is the greatest user or group id in a container.
const maxID = 65535

// identity is the user and groups that the container's process runs as.
type identity struct {
	uid, gid uint32
	groups   []uint32
	known    bool   // /etc/passwd has it
	home     string // as /etc/passwd has it, or empty
}

// credential returns id for syscall.ForkExec.
func (id identity) credential() *syscall.Credential {
	return &syscall.Credential{Uid: id.uid, Gid: id.gid, Groups: id.groups}
}

// lookUser finds a user in the container's /etc/passwd and /etc/group. user is "", "name" or "uid",
// each with or without ":group". An id needs no entry there.
func (r root) lookUser(user string) (identity, error) {
	if user == "" {
		user = "0"
	}
	name, group, hasGroup := strings.Cut(user, ":")
	passwd, err := r.readTable("/etc/passwd")
	if err != nil {
		return identity{}, err
	}
	groups, err := r.readTable("/etc/group")
	if err != nil {
		return identity{}, err
	}
	var id identity
	row := find(passwd, name, 4)
	switch n, isID := parseID(name); {
	case row != nil:
		name = row[0]
		uid, ok1 := parseID(row[2])
		gid, ok2 := parseID(row[3])
		if !ok1 || !ok2 {
			return id, faultf("", "the image's /etc/passwd has an id above %d for user %s: ids in containers go up to %[1]d", maxID, name)
		}
		id.uid, id.gid, id.known = uid, gid, true
		if len(row) > 5 {
			id.home = row[5]
		}
	case isID:
		id.uid = n
	case isNumber(name):
		return id, faultf(idRange, "user %s is out of range", name)
	default:
		return id, faultf("name a user that the image has, or an id", "no user %q in the image's /etc/passwd", name)
	}
	if hasGroup {
		if id.gid, err = lookGroup(groups, group); err != nil {
			return id, err
		}
		return id, nil // as other container engines do: a group that is named is the only one
	}
	id.groups = memberships(groups, name, id.gid)
	return id, nil
}

// lookGroup finds a group by name or id.
func lookGroup(groups [][]string, group string) (uint32, error) {
	if row := find(groups, group, 3); row != nil {
		group = row[2]
	}
	gid, ok := parseID(group)
	if !ok && isNumber(group) {
		return 0, faultf(idRange, "group %s is out of range", group)
	}
	if !ok {
		return 0, faultf("name a group that the image has, or an id", "no group %q in the image's /etc/group", group)
	}
	return gid, nil
}

// memberships returns gid and the ids of the groups that have name as a member.
func memberships(groups [][]string, name string, gid uint32) []uint32 {
	ids := []uint32{gid}
	for _, row := range groups {
		if len(row) < 4 || !slices.Contains(strings.Split(row[3], ","), name) {
			continue
		}
		if g, ok := parseID(row[2]); ok && !slices.Contains(ids, g) {
			ids = append(ids, g)
		}
	}
	return ids
}

// find returns the row of a table whose name is key, or else whose id is. The row has at least n
// columns.
func find(table [][]string, key string, n int) []string {
	for _, col := range []int{0, 2} {
		for _, row := range table {
			if len(row) >= n && row[col] == key && key != "" {
				return row
			}
		}
	}
	return nil
}

// parseID parses a user or group id.
func parseID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n <= maxID
}

// idRange is the hint for ids that a container doesn't have.
var idRange = fmt.Sprintf("ids in containers go up to %d", maxID)

// isNumber reports whether a string is a number, however great.
func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// maxTable is how many bytes of /etc/passwd or /etc/group are read.
const maxTable = 4 << 20

// readTable reads a file of the image that has columns between colons. A missing file is empty. The
// image may be hostile, so only a regular file is read, and only its first maxTable bytes.
func (r root) readTable(name string) ([][]string, error) {
	fd, err := r.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil, nil
	}
	if err != nil {
		return nil, faultf("", "reading the image's %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, faultf("", "the image's %s is not a regular file", name)
	}
	var rows [][]string
	lines := bufio.NewScanner(io.LimitReader(f, maxTable))
	for lines.Scan() {
		rows = append(rows, strings.Split(lines.Text(), ":"))
	}
	if err := lines.Err(); err != nil {
		return nil, faultf("", "reading the image's %s: %w", name, err)
	}
	return rows, nil
}

// defaultPath is PATH if the environment has none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookPath finds the file to execute for a command, by the PATH in env. Relative directories in
// PATH, and commands with a slash, are looked up from workdir.
func lookPath(command string, env []string, workdir string) (string, error) {
	if strings.Contains(command, "/") {
		return command, nil // execve looks it up from the working directory too
	}
	dirs := defaultPath
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			dirs = v // the last one counts, as in most shells
		}
	}
	found := error(os.ErrNotExist)
	for _, dir := range strings.Split(dirs, ":") {
		file := path.Join(dir, command)
		if !path.IsAbs(file) {
			file = path.Join(workdir, file)
		}
		info, err := os.Stat(file)
		if err != nil || info.IsDir() {
			continue
		}
		if info.Mode()&0o111 != 0 {
			return file, nil
		}
		found = os.ErrPermission
	}
	if found == os.ErrPermission {
		return "", fmt.Errorf("found in PATH, but not executable: %w", found)
	}
	return "", fmt.Errorf("not found in PATH %s: %w", dirs, found)
}
