package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/exec/image/process"
	"github.com/flytestar/flytestar/plan"
)

// apt installs packages with the image's own apt and returns the layer of what that changed.
func (j *job) apt(ctx context.Context, st *state, s plan.Step) (oci.Layer, error) {
	for _, p := range s.Packages {
		if !plan.IsAptPackage(p) {
			return oci.Layer{}, diag.Errorf(s.Pos, diag.Build, "%q isn't a package name", p).WithHint("write name, or name=version")
		}
	}
	args := append([]string{"/bin/sh", "-c", aptScript, "apt"}, s.Packages...)
	c := &exec.Container{
		Name: "apt", Args: args, Network: true, User: "0:0",
		Env: append(j.runEnv(st), "DEBIAN_FRONTEND=noninteractive", "DEBCONF_NOWARNINGS=yes"),
		// Without this file, the packages' scripts would start their services.
		Files: []exec.File{{Path: "/usr/sbin/policy-rc.d", Mode: 0o755, Data: []byte("#!/bin/sh\nexit 101\n")}},
	}
	l, err := j.runLayer(ctx, st, s, memo.NewKey("apt 2").List(s.Packages), c)
	var failed *process.Failed
	if errors.As(err, &failed) {
		return l, aptError(s, failed)
	}
	return l, err
}

// aptError says what a failure of aptScript means.
func aptError(s plan.Step, failed *process.Failed) error {
	const hint = "apt doesn't reach a mirror that the image's sources name; this machine's proxies are used"
	switch failed.Code {
	case aptUnknown:
		_, names, _ := strings.Cut(failed.Log[len(failed.Log)-1], aptMark)
		return diag.Errorf(s.Pos, diag.Build, "there is no apt package %s", strings.Join(strings.Fields(names), ", ")).
			WithHint("check the name; the image's own sources are searched")
	case aptUpdateFailed:
		failed.Log = slices.DeleteFunc(failed.Log, func(l string) bool { return strings.HasPrefix(l, aptMark) })
		e := failed.At(s.Pos, "apt can't update its package lists")
		e.Class, e.Msg = diag.System, "apt can't update its package lists"
		return e.WithHint(hint)
	}
	e := failed.At(s.Pos, "apt can't install "+strings.Join(s.Packages, ", "))
	if unfetched().MatchString(strings.Join(failed.Log, "\n")) {
		e.Class = diag.System
		return e.WithHint(hint)
	}
	return e
}

// unfetched matches signs in apt's log that it couldn't download a package.
var unfetched = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^E: (Failed to fetch|Unable to fetch)`)
})

// Exit codes of aptScript, besides those of apt.
const (
	aptUpdateFailed = 97
	aptUnknown      = 98
)

// aptScript installs its arguments. It has a CA bundle if this machine has one. A source that can't
// be had ends it: an outdated package would stay in the layer for ever. So does a name that no source
// knows: apt would take it as a regular expression. Debian's own default for a stalled download is
// 30 seconds too, but an image may have another.
const aptScript = `set -e
apt_get() {
  apt-get -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io -o APT::Update::Error-Mode=any \
    -o Acquire::Retries=3 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 \
    ${SSL_CERT_FILE:+-o "Acquire::https::CaInfo=$SSL_CERT_FILE"} -q "$@"
}
exec 3>&2
said=$({ LC_ALL=C; export LC_ALL; apt_get update 2>&1 || echo "` + aptMark + ` it failed"; } |
  while IFS= read -r l; do printf '%s\n' "$l" >&3; printf '%s\n' "$l"; done)
case "$said" in *"` + aptMark + ` it failed" | *"W: Failed to fetch"* | *"W: Some index files failed"*) exit 97 ;; esac
line='
'
known="$line$(apt-cache -o APT::Cache::AllNames=true pkgnames)$line" unknown=
for p; do
  name="${p%%=*}"; name="${name%%:*}"
  case "$known" in *"$line$name$line"*) ;; *) unknown="$unknown $name" ;; esac
done
if [ "$unknown" ]; then echo "` + aptMark + `$unknown" >&2; exit 98; fi
apt_get install -y --no-install-recommends "$@"
`

// aptMark begins what aptScript itself says in its log, at the end.
const aptMark = "flytestar: apt:"

// commands runs a step's commands one after the other in one container.
func (j *job) commands(ctx context.Context, st *state, s plan.Step) (oci.Layer, error) {
	c := &exec.Container{
		Name: "commands", Args: append([]string{"/bin/sh", "-c", commandsScript, "sh"}, s.Commands...),
		Network: s.Network, User: "0:0", Env: j.runEnv(st),
	}
	l, err := j.runLayer(ctx, st, s, memo.NewKey("commands 1").List(s.Commands).Bool(s.Network), c)
	var failed *process.Failed
	if !errors.As(err, &failed) {
		return l, err
	}
	what := failedCommand(failed, s.Commands)
	e := failed.At(s.Pos, what)
	if !s.Network && e.Hint == "" && unreached().MatchString(strings.Join(failed.Log, "\n")) {
		e.Hint = "commands have no network unless with_commands(..., network = True)"
	}
	return l, e
}

// unreached matches signs in a log that a program wanted a network.
var unreached = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)resolv(e|ing)|name resolution|not known|unreachable|connection (refused|timed out|failed)|(could not|couldn't|unable to|failed to) connect|no route to host|bad address|proxy|dial (tcp|udp)|ENOTFOUND|EAI_AGAIN|newconnectionerror|urlopen|failed to fetch`)
})

// commandsScript runs each argument in a shell of its own and says which one failed.
const commandsScript = `n=0
for c in "$@"; do
  n=$((n + 1))
  /bin/sh -c "$c" </dev/null || { s=$?; echo "` + commandMark + `$n" >&2; exit $s; }
done
`

// commandMark comes before the number of the failed command in the last line of the log.
const commandMark = "flytestar: failed command "

// runEnv returns the environment of a build container: the image's, with what makes builds
// reproducible.
func (j *job) runEnv(st *state) []string {
	env := append([]string{}, st.config.Env...)
	if st.env("PATH") == "" {
		env = append(env, "PATH="+process.DefaultPath)
	}
	if st.env("HOME") == "" {
		env = append(env, "HOME=/root")
	}
	if st.env("PYTHONHASHSEED") == "" {
		env = append(env, "PYTHONHASHSEED=0")
	}
	// This makes compileall write bytecode that doesn't depend on the sources' times.
	return append(env, "SOURCE_DATE_EPOCH="+strconv.FormatInt(st.base.Epoch.Unix(), 10))
}

// runLayer runs c on the image so far and returns what it changed as a layer. The key has
// everything that c sees.
func (j *job) runLayer(ctx context.Context, st *state, s plan.Step, k *memo.Key, c *exec.Container) (oci.Layer, error) {
	k.List(oci.DiffIDs(st.layers)).List(c.Env).Str(st.config.WorkingDir).Str(j.img.Platform)
	st.ran = true
	return j.layer(ctx, k, func() (oci.Layer, error) {
		j.step(stepTitle(s))
		c.Layers, c.Workdir = j.store.layout.Open(st.layers), st.config.WorkingDir
		return j.store.layout.WriteLayer(ctx, func(w *oci.LayerWriter) error {
			r, diff := io.Pipe()
			ended := make(chan error, 1)
			go func() {
				c.Diff = diff
				err := j.processes().Run(ctx, c)
				diff.CloseWithError(err)
				ended <- err
			}()
			err := copyTar(w, r, normalise(st.base.Epoch))
			r.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // ends a run that still writes
			if runErr := <-ended; runErr != nil && !errors.Is(runErr, io.ErrClosedPipe) {
				return runErr
			}
			return err
		})
	})
}

// failedCommand describes the command that failed. It takes the mark out of the log.
func failedCommand(e *process.Failed, all []string) string {
	if len(e.Log) > 0 {
		n, err := strconv.Atoi(strings.TrimPrefix(e.Log[len(e.Log)-1], commandMark))
		if err == nil && n >= 1 && n <= len(all) {
			e.Log = e.Log[:len(e.Log)-1]
			return fmt.Sprintf("command %d, %q,", n, all[n-1])
		}
	}
	return "commands"
}

// dropped are paths that a run in a container leaves behind and no image needs: logs and caches of
// the package manager, locks, backups. A path with a final "/" means everything below it.
var dropped = []string{
	"var/cache/apt/", "var/cache/ldconfig/aux-cache", "var/cache/debconf/config.dat-old", "var/cache/debconf/templates.dat-old",
	"var/lib/apt/lists/", "var/lib/dpkg/lock", "var/lib/dpkg/lock-frontend", "var/lib/dpkg/triggers/Lock", "var/lib/dpkg/status-old", "var/lib/dpkg/diversions-old",
	"var/lib/dpkg/statoverride-old", "var/lib/dpkg/available", "var/log/apt/", "var/log/dpkg.log", "var/log/alternatives.log",
	"var/log/fontconfig.log", "var/log/lastlog", "var/log/faillog", "var/log/btmp", "var/log/wtmp",
	"etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/.pwd.lock", "run/", "tmp/", "root/.cache/pip/",
}

// isDropped reports whether name is one of dropped, or lies below one.
func isDropped(name string) bool {
	for _, d := range dropped {
		if name == d || strings.HasSuffix(d, "/") && strings.HasPrefix(name, d) {
			return true
		}
	}
	return false
}

// maxShadow bounds /etc/shadow, in bytes.
const maxShadow = 4 << 20

// normalise returns an edit for [copyTar] that makes what a run changed the same whenever it runs.
// It leaves out what is dropped. Times after epoch become epoch, and so do the dates in shadow.
// Earlier times stay, since bytecode in the base is only valid with its sources' times.
func normalise(epoch time.Time) func(*tar.Header, io.Reader) (bool, io.Reader, error) {
	return func(h *tar.Header, r io.Reader) (bool, io.Reader, error) {
		if isDropped(h.Name) {
			return false, nil, nil
		}
		if h.Typeflag == tar.TypeLink {
			if h.Linkname = strings.TrimPrefix(h.Linkname, "/"); isDropped(h.Linkname) {
				return false, nil, fmt.Errorf("%s is a hard link to %s, which isn't kept in the image", h.Name, h.Linkname)
			}
		}
		if h.ModTime.After(epoch) {
			h.ModTime = epoch
		}
		if h.Typeflag == tar.TypeReg && strings.HasSuffix(h.Name, ".pyc") && strings.Contains(h.Name, "__pycache__/") {
			in := bufio.NewReader(r)
			return !timed(in, epoch), in, nil
		}
		if h.Name != "etc/shadow" || h.Typeflag != tar.TypeReg {
			return true, r, nil
		}
		data, err := io.ReadAll(io.LimitReader(r, maxShadow))
		data = shadowDates(data, epoch)
		h.Size = int64(len(data))
		return true, bytes.NewReader(data), err
	}
}

// timed reports whether bytecode is compared with its module by a time that normalise changes, or
// that builders give to all files. It is stale already, or it would pass for that of a module that a
// later step puts in the old one's place.
func timed(bytecode *bufio.Reader, epoch time.Time) bool {
	head, err := bytecode.Peek(16) // magic number, flags, time, size
	if err != nil || binary.LittleEndian.Uint32(head[4:]) != 0 {
		return false // by hash, or none that Python can read
	}
	t := int64(binary.LittleEndian.Uint32(head[8:]))
	return t >= epoch.Unix() || t == oci.FileTime.Unix()
}

// shadowDates sets the days of last change that are after epoch to that of epoch.
func shadowDates(data []byte, epoch time.Time) []byte {
	day := epoch.Unix() / (24 * 60 * 60)
	lines := strings.Split(string(data), "\n")
	for i, l := range lines {
		f := strings.Split(l, ":")
		if len(f) < 3 {
			continue
		}
		if n, err := strconv.ParseInt(f[2], 10, 64); err == nil && n > day {
			f[2] = strconv.FormatInt(day, 10)
			lines[i] = strings.Join(f, ":")
		}
	}
	return []byte(strings.Join(lines, "\n"))
}
