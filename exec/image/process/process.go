// Package process runs the processes of a build in containers.
//
//   - process.go has [Runner], which also passes on this machine's network settings.
//   - limit.go bounds how long a container runs.
//   - failed.go has [Failed]: how a process failed, with the end of its log.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/text"
)

// Runner runs containers in the build of one image.
type Runner struct {
	Sandbox  exec.Sandbox // nil: nothing can be run
	Platform string       // of the image: "linux/amd64"
	Environ  Environ      // where this machine's network settings are looked up
}

// hostPlatform is the one whose programs this machine runs.
const hostPlatform = "linux/" + runtime.GOARCH

// DefaultPath is the PATH of Debian bases, and of containers whose image has none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Run runs a container to its end. If its process fails, the error is a [*Failed] with the end of
// the log. The log has the standard error, and the standard output unless c.Stdout is set.
func (r *Runner) Run(ctx context.Context, c *exec.Container) error {
	if r.Sandbox == nil {
		return diag.Errorf(diag.Position{}, diag.System, "this step needs containers, which don't work here").
			WithHint("flytestar doctor says what is missing")
	}
	if want := hostPlatform; !strings.HasPrefix(r.Platform+"/", want+"/") {
		return diag.Errorf(diag.Position{}, diag.Build, "images for %s run containers in their build, and this machine is %s", r.Platform, want)
	}
	if c.Network {
		if err := r.connect(c); err != nil {
			return err
		}
	}
	log := &text.Tail{Bytes: tailBytes, Lines: tailLines}
	if c.Stdout == nil {
		c.Stdout = log
	}
	c.Stderr = log
	exit, err := r.Sandbox.Run(ctx, c)
	var late *TimedOut
	if errors.As(err, &late) {
		return &Failed{TimedOut: late.Limit, Log: lastLines(log)}
	}
	if err != nil {
		return err
	}
	if exit.Code != 0 {
		return &Failed{Exit: *exit, Log: lastLines(log)}
	}
	return nil
}

// caPath is where containers with a network find this machine's CA bundle.
const caPath = "/run/flytestar/ca.pem"

// connect gives a container the proxies and the CA bundle of this machine. Neither gets into the
// layer or its key.
func (r *Runner) connect(c *exec.Container) error {
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "all_proxy"} {
		for _, n := range []string{name, strings.ToUpper(name)} {
			if v := r.Environ.Get(n); v != "" {
				addEnv(c, n, v)
			}
		}
	}
	path, err := r.Environ.caBundle()
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

// Environ is an environment: KEY=VALUE.
type Environ []string

// Get returns the value of a variable; "" if it isn't set. The last setting counts.
func (env Environ) Get(name string) string {
	value := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

// systemBundles are the places where systems keep their CA bundle.
var systemBundles = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}

// caBundle returns the file of the CAs that this machine trusts; empty if there is none.
func (env Environ) caBundle() (string, error) {
	if f := env.Get("SSL_CERT_FILE"); f != "" {
		return f, nil
	}
	for _, f := range systemBundles {
		if _, err := os.Stat(f); err == nil {
			return f, nil
		}
	}
	return "", nil
}
