package sandbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"testing"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// dockerCapabilities are those that Docker gives to containers by default.
var dockerCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// bundle makes an OCI bundle as Docker would: runc's default configuration with Docker's
// capabilities and system call filter. Its root file system has busybox and the given programs.
func bundle(t testing.TB, args, env []string, programs map[string]string) string {
	t.Helper()
	for _, tool := range []string{"runc", "busybox"} {
		if _, err := osexec.LookPath(tool); err != nil {
			t.Skipf("needs %s: apt-get install runc busybox-static", tool)
		}
	}
	dir := t.TempDir()
	rootfs := filepath.Join(dir, "rootfs")
	must(t, os.MkdirAll(filepath.Join(rootfs, "bin"), 0o755))
	busybox, err := osexec.LookPath("busybox")
	must(t, err)
	copyProgram(t, busybox, filepath.Join(rootfs, "bin", "busybox"))
	for _, applet := range []string{"sh", "true"} {
		must(t, os.Symlink("busybox", filepath.Join(rootfs, "bin", applet)))
	}
	for to, from := range programs {
		copyProgram(t, from, filepath.Join(rootfs, to))
	}
	if out, err := osexec.Command("runc", "spec", "--bundle", dir).CombinedOutput(); err != nil {
		t.Fatalf("runc spec: %v\n%s", err, out)
	}
	configure(t, filepath.Join(dir, "config.json"), args, env)
	return dir
}

// configure turns runc's default configuration into Docker's.
func configure(t testing.TB, file string, args, env []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	var spec specs.Spec
	must(t, json.Unmarshal(data, &spec))
	spec.Process.Terminal, spec.Process.Args, spec.Process.Env = false, args, append([]string{"PATH=/bin"}, env...)
	spec.Root.Readonly = false
	c := dockerCapabilities
	spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: c, Effective: c, Permitted: c}
	spec.Linux.Seccomp, err = seccomp.GetDefaultProfile(&spec)
	must(t, err)
	data, err = json.Marshal(spec)
	must(t, err)
	must(t, os.WriteFile(file, data, 0o644))
}

// copyProgram copies an executable.
func copyProgram(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, data, 0o755))
}

// runc runs a bundle and returns its output.
func runc(t testing.TB, dir string, n int, stdout io.Writer) {
	t.Helper()
	var stderr bytes.Buffer
	name := fmt.Sprintf("flytestar-test-%d-%d", os.Getpid(), n+1)
	cmd := osexec.Command("runc", "run", "--bundle", dir, name)
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("runc run: %v\n%s", err, &stderr)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
