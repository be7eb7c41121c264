package sandbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The filter is Docker's default profile for processes with [capabilities]. The kernel runs it on
// every system call, and over all numbers when it is installed. So it should be fast: this
// assembler searches a tree of calls. The one in go-seccomp-bpf compares one call after the other.
// This one also covers both the 64-bit and the 32-bit calls of a machine.

// capabilities are the rights that root has in a container, by the kernel's numbers. They are those
// of Docker's default that mean something in a user namespace and that package managers need.
var capabilities = []int{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL, unix.CAP_SETGID, unix.CAP_SETUID,
	unix.CAP_NET_BIND_SERVICE, unix.CAP_SETFCAP,
}

// capabilityNames are the same, by the names that OCI configurations use.
var capabilityNames = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_NET_BIND_SERVICE", "CAP_SETFCAP",
}

// profile returns the filter in the form of OCI configurations.
func profile() (*specs.LinuxSeccomp, error) {
	return seccomp.GetDefaultProfile(&specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: capabilityNames}},
	})
}

// tables are the system calls of the architectures that a profile may name. x32 isn't among them:
// it has only ever served to get around filters.
var tables = map[specs.Arch]*arch.Info{
	specs.ArchX86_64: arch.X86_64, specs.ArchX86: arch.I386, specs.ArchAARCH64: arch.AARCH64, specs.ArchARM: arch.ARM,
}

// assembleFilter returns the filter in the form that the kernel takes.
func assembleFilter() ([]byte, error) {
	p, err := profile()
	if err != nil {
		return nil, err
	}
	prog, err := assemble(p)
	if err != nil {
		return nil, fmt.Errorf("assembling the seccomp filter: %w", err)
	}
	var b bytes.Buffer
	for _, i := range prog {
		if err := binary.Write(&b, binary.NativeEndian, unix.SockFilter{Code: i.code, Jt: uint8(i.jt), Jf: uint8(i.jf), K: i.k}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// instruction is an instruction of classic BPF. Jumps to fail aren't resolved yet.
type instruction struct {
	code   uint16
	jt, jf int
	k      uint32
}

const fail = -1

// Offsets in the kernel's struct seccomp_data.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

func load(off uint32) instruction {
	return instruction{code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, k: off}
}

func ret(v uint32) instruction {
	return instruction{code: unix.BPF_RET | unix.BPF_K, k: v}
}

func jump(cond uint16, k uint32, jt, jf int) instruction {
	return instruction{code: unix.BPF_JMP | cond | unix.BPF_K, k: k, jt: jt, jf: jf}
}

// long returns an instruction that jumps n instructions ahead.
func long(n int) instruction {
	return instruction{code: unix.BPF_JMP | unix.BPF_JA, k: uint32(n)}
}

// maxProgram is how many instructions the kernel takes.
const maxProgram = 4096

// assemble compiles a profile: by architecture, then by number, then by arguments.
func assemble(p *specs.LinuxSeccomp) ([]instruction, error) {
	prog := []instruction{load(offArch)}
	for _, a := range p.Architectures {
		info, ok := tables[a]
		if !ok {
			continue // falls through to the end, like an architecture that the profile doesn't name
		}
		body, err := compileArch(p, info)
		if err != nil {
			return nil, err
		}
		prog = append(prog, jump(unix.BPF_JEQ, uint32(info.ID), 1, 0), long(len(body)))
		prog = append(prog, body...)
	}
	prog = append(prog, ret(unix.SECCOMP_RET_KILL_PROCESS))
	if len(prog) > maxProgram {
		return nil, fmt.Errorf("%d instructions, %d are allowed", len(prog), maxProgram)
	}
	return prog, nil
}

// span is a range of system calls, from a number on, that have the same verdict.
type span struct {
	from int
	code []instruction // ends in a return
}

// compileArch compiles the part of one architecture.
func compileArch(p *specs.LinuxSeccomp, info *arch.Info) ([]instruction, error) {
	verdicts := map[int][]instruction{}
	for name, number := range info.SyscallNames {
		code, err := compileCall(p, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		verdicts[number] = code
	}
	otherwise, err := action(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	var spans []span
	add := func(from int, code []instruction) {
		if n := len(spans); n > 0 && slices.Equal(spans[n-1].code, code) {
			return
		}
		spans = append(spans, span{from: from, code: code})
	}
	next := 0
	for _, number := range slices.Sorted(maps.Keys(verdicts)) {
		if number > next {
			add(next, []instruction{ret(otherwise)})
		}
		add(number, verdicts[number])
		next = number + 1
	}
	// Calls newer than the profile are answered as if the kernel didn't have them. Programs can
	// cope with that, but not with calls that are forbidden.
	add(next, []instruction{ret(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))})
	return append([]instruction{load(offNumber)}, search(spans)...), nil
}

// search compiles a binary search for the span that holds the loaded number.
func search(spans []span) []instruction {
	if len(spans) == 1 {
		return spans[0].code
	}
	mid := len(spans) / 2
	low, high := search(spans[:mid]), search(spans[mid:])
	var code []instruction
	if from := uint32(spans[mid].from); len(low) <= 255 {
		code = append(code, jump(unix.BPF_JGE, from, len(low), 0))
	} else {
		code = append(code, jump(unix.BPF_JGE, from, 0, 1), long(len(low)))
	}
	return append(append(code, low...), high...)
}

// compileCall compiles the verdict on one system call. A rule without conditions decides, or else
// the first rule whose conditions hold.
func compileCall(p *specs.LinuxSeccomp, name string) ([]instruction, error) {
	var code []instruction
	for _, rule := range p.Syscalls {
		if !slices.Contains(rule.Names, name) {
			continue
		}
		verdict, err := action(rule.Action, rule.ErrnoRet)
		if err != nil {
			return nil, err
		}
		if len(rule.Args) == 0 {
			return []instruction{ret(verdict)}, nil
		}
		block, err := compileRule(rule.Args, verdict)
		if err != nil {
			return nil, err
		}
		code = append(code, block...)
	}
	verdict, err := action(p.DefaultAction, p.DefaultErrnoRet)
	return append(code, ret(verdict)), err
}

// compileRule compiles a rule: it returns the verdict if all conditions hold, and goes on after the
// rule if not.
func compileRule(conditions []specs.LinuxSeccompArg, verdict uint32) ([]instruction, error) {
	var code []instruction
	for _, c := range conditions {
		block, err := compileCondition(c)
		if err != nil {
			return nil, err
		}
		code = append(code, block...)
	}
	code = append(code, ret(verdict))
	for i := range code {
		if code[i].jt == fail {
			code[i].jt = len(code) - i - 1
		}
		if code[i].jf == fail {
			code[i].jf = len(code) - i - 1
		}
	}
	return code, nil
}

// compileCondition compiles a test of a 64-bit argument, half by half. It goes on after the block
// if the condition holds, and to fail if not.
func compileCondition(c specs.LinuxSeccompArg) ([]instruction, error) {
	if c.Index > 5 {
		return nil, fmt.Errorf("argument %d", c.Index)
	}
	low := load(offArgs + 8*uint32(c.Index)) // all architectures here are little-endian
	high := load(offArgs + 8*uint32(c.Index) + 4)
	hi, lo := uint32(c.Value>>32), uint32(c.Value)
	and := func(k uint32) instruction { return instruction{code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, k: k} }
	// ordered compiles a comparison. If the high halves differ, they decide.
	ordered := func(above bool, cond uint16, ifTrue bool) []instruction {
		decided, last := [2]int{3, fail}, jump(cond, lo, fail, 0) // jump over the rest, or fail
		if !above {
			decided = [2]int{fail, 2}
		}
		if ifTrue {
			last = jump(cond, lo, 0, fail)
		}
		return []instruction{
			high, jump(unix.BPF_JGT, hi, decided[0], 0), jump(unix.BPF_JEQ, hi, 0, decided[1]), low, last,
		}
	}
	switch c.Op {
	case specs.OpEqualTo:
		return []instruction{high, jump(unix.BPF_JEQ, hi, 0, fail), low, jump(unix.BPF_JEQ, lo, 0, fail)}, nil
	case specs.OpNotEqual:
		return []instruction{high, jump(unix.BPF_JEQ, hi, 0, 2), low, jump(unix.BPF_JEQ, lo, fail, 0)}, nil
	case specs.OpMaskedEqual:
		return []instruction{
			high, and(hi), jump(unix.BPF_JEQ, uint32(c.ValueTwo>>32), 0, fail),
			low, and(lo), jump(unix.BPF_JEQ, uint32(c.ValueTwo), 0, fail),
		}, nil
	case specs.OpGreaterThan:
		return ordered(true, unix.BPF_JGT, true), nil
	case specs.OpGreaterEqual:
		return ordered(true, unix.BPF_JGE, true), nil
	case specs.OpLessThan:
		return ordered(false, unix.BPF_JGE, false), nil
	case specs.OpLessEqual:
		return ordered(false, unix.BPF_JGT, false), nil
	}
	return nil, fmt.Errorf("operator %s", c.Op)
}

// action returns the filter's verdict for an action of the profile.
func action(a specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	switch a {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActErrno:
		e := uint32(unix.EPERM)
		if errno != nil {
			e = uint32(*errno)
		}
		return unix.SECCOMP_RET_ERRNO | e&unix.SECCOMP_RET_DATA, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	}
	return 0, fmt.Errorf("action %s", a)
}
