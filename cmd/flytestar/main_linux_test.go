package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	seccomp "github.com/elastic/go-seccomp-bpf"
)

// without runs a command as if the kernel lacked system calls. Usage: without CALL[,CALL]...
// COMMAND ARG...
func without() {
	err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls:      []seccomp.SyscallGroup{{Names: strings.Split(os.Args[1], ","), Action: seccomp.ActionErrno | seccomp.Action(syscall.ENOSYS)}},
	}})
	var path string
	if err == nil {
		path, err = exec.LookPath(os.Args[2])
	}
	if err == nil {
		err = syscall.Exec(path, os.Args[2:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "without:", err)
	os.Exit(99)
}
