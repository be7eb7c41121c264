package builtins

import (
	"math"
	"math/big"
	"regexp"
	"sync"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/plan"
)

// Resources is what an attempt may use. spec.md, "resources".
type Resources struct{ Plan plan.Resources }

var _ starlark.Value = (*Resources)(nil)

// String returns "<resources>".
func (r *Resources) String() string { return "<resources>" }

// Type returns "resources".
func (r *Resources) Type() string { return "resources" }

// Freeze does nothing: resources are immutable.
func (r *Resources) Freeze() {}

// Truth returns true.
func (r *Resources) Truth() starlark.Bool { return true }

// Hash fails: resources are unhashable.
func (r *Resources) Hash() (uint32, error) { return 0, errorf("unhashable: resources") }

// newResources implements resources(...). spec.md, "resources".
func newResources(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var cpu cores
	var memory, disk, shm size
	var gpu unpack.Count
	if _, err := loading(th, b.Name()); err != nil {
		return nil, err
	}
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
