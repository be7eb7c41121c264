// Package durable writes files that are whole even if the process is killed while it writes, and
// clears up after killed processes.
//
//   - [TryLock] and [WaitLock] lock a file, and [TryLockDir] a directory, among goroutines and
//     processes. A lock ends with its process.
//   - [WriteFile] writes a whole file, and [Create] begins one that is written as a stream. A
//     reader sees the old file or the new one, never a part.
//   - [OpenScratch] makes a directory for what a process needs for a while. [Sweep] removes the
//     scratch directories of processes that have died, and [SweepFiles] their unfinished files.
//   - [NewSparse] writes a file with holes where there are long runs of zeros.
//   - [Rename], [SyncDir] and [RemoveTree] are the steps that these are made of.
//
// All of them work on Linux and macOS.
package durable

// How the parts fit together.
//
// Everything unfinished lies in a scratch directory, or beside its target under a temporary name.
// It is locked with flock(2) for as long as its process lives. The kernel lets go of the lock when
// the process dies, however it dies. A sweep takes what it can lock, and removes it.
//
// Two processes may race between the making of a file and its locking. So whoever has locked a
// path looks whether the path still leads to what is locked, and begins again if it doesn't.
//
// We call flock ourselves. github.com/gofrs/flock and lockedfile of github.com/rogpeppe/go-internal
// wrap the same call, but the first doesn't notice that a locked file was replaced, and the second
// can neither try nor give up waiting.
