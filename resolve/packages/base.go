package packages

import (
	"slices"
	"strings"

	"github.com/flytestar/flytestar/internal/python"
	"github.com/flytestar/flytestar/plan"
)

// suites has the versions of Python 3 in the releases that bases are made from.
var suites = map[string]string{
	"buster": "3.7", "bullseye": "3.9", "bookworm": "3.11", "trixie": "3.13",
	"bionic": "3.6", "focal": "3.8", "jammy": "3.10", "noble": "3.12",
}

// machines has what uname -m prints, by Go's names of architectures.
var machines = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "arm": "armv7l", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}

// target returns what is known of an image's Python.
func target(b plan.Base, platform string) python.Target {
	_, arch, _ := strings.Cut(platform, "/")
	t := python.Target{Machine: machines[arch]}
	if b.Kind == plan.BaseDebian {
		t.Python, t.Implementation = suites[b.Suite], "cpython"
	}
	return t
}

// essential are the packages that every Debian base has, whatever its release: those marked
// Essential, apt and ca-certificates. They are sorted.
var essential = []string{
	"apt", "base-files", "base-passwd", "bash", "bsdutils", "ca-certificates", "coreutils", "dash", "debianutils", "diffutils", "dpkg", "findutils",
	"grep", "gzip", "hostname", "init-system-helpers", "libc-bin", "ncurses-base", "ncurses-bin", "perl-base", "sed", "tar", "util-linux",
}

// comesWith reports whether a base is certain to have an apt package. Nothing is known of bases
// other than Debian's.
func comesWith(b plan.Base, name string) bool {
	if b.Kind != plan.BaseDebian {
		return false
	}
	_, found := slices.BinarySearch(essential, name)
	return found || b.Python && (name == "python3" || name == "python3-minimal")
}
