// Package local runs containers and keeps artifacts on this machine.
//
//   - [Sandbox] runs one process in a container made of layers (exec.Sandbox),
//     in Linux namespaces of its own, or through an OCI runtime on PATH.
//   - [Executor] runs attempts in such containers (exec.Executor).
//   - [Store] keeps artifacts by content (exec.Store).
//   - A program that imports this package is, re-executed, a container's first process (package inside).
//   - [Probe] says what of this machine a Sandbox needs and finds.
//
// How a container comes about: the engine unpacks layers once (layers), makes a
// cgroup (cgroup) and detached mounts of whatever the container is to see
// (trees), and clones itself into new namespaces (sandbox). There package inside
// takes over: it mounts, locks down, starts the process and reports. When
// it is gone, so is everything of the container but its scratch directory,
// from which the difference is read (diff) and which is then removed.
package sandbox

// IDBase is the first of the 65,536 user and group ids of this machine that
// containers' ids map to, unless [Options] say otherwise: root in a container is
// this user outside. It lies above what systemd hands out (up to 0x6fffffff).
const IDBase = 0x70000000

// IDCount is how many ids a container has.
const IDCount = 65536

// Options say how a [Sandbox] works. Home is required.
type Options struct {
	// Home is a directory of this machine's: "layers" in it holds unpacked
	// layers, "sandbox" what running containers write.
	Home string
	// Runtime is an OCI runtime on PATH ("runc", "crun", "runsc") that runs
	// containers, instead of this package.
	Runtime string
	// IDBase is the first id that containers' ids map to; 0 means [IDBase].
	IDBase uint32
	// Processes is how many processes and threads a container may have; 0 means
	// 32,768. It is enforced where the machine's cgroups let it be.
	Processes int64
}

// Swept is what [Sandbox.Sweep] removed.
type Swept struct {
	Cgroups []string // paths
	Scratch []string // paths
}

// Finding is something of this machine that a [Sandbox] stands on.
type Finding struct {
	Name   string // what
	OK     bool
	Needed bool   // whether a container can't be run without it
	Detail string // what there is
	Hint   string // how to get it, where it isn't OK
}
