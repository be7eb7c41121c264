// Package inside is the first process of a container.
//
//   - [Config] is what the engine tells it, over a pipe; [Report] what it answers.
//   - Its init sets the container up from within its namespaces, starts the
//     task's process, reaps, and reports how that process ended.
//
// It is the engine's own binary, re-executed, so every import of this package
// costs time at each start of a container: it imports the standard library's
// smaller half and golang.org/x/sys/unix, nothing else.
package inside

import "time"

// Argv0 is the argv[0] that makes a process of this binary a container's first
// process. No shell or user gives a program such a name by accident.
const Argv0 = "\x7fflytestar-container"

// Argv0Hold makes a process that does nothing but hold its namespaces until its
// standard input ends.
const Argv0Hold = "\x7fflytestar-hold"

// Descriptors of the first process, besides the standard ones. Those in a
// Config count from FirstFD.
const (
	ConfigFD = 3 // a pipe with one Config; the engine keeps the other end open for as long as the container may live
	ReportFD = 4 // a pipe for Reports
	FirstFD  = 5
)

// Staging is where the first process works before it changes its root. Every
// host has it, and in the container's mount namespace a tmpfs covers it.
const Staging = "/tmp"

// Config is a container as its first process needs it. Trees are descriptors of
// detached mounts, already read-only, nodev and idmapped as they are to be.
type Config struct {
	Hostname  string
	LayerTree int      // holds the unpacked layers
	Layers    []string // paths in LayerTree, top first
	Scratch   int      // a tree that holds "upper" and "work"
	Mounts    []Mount  // sorted by target, so that parents come first
	Sys       int      // a tree of the host's /sys, where the container has no network namespace of its own; else -1
	Shm       int64    // bytes of /dev/shm

	Args    []string
	Env     []string // the whole environment
	Workdir string   // absolute; made if missing
	User    string   // "", "name", "uid", "uid:gid", "name:group"

	Capabilities []int  // what root keeps
	Seccomp      []byte // a filter, as the kernel takes it
	ScopeSockets bool   // whether abstract unix sockets outside must be out of reach
	OpenFiles    uint64 // RLIMIT_NOFILE

	// Foreign hands the container to an OCI runtime. The first process then
	// mounts and guards, and the runtime does the rest.
	Foreign *Foreign
}

// Foreign is an OCI runtime's part. The bundle is [Staging].
type Foreign struct {
	Path string // the runtime's
	Spec []byte // config.json, but for the user
	// RootID is what the container's root is here: the runtime makes the user namespace, so this process isn't in it.
	RootID int
}

// Mount is one path to be made visible in the container: a tree, or a small file.
type Mount struct {
	Target string
	Tree   int    // or -1 for a small file
	Dir    bool   // whether the tree's root is a directory
	Write  bool   // whether the container may write to it
	Mode   uint32 // small file: permission bits
	Data   []byte // small file: content
}

// Report is what the first process says, once when the container is set up
// and once when its process has ended.
type Report struct {
	// Error is set if the container couldn't be set up. Hint says what to do,
	// and Fault whether the image or the container's description is to blame
	// rather than the machine.
	Error string `json:",omitempty"`
	Hint  string `json:",omitempty"`
	Fault bool   `json:",omitempty"`

	Ready bool     `json:",omitempty"` // the container is set up
	Made  []string `json:",omitempty"` // with Ready: paths made for mount points, each after its parents

	Ended    bool          `json:",omitempty"` // the process has ended
	Code     int           `json:",omitempty"` // exit code; 128 + signal
	Signal   string        `json:",omitempty"` // "SIGKILL", … or empty
	MaxRSS   int64         `json:",omitempty"` // bytes, of the largest process
	Duration time.Duration `json:",omitempty"` // from start to end
}
