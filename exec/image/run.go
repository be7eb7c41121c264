package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// apt installs packages with the image's own apt, and returns what that changed.
func (j *job) apt(ctx context.Context, st *state, s plan.Step) (layer, error) {
	for _, p := range s.Packages {
		if !aptName().MatchString(p) {
			return layer{}, diag.Errorf(s.Pos, diag.Build, "%q is no package name", p).WithHint("write name, or name=version")
		}
	}
	args := append([]string{"/bin/sh", "-c", aptScript, "apt"}, s.Packages...)
	c := &exec.Container{
		Name: "apt", Args: args, Network: true, User: "0:0",
		Env: append(j.runEnv(st), "DEBIAN_FRONTEND=noninteractive", "DEBCONF_NOWARNINGS=yes"),
		// Without it, packages' scripts would start their services.
		Files: []exec.File{{Path: "/usr/sbin/policy-rc.d", Mode: 0o755, Data: []byte("#!/bin/sh\nexit 101\n")}},
	}
	l, err := j.runLayer(ctx, st, s, newKey("apt 1").list(s.Packages), c)
	var failed *exitError
	if errors.As(err, &failed) {
		return l, failed.at(s.Pos, "apt can't install "+strings.Join(s.Packages, ", "))
	}
	return l, err
}

// aptName is what apt takes as a package: never an option, a path or a "-" that removes.
var aptName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9]([a-z0-9+.-]*[a-z0-9+.])?(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?$`)
})

// aptScript installs its arguments. The CA bundle is there where this machine has one.
const aptScript = `set -e
test -n "$SSL_CERT_FILE" && set -- -o Acquire::https::CaInfo="$SSL_CERT_FILE" "$@"
apt_get() { apt-get -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io -q "$@"; }
test -z "$SSL_CERT_FILE" || apt_get -o Acquire::https::CaInfo="$SSL_CERT_FILE" update
test -n "$SSL_CERT_FILE" || apt_get update
apt_get install -y --no-install-recommends "$@"
`

// commands runs a step's commands one after the other in one container.
func (j *job) commands(ctx context.Context, st *state, s plan.Step) (layer, error) {
	c := &exec.Container{
		Name: "commands", Args: append([]string{"/bin/sh", "-c", commandsScript, "sh"}, s.Commands...),
		Network: s.Network, User: "0:0", Env: j.runEnv(st),
	}
	l, err := j.runLayer(ctx, st, s, newKey("commands 1").list(s.Commands).bool(s.Network), c)
	var failed *exitError
	if !errors.As(err, &failed) {
		return l, err
	}
	what := failed.command(s.Commands)
	e := failed.at(s.Pos, what)
	if !s.Network && e.Hint == "" {
		e.Hint = "commands have no network unless with_commands(..., network = True)"
	}
	return l, e
}

// commandsScript runs its arguments, each by a shell of its own, and says which one failed.
const commandsScript = `n=0
for c in "$@"; do
  n=$((n + 1))
  /bin/sh -c "$c" </dev/null || { s=$?; echo "` + commandMark + `$n" >&2; exit $s; }
done
`

// commandMark comes before the number of the command that failed, in the log's last line.
const commandMark = "flytestar: failed command "

// runEnv is the environment of a build container: the image's, without what would make builds differ.
func (j *job) runEnv(st *state) []string {
	env := append([]string{}, st.config.Env...)
	if st.env("PATH") == "" {
		env = append(env, "PATH="+defaultPath)
	}
	if st.env("HOME") == "" {
		env = append(env, "HOME=/root")
	}
	// Python writes bytecode that doesn't depend on times when it sees this.
	return append(env, "SOURCE_DATE_EPOCH="+strconv.FormatInt(st.base.Epoch.Unix(), 10))
}

// runLayer runs c on the image so far and returns what it changed as a layer, keyed by all that the run sees.
func (j *job) runLayer(ctx context.Context, st *state, s plan.Step, k *key, c *exec.Container) (layer, error) {
	k.list(diffIDs(st.layers)).list(c.Env).str(st.config.WorkingDir).str(j.img.Platform)
	st.ran = true
	return j.layer(ctx, k, func() (layer, error) {
		j.step(stepTitle(s))
		c.Layers, c.Workdir = j.store.open(st.layers), st.config.WorkingDir
		return j.store.writeLayer(ctx, func(t *tarball) error {
			r, w := io.Pipe()
			ended := make(chan error, 1)
			go func() {
				c.Diff = w
				_, err := j.run(ctx, c)
				w.CloseWithError(err)
				ended <- err
			}()
			err := copyTar(t, r, normalise(st.base.Epoch))
			r.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // ends a run that still writes
			if runErr := <-ended; runErr != nil && !errors.Is(runErr, io.ErrClosedPipe) {
				return runErr
			}
			return err
		})
	})
}

// exitError is how a container's process failed.
type exitError struct {
	exec.Exit
	tail []string // of its log
}

// Error implements error.
func (e *exitError) Error() string {
	switch {
	case e.OOM:
		return "ran out of memory"
	case e.Signal != "":
		return "was killed by " + e.Signal
	}
	return fmt.Sprintf("exited with %d", e.Code)
}

// command describes the command that failed, and takes the mark out of the log.
func (e *exitError) command(all []string) string {
	if len(e.tail) > 0 {
		n, err := strconv.Atoi(strings.TrimPrefix(e.tail[len(e.tail)-1], commandMark))
		if err == nil && n >= 1 && n <= len(all) {
			e.tail = e.tail[:len(e.tail)-1]
			return fmt.Sprintf("command %d, %q,", n, all[n-1])
		}
	}
	return "commands"
}

// at returns the failure of what at pos, with the log's tail in a note.
func (e *exitError) at(pos diag.Position, what string) *diag.Error {
	d := diag.Errorf(pos, diag.Build, "%s %s", what, e.Error())
	if strings.HasPrefix(what, "apt ") || strings.HasPrefix(what, "pip ") {
		d.Msg = what + ": it " + e.Error()
	}
	if len(e.tail) > 0 {
		d.Notes = append(d.Notes, diag.Note{Msg: "the log ends with\n    " + strings.Join(e.tail, "\n    ")})
	}
	return d
}

// run runs a container of a build to its end. A failed process is an *exitError.
func (j *job) run(ctx context.Context, c *exec.Container) (*exec.Exit, error) {
	if j.opts.Sandbox == nil {
		return nil, diag.Errorf(diag.Position{}, diag.System, "this step needs containers, which don't work here").
			WithHint("flytestar doctor says what is missing")
	}
	if want := "linux/" + runtime.GOARCH; !strings.HasPrefix(j.img.Platform+"/", want+"/") {
		return nil, diag.Errorf(diag.Position{}, diag.Build, "images for %s run containers in their build, and this machine is %s", j.img.Platform, want)
	}
	if c.Network {
		if err := j.connect(c); err != nil {
			return nil, err
		}
	}
	log := &tail{}
	if c.Stdout == nil {
		c.Stdout = log
	}
	c.Stderr = log
	exit, err := j.opts.Sandbox.Run(ctx, c)
	if err != nil {
		return nil, err
	}
	if exit.Code != 0 {
		return exit, &exitError{*exit, log.lines()}
	}
	return exit, nil
}

// caPath is where containers with network find this machine's CA bundle.
const caPath = "/run/flytestar/ca.pem"

// connect gives a container with network what of this machine's network settings it needs:
// proxies and the CA bundle. Neither enters the layer or its key.
func (j *job) connect(c *exec.Container) error {
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "all_proxy"} {
		for _, n := range []string{name, strings.ToUpper(name)} {
			if v := j.getenv(n); v != "" {
				addEnv(c, n, v)
			}
		}
	}
	path, err := j.caBundle()
	if err != nil || path == "" {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("can't read the CA bundle: %w", err)
	}
	c.Files = append(c.Files, exec.File{Path: caPath, Mode: 0o644, Data: data})
	for _, n := range []string{"SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"} {
		addEnv(c, n, caPath)
	}
	return nil
}

// addEnv sets a variable that the container doesn't have yet.
func addEnv(c *exec.Container, name, value string) {
	if !slices.ContainsFunc(c.Env, func(e string) bool { return strings.HasPrefix(e, name+"=") }) {
		c.Env = append(slices.Clone(c.Env), name+"="+value)
	}
}

// getenv looks a variable up in Options.Environ; the last one counts.
func (b *Builder) getenv(name string) string {
	value := ""
	for _, e := range b.opts.Environ {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

// systemBundles are where systems keep their CA bundle.
var systemBundles = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}

// caBundle returns the file of the CAs that this machine trusts; empty if there is none.
func (b *Builder) caBundle() (string, error) {
	if f := b.getenv("SSL_CERT_FILE"); f != "" {
		return f, nil
	}
	for _, f := range systemBundles {
		if _, err := os.Stat(f); err == nil {
			return f, nil
		}
	}
	return "", nil
}

// How much of a log is kept for messages.
const (
	tailLines = 20
	tailBytes = 8 << 10
)

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - tailBytes; n > tailBytes {
		t.buf = append([]byte{}, t.buf[n:]...)
	}
	return len(p), nil
}

// lines returns the last lines, safe to print: no credentials in URLs, no control characters.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.ToValidUTF8(string(bytes.TrimSpace(t.buf)), "?")
	if text == "" {
		return nil
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, redact(text))
	all := strings.Split(text, "\n")
	return all[max(0, len(all)-tailLines):]
}

// userinfo is the credentials in a URL.
var userinfo = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(://)[^/@\s"']+@`) })

// redact takes the credentials out of the URLs in s.
func redact(s string) string { return userinfo().ReplaceAllString(s, "$1") }

// dropped are paths that a run in a container leaves behind and no image needs:
// logs and caches of the package manager, locks, backups. Those that end in "/" are what lies below a directory.
var dropped = []string{
	"var/cache/apt/", "var/cache/ldconfig/aux-cache", "var/cache/debconf/config.dat-old", "var/cache/debconf/templates.dat-old",
	"var/lib/apt/lists/", "var/lib/dpkg/lock", "var/lib/dpkg/lock-frontend", "var/lib/dpkg/triggers/Lock", "var/lib/dpkg/status-old", "var/lib/dpkg/diversions-old",
	"var/lib/dpkg/statoverride-old", "var/lib/dpkg/available", "var/log/apt/", "var/log/dpkg.log", "var/log/alternatives.log",
	"var/log/fontconfig.log", "var/log/lastlog", "var/log/faillog", "var/log/btmp", "var/log/wtmp",
	"etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/.pwd.lock", "run/", "tmp/", "root/.cache/pip/",
}

// isDropped reports whether name is among dropped. A whiteout goes with its name.
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

// normalise returns an edit for [copyTar] that makes a run's difference the same whenever it runs: times
// are clamped to epoch (never raised: bytecode in the base is valid for its sources' times), what
// is dropped is left out, the dates in shadow are the epoch's.
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
		if h.Name != "etc/shadow" || h.Typeflag != tar.TypeReg {
			return true, r, nil
		}
		data, err := io.ReadAll(io.LimitReader(r, maxShadow))
		data = shadowDates(data, epoch)
		h.Size = int64(len(data))
		return true, bytes.NewReader(data), err
	}
}

// shadowDates sets the days of last change that lie after epoch to epoch's.
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
