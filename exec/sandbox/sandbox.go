// Package sandbox runs containers on this machine: it is the exec.Sandbox of builds and runs.
//
//   - [Sandbox] runs one process in a container made of layers, in Linux namespaces of its own, or
//     through an OCI runtime on PATH.
//   - [Probe] says what a Sandbox needs of this machine, and what is there.
//   - A program that imports this package becomes a container's first process when the Sandbox
//     executes it again (package inside).
//
// A container comes about in these steps. The Sandbox unpacks its layers (package layer). It makes
// a cgroup (cgroup_linux.go) and detached mounts of everything that the container is to see
// (trees_linux.go). Then it clones itself into new namespaces (box_linux.go). There package inside
// takes over: it mounts, gives up rights, starts the process and reports. When that process ends,
// all others in the container end too, and only its scratch directory is left. Package layer reads
// there what the process changed. Then the directory is removed.
package sandbox

// IDBase is the first of the 65,536 user and group ids of this machine that stand for a
// container's, unless [Options] say otherwise. Root in a container is this user outside. It lies
// above the ids that systemd hands out (up to 0x6fffffff).
const IDBase = 0x70000000

// IDCount is how many ids a container has.
const IDCount = 65536

// Options say how a [Sandbox] works. Home is required.
type Options struct {
	// Home is a directory of this machine. Its directory "layers" holds unpacked layers, and
	// "sandbox" what running containers write.
	Home string
	// Runtime is an OCI runtime on PATH ("runc", "crun", "runsc"), which then runs the containers
	// instead of this package.
	Runtime string
	// IDBase is the first id that stands for a container's; 0 means [IDBase].
	IDBase uint32
	// Processes is how many processes and threads a container may have; 0 means 4,096. It holds
	// only where this process can make cgroups.
	Processes int64
}

// Swept is what [Sandbox.Sweep] removed.
type Swept struct {
	Cgroups []string // paths
	Scratch []string // paths
}

// Finding is something that a [Sandbox] needs or can use, as [Probe] found it.
type Finding struct {
	Name   string // what was looked at
	OK     bool
	Needed bool   // no container can run without it
	Detail string // what is there
	Hint   string // how to get it, unless it is OK
}
