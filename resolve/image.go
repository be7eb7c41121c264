package resolve

import (
	"slices"
	"strings"

	"github.com/flytestar/flytestar/internal/python"
	"github.com/flytestar/flytestar/plan"
)

// suites has the Python 3 of the releases that bases are bootstrapped from.
var suites = map[string]string{
	"buster": "3.7", "bullseye": "3.9", "bookworm": "3.11", "trixie": "3.13",
	"bionic": "3.6", "focal": "3.8", "jammy": "3.10", "noble": "3.12",
}

// machines has what uname -m says of Go's architectures.
var machines = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "arm": "armv7l", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}

// target returns what is known of the Python of an image.
func target(b plan.Base, platform string) python.Target {
	_, arch, _ := strings.Cut(platform, "/")
	t := python.Target{Machine: machines[arch]}
	if b.Kind == plan.BaseDebian {
		t.Python, t.Implementation = suites[b.Suite], "cpython"
	}
	return t
}

// essential are the packages that every Debian base has, whatever its release: what is marked Essential, apt and ca-certificates.
var essential = []string{
	"apt", "base-files", "base-passwd", "bash", "bsdutils", "ca-certificates", "coreutils", "dash", "debianutils", "diffutils", "dpkg", "findutils",
	"grep", "gzip", "hostname", "init-system-helpers", "libc-bin", "ncurses-base", "ncurses-bin", "perl-base", "sed", "tar", "util-linux",
}

// comesWith reports whether a base is certain to have an apt package. Of bases that aren't bootstrapped nothing is known.
func comesWith(b plan.Base, name string) bool {
	if b.Kind != plan.BaseDebian {
		return false
	}
	_, found := slices.BinarySearch(essential, name)
	return found || b.Python && (name == "python3" || name == "python3-minimal")
}

// describeBase says what an image starts from, for messages.
func describeBase(b plan.Base) string {
	switch b.Kind {
	case plan.BaseRef:
		return b.Ref
	case plan.BaseScratch:
		return "nothing"
	}
	name := strings.TrimSpace("Debian " + b.Suite)
	if !b.Python {
		name += " without Python"
	}
	return name
}
