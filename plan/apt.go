package plan

import (
	"regexp"
	"sync"
)

// aptPackage matches what a step may ask apt for: a name of Debian's policy, or a name of one
// architecture, with a version or without.
var aptPackage = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9-]+)?(=[A-Za-z0-9][A-Za-z0-9.+:~-]*)?$`)
})

// IsAptPackage reports whether text is the name of a Debian package, or name:architecture, with
// =version or without. Everything else could mean something else to apt: an option, a path, a
// pattern, a suite, or, with a "-" at its end, a package to remove.
func IsAptPackage(text string) bool { return aptPackage().MatchString(text) }
