package exec

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/flytestar/flytestar/plan"
)

// Sandbox runs processes in containers on this machine.
type Sandbox interface {
	// Run runs c to its end. When it returns, no process, mount, cgroup or
	// temporary directory of c is left, whatever the outcome. Cancelling ctx
	// kills all of c's processes, after c.Grace if c has a StopSignal; Run then
	// returns ctx's error. Any other
	// error means that the machine couldn't run c. A process that ran and
	// failed is not an error: see Exit.
	//
	// A container without HOME gets that of its user in the image's /etc/passwd,
	// or a fresh directory where the user has none or can't write to it.
	Run(ctx context.Context, c *Container) (*Exit, error)
	// Unpack does what Run does first with a container's layers, bottom first: it unpacks those that
	// aren't unpacked yet. So an image that can't be unpacked is found before anything runs. The
	// error is a plain one if the layers are to blame.
	Unpack(ctx context.Context, layers []Layer) error
}

// Container is one process to run, and what it may see and use. The Source of a Mount is a path of
// this machine. All other paths are the container's.
type Container struct {
	Name     string  // for messages and the host name: letters, digits, "-"
	Layers   []Layer // bottom first
	Args     []string
	Env      []string // KEY=VALUE, the whole environment but HOME: see [Sandbox]
	Workdir  string   // made if missing; default "/"
	User     string   // as Image.User; default root of the user namespace
	Mounts   []Mount
	Files    []File // small files, written before start
	Network  bool   // the host's network instead of none
	Resource plan.Resources
	Stdout   io.Writer
	Stderr   io.Writer
	Started  func() // if set, called once, when the process has started
	// StopSignal, if set, is sent to the process when ctx ends: "SIGTERM", "15", …; an unknown one
	// counts as SIGTERM. The container is killed when the process ends, or after Grace.
	StopSignal string
	Grace      time.Duration
	// Diff, if set, receives what the process changed in its root file system, once it has exited
	// with 0. It is the tar of an OCI layer: ids as the container sees them, whiteouts for what is
	// gone, entries sorted by path. Mounts, Files and their mount points are left out.
	Diff io.Writer
	// Written, if set, is called once the process has exited with 0, with what the process has written
	// in Workdir: nil if it has written nothing. Where something was removed, there may be device
	// nodes. It is gone after the call, and nothing in it can be trusted.
	Written func(dir *os.Root) error
}

// Mount binds a path of this machine.
type Mount struct {
	Source   string // file or directory
	Target   string // absolute; made if missing
	Writable bool
	// Private is a directory that the container has for itself: its user owns everything in it, and
	// what changes there is gone with the container. It begins with what Source has, or empty if
	// there is no Source.
	Private bool
}

// File is a small file in a container, owned by its root and read-only.
type File struct {
	Path string
	Mode uint32 // permission bits
	Data []byte
}

// Exit is how a container's process ended.
type Exit struct {
	Code     int    // exit code; 128 + signal where Signal is set
	Signal   string // "SIGKILL", … or empty
	OOM      bool   // the kernel killed one of its processes because memory ran out
	ShmFull  bool   // /dev/shm was full at the end, as far as that is known
	Crowded  bool   // it wanted more processes and threads than it may have, as far as that is known
	Duration time.Duration
	MaxRSS   int64 // peak memory use, in bytes; 0 if unknown
}
