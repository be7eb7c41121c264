package sandbox

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// judge decides on a call by the profile, in the slow and plain way.
func judge(t *testing.T, p *specs.LinuxSeccomp, name string, args [6]uint64) uint32 {
	t.Helper()
	verdict, unconditional := uint32(0), false
	found := false
	for _, rule := range p.Syscalls {
		if !slices.Contains(rule.Names, name) || unconditional {
			continue
		}
		holds := true
		for _, c := range rule.Args {
			holds = holds && compare(t, c, args[c.Index])
		}
		if len(rule.Args) == 0 {
			unconditional = true
		}
		if holds && (!found || unconditional) {
			v, err := action(rule.Action, rule.ErrnoRet)
			if err != nil {
				t.Fatal(err)
			}
			verdict, found = v, true
		}
	}
	if !found {
		v, err := action(p.DefaultAction, p.DefaultErrnoRet)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	return verdict
}

func compare(t *testing.T, c specs.LinuxSeccompArg, v uint64) bool {
	t.Helper()
	switch c.Op {
	case specs.OpEqualTo:
		return v == c.Value
	case specs.OpNotEqual:
		return v != c.Value
	case specs.OpMaskedEqual:
		return v&c.Value == c.ValueTwo
	case specs.OpLessThan:
		return v < c.Value
	case specs.OpLessEqual:
		return v <= c.Value
	case specs.OpGreaterThan:
		return v > c.Value
	case specs.OpGreaterEqual:
		return v >= c.Value
	}
	t.Fatalf("operator %s", c.Op)
	return false
}

// machine runs an assembled filter as the kernel does.
func machine(t *testing.T, prog []instruction) func(arch, number uint32, args [6]uint64) uint32 {
	t.Helper()
	var code []bpf.Instruction
	for _, i := range prog {
		if i.jt < 0 || i.jt > 255 || i.jf < 0 || i.jf > 255 {
			t.Fatalf("a jump of %d or %d", i.jt, i.jf)
		}
		code = append(code, bpf.RawInstruction{Op: i.code, Jt: uint8(i.jt), Jf: uint8(i.jf), K: i.k}.Disassemble())
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	return func(arch, number uint32, args [6]uint64) uint32 {
		// The package's machine reads words in network order, the kernel's in the processor's.
		data := make([]byte, 64)
		binary.BigEndian.PutUint32(data[offNumber:], number)
		binary.BigEndian.PutUint32(data[offArch:], arch)
		for i, a := range args {
			binary.BigEndian.PutUint32(data[offArgs+8*i:], uint32(a))
			binary.BigEndian.PutUint32(data[offArgs+8*i+4:], uint32(a>>32))
		}
		n, err := vm.Run(data)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
}

// values returns arguments at which comparisons may go wrong.
func values(p *specs.LinuxSeccomp) []uint64 {
	list := []uint64{0, 1, 1 << 32, 1<<64 - 1, 1<<31 | 5, 0x7e020000, 1<<32 | 0x20008}
	for _, rule := range p.Syscalls {
		for _, c := range rule.Args {
			list = append(list, c.Value-1, c.Value, c.Value+1, c.Value|1<<32, c.Value|1<<63, c.ValueTwo, c.ValueTwo|c.Value)
		}
	}
	return list
}

// TestFilter: the assembled filter decides as the profile says. That holds for every call of every
// architecture, and for arguments around those in rules.
func TestFilter(t *testing.T) {
	p, err := profile()
	if err != nil {
		t.Fatal(err)
	}
	checkFilter(t, p)
}

func checkFilter(t *testing.T, p *specs.LinuxSeccomp) {
	prog, err := assemble(p)
	if err != nil {
		t.Fatal(err)
	}
	run := machine(t, prog)
	conditional := map[string]bool{}
	for _, rule := range p.Syscalls {
		for _, name := range rule.Names {
			conditional[name] = conditional[name] || len(rule.Args) > 0
		}
	}
	checked := 0
	for _, a := range p.Architectures {
		info, ok := tables[a]
		if !ok {
			continue
		}
		last := 0
		for name, number := range info.SyscallNames {
			last = max(last, number)
			tries := []uint64{0}
			if conditional[name] {
				tries = values(p)
			}
			for _, v := range tries {
				for i := range 6 {
					var args [6]uint64
					args[i] = v
					checked++
					if got, want := run(uint32(info.ID), uint32(number), args), judge(t, p, name, args); got != want {
						t.Errorf("%s %s%x: %#x, want %#x", info.Name, name, args, got, want)
					}
				}
			}
		}
		for _, number := range []int{last + 1, last + 1000, 1<<30 + 1, 1<<32 - 1} {
			if got, want := run(uint32(info.ID), uint32(number), [6]uint64{}), unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS); got != want {
				t.Errorf("%s, unknown call %d: %#x, want %#x", info.Name, number, got, want)
			}
		}
	}
	if checked < 1000 {
		t.Errorf("only %d checks", checked)
	}
	if got := run(0x1234, 0, [6]uint64{}); got != unix.SECCOMP_RET_KILL_PROCESS {
		t.Errorf("an unknown architecture: %#x", got)
	}
}

// TestFilterOperators: every operator, alone and with another, on 64-bit arguments.
func TestFilterOperators(t *testing.T) {
	one, two := uint(1), uint(2)
	for _, op := range []specs.LinuxSeccompOperator{
		specs.OpEqualTo, specs.OpNotEqual, specs.OpMaskedEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpGreaterThan, specs.OpGreaterEqual,
	} {
		for _, v := range []uint64{0, 7, 1<<32 - 1, 1 << 32, 5<<32 | 7, 1<<64 - 1} {
			base, err := profile()
			if err != nil {
				t.Fatal(err)
			}
			checkFilter(t, &specs.LinuxSeccomp{
				DefaultAction: specs.ActErrno, DefaultErrnoRet: &one, Architectures: base.Architectures[:1],
				Syscalls: []specs.LinuxSyscall{
					{Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 2, Op: op, Value: v, ValueTwo: v & 5}}},
					{Names: []string{"read"}, Action: specs.ActErrno, ErrnoRet: &two, Args: []specs.LinuxSeccompArg{
						{Index: 2, Op: specs.OpGreaterThan, Value: 3}, {Index: 2, Op: op, Value: v + 1},
					}},
					{Names: []string{"write", "close"}, Action: specs.ActAllow},
				},
			})
		}
	}
}
