// Package locktest tries what a process that is locked down must not be able to do. It is for
// tests.
//
//   - [Able] tries everything and says what succeeds.
//   - [WithoutCalls] makes the kernel look like one that lacks some system calls.
//
// Where success would hurt the machine, an attempt has wrong arguments. The kernel notices them
// only once it has accepted the call.
package locktest
