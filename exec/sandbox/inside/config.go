// Package inside is the first process of a container.
//
//   - [Config] is what the sandbox tells it over a pipe. [Report] is what it answers.
//   - Its init sets the container up from within the new namespaces, starts the task's process,
//     reaps, and reports how that process ended.
//
// The process is the program itself, executed again. Whatever this package imports costs time at
// each start of a container. So it imports nothing but golang.org/x/sys/unix and the smaller half
// of the standard library.
package inside

import "time"

// Argv0 is the argv[0] by which this program becomes a container's first process. No shell and no
// user gives a program such a name by accident.
const Argv0 = "\x7fflytestar-container"

// Argv0Hold is the argv[0] by which this program holds its namespaces and does nothing else. It
// ends with its standard input.
const Argv0Hold = "\x7fflytestar-hold"

// Descriptors of the first process, besides the standard ones. A Config's descriptors begin at
// FirstFD.
const (
	ConfigFD = 3 // a pipe with one Config and then Orders; when the sandbox closes its end, the container ends
	ReportFD = 4 // a pipe for Reports
	FirstFD  = 5
)

// Staging is where the first process works before it changes its root. Every host has this
// directory. In the container's mount namespace a tmpfs covers it.
const Staging = "/tmp"

// Config describes a container for its first process. Trees are descriptors of detached mounts,
// which are read-only, nodev and idmapped already where they should be.
type Config struct {
	Given     int // the first descriptor that isn't this process's; whoever called the engine may have left some
	Hostname  string
	LayerTree int      // holds the unpacked layers
	Layers    []string // paths in LayerTree, top first
	Scratch   int      // a tree that holds "upper" and "work"
	Mounts    []Mount  // sorted by target, so that parents come first
	Sys       int      // a tree of the host's /sys if the container shares the host's network, else -1
	Shm       int64    // bytes of /dev/shm
	Groups    []Group  // what /sys/fs/cgroup shows
	CPUs      []int    // cores that the process may use; empty: all

	Args    []string
	Env     []string // the whole environment
	Workdir string   // absolute; made if missing
	User    string   // "", "name", "uid", "uid:gid", "name:group"

	Capabilities []int  // rights that root keeps
	Seccomp      []byte // a filter in the kernel's form
	ScopeSockets bool   // abstract unix sockets outside must be out of reach
	OpenFiles    uint64 // RLIMIT_NOFILE

	// Foreign hands the container to an OCI runtime. Then the first process only mounts and guards,
	// and the runtime does the rest.
	Foreign *Foreign
}

// Order is what the sandbox may send after the Config.
type Order struct {
	Signal int // to send to the container's process
}

// Foreign is what an OCI runtime needs. Its bundle is [Staging].
type Foreign struct {
	Path string // of the runtime
	Spec []byte // config.json without the user
	// RootID is the container's root as seen from this process. The runtime makes the user
	// namespace, so this process isn't in it.
	RootID int
}

// Init is what a runtime's container tells this program, as JSON in its first argument.
type Init struct {
	Signal int   // to pass on to the container's process
	CPUs   []int // as in Config
}

// Group is the container's cgroup in one hierarchy.
type Group struct {
	Name string // of the directory in /sys/fs/cgroup; empty: that directory itself
	Tree int
}

// Mount is something that the container sees at a path: a tree, or a small file.
type Mount struct {
	Target string
	Tree   int  // -1 for a small file
	Dir    bool // the tree's root is a directory
	Write  bool // the container may write to it
	// Private is the number of a directory that the container has for itself: "uppern" and "workn" in
	// Scratch are its upper and work directory, and Tree, unless it is below 0, what it begins with.
	// 0: it isn't private.
	Private int
	Mode    uint32 // small file: permission bits
	Data    []byte // small file: content

	dir int // a private one's descriptor
}

// Report is what the first process reports: once when the container is set up, and once when its
// process has ended.
type Report struct {
	// Error is why the container couldn't be set up, and Hint what to do about it. Fault means that
	// the image or the container's description is to blame, and not the machine.
	Error string `json:",omitempty"`
	Hint  string `json:",omitempty"`
	Fault bool   `json:",omitempty"`

	Ready bool     `json:",omitempty"` // the container is set up
	Made  []string `json:",omitempty"` // with Ready: paths made for mount points, each after its parents

	Ended    bool          `json:",omitempty"` // the process has ended
	Code     int           `json:",omitempty"` // exit code; 128 + signal
	Signal   string        `json:",omitempty"` // "SIGKILL", … or empty
	MaxRSS   int64         `json:",omitempty"` // bytes, of the largest process
	ShmFull  bool          `json:",omitempty"` // /dev/shm is full
	Duration time.Duration `json:",omitempty"` // from start to end
}
