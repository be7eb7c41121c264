package builtins

import (
	"math"
	"math/big"
	"regexp"
	"strings"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/plan"
)

// Resources is what an attempt may use. spec.md, "resources".
type Resources struct{ Plan plan.Resources }

var (
	_ starlark.HasAttrs   = (*Resources)(nil)
	_ starlark.Comparable = (*Resources)(nil)
)

// String returns the call that makes it, with bytes as numbers.
func (r *Resources) String() string {
	var set []string
	for _, name := range r.AttrNames() {
		if v, _ := r.Attr(name); v != starlark.None {
			set = append(set, name+" = "+v.String())
		}
	}
	return "resources(" + strings.Join(set, ", ") + ")"
}

// Type returns "resources".
func (r *Resources) Type() string { return "resources" }

// Freeze does nothing: resources are immutable.
func (r *Resources) Freeze() {}

// Truth returns true.
func (r *Resources) Truth() starlark.Bool { return true }

// Hash returns a hash of the limits.
func (r *Resources) Hash() (uint32, error) { return starlark.String(r.String()).Hash() }

// CompareSameType compares the limits. There is no order.
func (r *Resources) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	equal := r.Plan == y.(*Resources).Plan
	switch op {
	case syntax.EQL:
		return equal, nil
	case syntax.NEQ:
		return !equal, nil
	}
	return false, errorf("resources can't be ordered").WithHint("compare their fields")
}

// Attr implements starlark.HasAttrs: cores as an int or a float, bytes and counts as ints, None where
// there is no limit.
func (r *Resources) Attr(name string) (starlark.Value, error) {
	switch name {
	case "cpu":
		if r.Plan.MilliCPU%1000 != 0 {
			return starlark.Float(r.Plan.MilliCPU) / 1000, nil
		}
		return limited(r.Plan.MilliCPU / 1000), nil
	case "memory":
		return limited(r.Plan.Memory), nil
	case "gpu":
		return limited(int64(r.Plan.GPU)), nil
	case "disk":
		return limited(r.Plan.Disk), nil
	case "shm":
		return limited(r.Plan.Shm), nil
	}
	return nil, nil
}

// AttrNames implements starlark.HasAttrs.
func (r *Resources) AttrNames() []string { return []string{"cpu", "memory", "gpu", "disk", "shm"} }

// limited returns a limit, or None if there is none.
func limited(n int64) starlark.Value {
	if n == 0 {
		return starlark.None
	}
	return starlark.MakeInt64(n)
}

// newResources implements resources(...). spec.md, "resources".
func newResources(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var cpu cores
	var memory, disk, shm size
	var gpu unpack.Count
	err := unpack.Args(b.Name(), args, kwargs, "cpu??", &cpu, "memory??", &memory, "gpu??", &gpu, "disk??", &disk, "shm??", &shm)
	if err != nil {
		return nil, err
	}
	return &Resources{plan.Resources{
		MilliCPU: int64(cpu), Memory: int64(memory), GPU: int(gpu), Disk: int64(disk), Shm: int64(shm),
	}}, nil
}

// cores unpacks a number of cores, or a string such as "500m", in thousandths.
type cores int64

// Unpack implements starlark.Unpacker.
func (c *cores) Unpack(v starlark.Value) error {
	milli, err := quantity(v, map[string]int64{"": 1000, "m": 1})
	if err != nil {
		return unpack.About("want a number of cores such as 2, 0.5 or \"500m\"", err)
	}
	*c = cores(milli)
	return nil
}

// size unpacks bytes, or a string with a unit such as "4Gi".
type size int64

// Unpack implements starlark.Unpacker.
func (s *size) Unpack(v starlark.Value) error {
	bytes, err := quantity(v, map[string]int64{
		"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
		"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
	})
	if err != nil {
		return unpack.About("want bytes, or a string such as \"512Mi\" or \"4G\"", err)
	}
	*s = size(bytes)
	return nil
}

var quantityRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([0-9]{1,18}(?:\.[0-9]{1,9})?)([A-Za-z]*)$`) })

// quantity returns a positive amount in the unit that counts 1. A string may have another unit; a
// number has the unit "".
func quantity(v starlark.Value, units map[string]int64) (int64, error) {
	var amount *big.Rat
	unit := ""
	switch v := v.(type) {
	case starlark.Int:
		amount = new(big.Rat).SetInt(v.BigInt())
	case starlark.Float:
		f := float64(v)
		if math.IsInf(f, 0) || math.IsNaN(f) {
			return 0, errorf("got %s", v)
		}
		amount = new(big.Rat).SetFloat64(f)
	case starlark.String:
		parts := quantityRE().FindStringSubmatch(string(v))
		if parts == nil {
			return 0, errorf("got %s", v)
		}
		amount, _ = new(big.Rat).SetString(parts[1])
		unit = parts[2]
	default:
		return 0, errorf("got %s", v.Type())
	}
	factor, ok := units[unit]
	if !ok {
		return 0, unpack.Unknown(errorf("there is no unit %q", unit), unit, sortedKeys(units)[1:])
	}
	amount.Mul(amount, new(big.Rat).SetInt64(factor))
	n := new(big.Int).Quo(amount.Num(), amount.Denom())
	if n.Sign() <= 0 || !n.IsInt64() {
		return 0, errorf("got %s", v)
	}
	return n.Int64(), nil
}
