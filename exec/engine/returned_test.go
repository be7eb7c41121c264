package engine_test

import (
	osexec "os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec/engine"
	"github.com/flytestar/flytestar/plan"
)

var (
	anything = plan.Type{Kind: plan.KindAny}
	none     = plan.Type{Kind: plan.KindNone}
	float    = plan.Type{Kind: plan.KindFloat}
	boolean  = plan.Type{Kind: plan.KindBool}
)

func record(fields ...plan.Field) plan.Type { return plan.Type{Kind: plan.KindRecord, Fields: fields} }
func field(name string, t plan.Type) plan.Field {
	return plan.Field{Name: name, Type: t}
}

// returned is what a function with this body returns: JSON with tags, or, after "!", the error,
// and, after "→", its hint.
type returned struct {
	name   string
	source string // of run.py; or, if it defines no run, the expression that run returns
	output plan.Type
	want   string
}

func (tt *returned) check(t *testing.T, p *python) {
	t.Helper()
	source := tt.source
	if !strings.Contains(source, "def run(") {
		lines := strings.Split(source, "\n")
		lines[len(lines)-1] = "def run(): return " + lines[len(lines)-1]
		source = strings.Join(lines, "\n")
	}
	v, log, code, err := p.run(t, source, `{}`, tt.output)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, log)
	}
	if want, failed := strings.CutPrefix(tt.want, "!"); failed {
		want, hint, _ := strings.Cut(want, " → ")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(engine.Hint(err), hint) {
			t.Errorf("got %v, %v → %q; want %s → %s", v, err, engine.Hint(err), want, hint)
		}
		return
	}
	wantValue(t, v, err, tt.want, log)
}

// wantValue compares what a function returned with an encoded value.
func wantValue(t *testing.T, v plan.Value, err error, encoded, log string) {
	t.Helper()
	want, bad := plan.UnmarshalValue([]byte(encoded))
	if bad != nil {
		t.Fatal(bad)
	}
	if err != nil || !reflect.DeepEqual(v, want) {
		t.Errorf("got %#v, %v; want %#v\n%s", v, err, want, log)
	}
}

// TestReturned: what says exactly what is declared passes; anything else is an error that says
// where, what it is and what to return.
func TestReturned(t *testing.T) {
	point := record(field("x", integ), field("y", optional(float)))
	level := plan.Type{Kind: plan.KindEnum, Elem: &str, Values: []string{"low", "high"}}
	grade := plan.Type{Kind: plan.KindEnum, Elem: &integ, Values: []string{"1", "2"}}
	union := func(members ...plan.Type) plan.Type { return plan.Type{Kind: plan.KindUnion, Members: members} }
	enums := "import enum\nclass S(str, enum.Enum): LOW = 'low'; B = 'b'\nclass I(enum.IntEnum): TWO = 2\nclass P(enum.Enum): LOW = 'low'; T = (1, 2); D = 2.5\nclass F(enum.Flag): A = 4\n"
	subclasses := "class S(str):\n  def __str__(self): return 'no'\n  def encode(self, *a): return b'no'\nclass I(int):\n  def __int__(self): return 0\n  __str__ = __repr__ = __index__ = lambda self: 'no'\nclass F(float):\n  def __float__(self): return 0.0\nclass L(list):\n  def __iter__(self): return iter([7])\nclass D(dict):\n  def items(self): return []\n"
	classes := "import collections, dataclasses, typing\n@dataclasses.dataclass(frozen=True)\nclass P: x: int; y: float = 0.5\nclass N(typing.NamedTuple): x: int; y: float = 0.5\nclass Q:\n  __slots__ = ['x', 'y']\n  def __init__(self): self.x = 1; self.y = 0.5\n"
	tests := []returned{
		{"str enum", enums + "{S.LOW: S.B}", dict(str), `{"low": "b"}`},
		{"enums as any", enums + "[S.LOW, I.TWO, P.LOW, P.D, P.T, F.A]", anything, `["low", 2, "low", 2.5, [1, 2], 4]`},
		{"enum for enum", enums + "[S.LOW, P.LOW]", list(level), `["low", "low"]`},
		{"int enum for enum", enums + "I.TWO", grade, `2`},
		{"bool for enum", "True", grade, "!want enum(1, 2), got bool"},
		{"no value of enum", enums + "{'a': S.B}", dict(level), `!output['a']: want enum("low", "high"), got 'b'`},
		{"enum's value of another type", enums + "P.T", str, "!want str, got run.P"},
		{"enum for int", enums + "I.TWO", integ, `2`},
		{"plain enum as key", enums + "{P.LOW: 1}", dict(integ), `{"low": 1}`},
		{"double key", enums + "{P.LOW: 1, 'low': 2}", dict(integ), "!the key 'low' is there twice"},
		{"subclasses", subclasses + "[S('a'), I(3), F(0.5), L([1]), D(a=1)]", anything, `["a", 3, 0.5, [1], {"a": 1}]`},
		{"subclasses where declared", subclasses + "{S('a'): L([I(3)])}", dict(list(integ)), `{"a": [3]}`},
		{"int key", "{'a': {1: 2}}", dict(dict(integ)), "!output['a']: a key is int, not str → return {str(k): v for k, v in x.items()}"},
		{"none", "[{'name': None}]", list(record(field("name", str))), "!output[0].name: want str, got None → return a value, or declare str | None"},
		{"bool for str", "True", str, "!want str, got bool → str(x)"},
		{"text for list", "'ab'", list(str), "!want list[str], got str → return [x]"},
		{"bytes", "b'x'", str, "!want str, got bytes → .decode()"},
		{"path for str", "import pathlib\npathlib.Path('/tmp')", str, "!want str, got pathlib"},
		{"set", "{'a': {1}}", dict(list(integ)), "!output['a']: want list[int], got set → return sorted(x), a list"},
		{"frozenset", "frozenset()", anything, "!a frozenset can't pass between tasks → return sorted(x), a list"},
		{"range", "range(3)", list(integ), `[0, 1, 2]`},
		{"named tuple for list", classes + "N(1)", list(float), `[1.0, 0.5]`},
		{"deque", "import collections\ncollections.deque([1])", list(integ), "!want list[int], got collections.deque → return list(x)"},
		{"keys", "{1: 2}.keys()", list(integ), "!want list[int], got dict_keys → return list(x)"},
		{"iterator", "{'m': map(str, [1])}", dict(list(str)), "!output['m']: want list[str], got map → return list(x)"},
		{"generator", "{'g': (x for x in 'a')}", anything, "!output['g']: a generator can't pass between tasks → return list(x)"},
		{"datetime", "import datetime\n[datetime.datetime(2020, 1, 1)]", list(str), "!output[0]: want str, got datetime.datetime → .isoformat()"},
		{"decimal", "import decimal\ndecimal.Decimal('0.5')", float, "!want float, got decimal.Decimal → str(x), or float(x)"},
		{"fraction", "import fractions\nfractions.Fraction(1, 3)", float, "!fractions.Fraction 1/3 isn't exact as a float → return float(x) if that will do"},
		{"large int for float", "2**53 + 1", float, "!int 9007199254740993 isn't exact as a float → return float(x) if that will do"},
		{"huge int for float", "10**5000", float, "!int of 16610 bits is too large for a float"},
		{"huge int", "[10**5000]", list(integ), "!output[0]: int of 16610 bits doesn't fit 64 bits → str(x)"},
		{"inf", "{'a': -float('inf')}", dict(float), "!output['a']: float -inf isn't finite → return None"},
		{"complex", "1j", float, "!want float, got complex → return [x.real, x.imag]"},
		{"function", "def run(): return run", anything, "!a function can't pass between tasks → call it"},
		{"class", classes + "P", point, "!want record(x = int, y = float | None), got type"},
		{"int for record", "1", record(field("real", integ)), "!want record(real = int), got int"},
		{"surrogate in key", `{"\ud800": 1}`, anything, "!isn't valid Unicode → replace"},
		{"dataclass", classes + "P(1)", point, `{"$struct": {"x": 1, "y": 0.5}}`},
		{"named tuple", classes + "N(1)", point, `{"$struct": {"x": 1, "y": 0.5}}`},
		{"object with slots", classes + "Q()", point, `{"$struct": {"x": 1, "y": 0.5}}`},
		{"classes as any", classes + "[P(1), {'n': N(2)}]", anything, `[{"$struct": {"x": 1, "y": 0.5}}, {"n": {"$struct": {"x": 2, "y": 0.5}}}]`},
		{"dataclass with more", classes + "P(1)", record(field("x", integ)), "!there is no field 'y' → declare it"},
		{"dataclass's field", classes + "[P('a')]", list(point), "!output[0].x: want int, got str → int(x)"},
		{"tuple for record", "[(1, 2.0)]", list(point), "!output[0]: want record(x = int, y = float | None), got tuple"},
		{"field with a default", "{'x': 1}", record(field("x", integ), plan.Field{Name: "y", Type: str, Default: []byte(`"z"`)}), `{"$struct": {"x": 1}}`},
		{"union of numbers", "[1, 1.5]", list(union(float, integ)), `[1, 1.5]`},
		{"union of lists", "[[1], [1.5]]", list(union(list(float), list(integ))), `[[1], [1.5]]`},
		{"union with a dict", "[{'x': 1}]", list(union(point, dict(integ))), `[{"x": 1}]`},
		{"union with a record", "{'x': 1}", union(str, point), `{"$struct": {"x": 1, "y": null}}`},
		{"union that it isn't", "[None]", list(union(str, integ)), "!output[0]: want str | int, got None"},
		{"within a union", "{'x': 'a'}", union(str, point), "!output.x: want int, got str"},
		{"union with File", "['f', None]", list(optional(union(file, str))), `["f", null]`},
	}
	p := newPython(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.check(t, p) })
	}
}

// TestReturnedNumpy: numpy's scalars and arrays pass where they are exact.
func TestReturnedNumpy(t *testing.T) {
	p := newPython(t)
	if err := osexec.Command("python3", "-c", "import numpy").Run(); err != nil {
		t.Skipf("needs numpy: %v", err)
	}
	for _, tt := range []returned{
		{"bool", "(np.arange(3) > 1).any()", boolean, `true`},
		{"scalars", "[np.int8(1), np.float32(0.5), np.bool_(0), np.str_('a'), np.uint64(3)]", anything, `[1, 0.5, false, "a", 3]`},
		{"large", "np.uint64(2**63)", integ, "!int 9223372036854775808 doesn't fit"},
		{"no dimensions", "np.array(1)", integ, `1`},
		{"array", "np.arange(4).reshape(2, 2)", list(list(float)), `[[0.0, 1.0], [2.0, 3.0]]`},
		{"array for int", "np.arange(4)", integ, "!want int, got numpy.ndarray → .tolist()"},
		{"bool for int", "[np.bool_(1)]", list(integ), "!output[0]: want int, got numpy.bool"},
		{"long double", "np.longdouble(1) / 3", float, "!numpy.longdouble"},
		{"datetime", "np.datetime64('2020-01-01')", str, "!want str, got numpy.datetime64"},
		{"complex", "np.array([1j])", list(float), "!want list[float], got numpy.ndarray → .tolist()"},
		{"nan", "np.array([1.0, np.nan])", list(float), "!output[1]: float nan isn't finite"},
		{"masked", "np.ma.masked_array([1, 2], mask=[0, 1])", list(integ), "!got numpy.ma"},
	} {
		tt.source = "import numpy as np\n" + tt.source
		t.Run(tt.name, func(t *testing.T) { tt.check(t, p) })
	}
}
