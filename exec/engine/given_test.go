package engine_test

import (
	osexec "os/exec"
	"strings"
	"testing"
)

// given is what a function says of its input r, a record of x = 1 and what more is said.
type given struct {
	name   string
	source string
	input  string // in the shim's form; {"$struct": {"x": 1}} if it is empty
	want   string // the value, as JSON; or, after "!", the error
}

func (tt *given) check(t *testing.T, p *python) {
	t.Helper()
	input := tt.input
	if input == "" {
		input = `{"$struct": {"x": 1}}`
	}
	v, log, _, err := p.run(t, tt.source, `{"r": `+input+`}`, anything)
	if want, failed := strings.CutPrefix(tt.want, "!"); failed {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, %v; want %s\n%s", v, err, want, log)
		}
		return
	}
	wantValue(t, v, err, tt.want, log)
}

// TestGivenClasses: an input arrives as the class that annotates its parameter.
func TestGivenClasses(t *testing.T) {
	const data = "from dataclasses import dataclass, field\nfrom typing import *\nimport enum\n"
	const point = data + "@dataclass\nclass P:\n  x: int\n  y: str = 'd'\n"
	const color = "class C(enum.Enum): RED = 'red'; ONE = 1\nclass S(str, enum.Enum): RED = 'red'\n"
	tests := []given{
		{"dataclass", point + "def run(r: P): return [type(r).__name__, r.x, r.y]", "", `["P", 1, "d"]`},
		{"future annotations", "from __future__ import annotations\n" + point + "def run(r: P): return [type(r).__name__, r.x]", "", `["P", 1]`},
		{"in quotes", point + "def run(r: 'P | None'): return type(r).__name__", "", `"P"`},
		{"optional", point + "def run(r: Optional[P] = None): return type(r).__name__", "", `"P"`},
		{"optional none", point + "def run(r: Optional[P]): return r", "null", `null`},
		{"list", point + "def run(r: List[P]): return [type(x).__name__ for x in r]", `[{"$struct": {"x": 1}}]`, `["P"]`},
		{"sequence", point + "def run(r: Sequence[P]): return [type(x).__name__ for x in r]", `[{"$struct": {"x": 1}}]`, `["P"]`},
		{"dict of lists", point + "def run(r: dict[str, list[P]]): return type(r['a'][0]).__name__", `{"$dict": {"a": [{"$struct": {"x": 1}}]}}`, `"P"`},
		{"mapping", point + "def run(r: Mapping[str, P]): return type(r['a']).__name__", `{"$dict": {"a": {"$struct": {"x": 1}}}}`, `"P"`},
		{"nested", point + "@dataclass\nclass Q:\n  p: P\n  ps: List[P]\n  x: Optional[P] = None\ndef run(r: Q): return [type(r.p).__name__, type(r.ps[0]).__name__, r.x]", `{"$struct": {"p": {"$struct": {"x": 1}}, "ps": [{"$struct": {"x": 2, "y": "e"}}]}}`, `["P", "P", null]`},
		{"frozen, slots, keywords", data + "@dataclass(frozen=True)\nclass P:\n  x: int\n  n: int = field(init=False, default=0)\n  def __post_init__(self): object.__setattr__(self, 'n', self.x + 1)\ndef run(r: P): return [r.x, r.n]", "", `[1, 2]`},
		{"a computed field that is passed", data + "@dataclass\nclass P:\n  x: int\n  n: int = field(init=False, default=0)\ndef run(r: P): return [type(r).__name__, r.x, r.n]", `{"$struct": {"x": 1, "n": 7}}`, `["P", 1, 7]`},
		{"missing field", point + "def run(r: P): return 1", `{"$struct": {"y": "a"}}`, "!input r"},
		{"more fields", point + "def run(r: list[P]): return 1", `[{"$struct": {"x": 1, "z": 2}}]`, "!input r[0]"},
		{"raising", data + "@dataclass\nclass P:\n  x: int\n  def __post_init__(self): raise ValueError('x is odd')\ndef run(r: P): return 1", "", "!ValueError: x is odd"},
		{"named tuple", data + "class N(NamedTuple):\n  x: int\n  y: str = 'd'\ndef run(r: N): return [type(r).__name__, r.y]", "", `["N", "d"]`},
		{"typed dict", data + "class D(TypedDict): x: int\ndef run(r: D): return [type(r).__name__, r['x']]", "", `["dict", 1]`},
		{"enum", data + color + "def run(r: C): return str(r)", `"red"`, `"C.RED"`},
		{"enum of int", data + color + "def run(r: C): return str(r)", `1`, `"C.ONE"`},
		{"enum in a list", data + color + "def run(r: List[S]): return [type(x).__name__ for x in r]", `["red"]`, `["S"]`},
		{"enum as a field", data + color + "@dataclass\nclass P: x: int; c: S\ndef run(r: P): return type(r.c).__name__", `{"$struct": {"x": 1, "c": "red"}}`, `"S"`},
		{"not of the enum", data + color + "def run(r: List[S]): return 1", `["blue"]`, "!input r[0]"},
		{"literal", data + "def run(r: Literal['a', 'b']): return r", `"a"`, `"a"`},
		{"union of classes", point + "@dataclass\nclass Q: z: int\ndef run(r: Union[P, Q, int]): return type(r).__name__", `{"$struct": {"z": 1}}`, `"Q"`},
		{"union with a required field", data + "@dataclass\nclass P: x: int; y: int\n@dataclass\nclass Q: x: int\ndef run(r: Union[P, Q]): return type(r).__name__", "", `"Q"`},
		{"union of a list", point + "def run(r: Union[P, List[P]]): return type(r[0]).__name__", `[{"$struct": {"x": 1}}]`, `"P"`},
		{"enum or text", data + color + "def run(r: Union[S, int]): return type(r).__name__", `"red"`, `"S"`},
		{"annotated", data + "@dataclass\nclass P: x: int\ndef run(r: Annotated[P, 'doc']): return type(r).__name__", "", `"P"`},
		{"annotated in a list", data + "@dataclass\nclass P: x: int\ndef run(r: list[Annotated[P, 'doc']]): return type(r[0]).__name__", `[{"$struct": {"x": 1}}]`, `"P"`},
		{"new type", point + "Q = NewType('Q', P)\ndef run(r: Q): return type(r).__name__", "", `"P"`},
		{"generic", data + "T = TypeVar('T')\n@dataclass\nclass P(Generic[T]): x: T\ndef run(r: P[int]): return type(r).__name__", "", `"P"`},
		{"type checking", data + "if TYPE_CHECKING: from nowhere import P\ndef run(r: 'P'): return type(r).__name__", "", `"SimpleNamespace"`},
		{"one name of two", "from __future__ import annotations\n" + point + "if TYPE_CHECKING: from nowhere import Q\ndef run(r: P, q: Q = None) -> Q: return type(r).__name__", "", `"P"`},
		{"one field of two", "from __future__ import annotations\n" + point + "if TYPE_CHECKING: from nowhere import Q\n@dataclass\nclass R:\n  p: P\n  q: Q = None\ndef run(r: R): return [type(r).__name__, type(r.p).__name__]", `{"$struct": {"p": {"$struct": {"x": 1}}}}`, `["R", "P"]`},
		{"no annotation", "def run(r): return [type(r).__name__, r.x]", "", `["SimpleNamespace", 1]`},
		{"any", data + "def run(r: Any): return type(r).__name__", "", `"SimpleNamespace"`},
		{"decorated", point + "import functools\ndef d(f):\n  @functools.wraps(f)\n  def g(*a, **k): return f(*a, **k)\n  return g\n@d\ndef run(r: P): return type(r).__name__", "", `"P"`},
		{"object", point + "class F:\n  def __call__(self, r: P): return type(r).__name__\nrun = F()", "", `"P"`},
		{"partial", point + "import functools\ndef f(a, r: P): return type(r).__name__\nrun = functools.partial(f, 1)", "", `"P"`},
		{"others", data + "class O:\n  def __init__(self, x): raise ValueError\ndef run(r: O): return r.x", "", `1`},
		{"round trip", point + "def run(r: P) -> P: return r", "", `{"$struct": {"x": 1, "y": "d"}}`},
	}
	p := newPython(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.check(t, p) })
	}
}

// TestGivenLibraries: pydantic's and attrs' classes.
func TestGivenLibraries(t *testing.T) {
	p := newPython(t)
	if err := osexec.Command("python3", "-c", "import pydantic, attr").Run(); err != nil {
		t.Skipf("needs pydantic and attrs: %v", err)
	}
	const model = "from pydantic import *\nfrom typing import *\nclass M(BaseModel):\n  x: int\n  y: str = 'd'\n"
	for _, tt := range []given{
		{"model", model + "def run(r: M): return [type(r).__name__, r.y]", "", `["M", "d"]`},
		{"returned", model + "def run(r: list[M]): return r", `[{"$struct": {"x": 1}}]`, `[{"$struct": {"x": 1, "y": "d"}}]`},
		{"nested", model + "class N(BaseModel): m: M; ms: dict[str, M]\ndef run(r: N): return [type(r.m).__name__, type(r.ms['a']).__name__]", `{"$struct": {"m": {"$struct": {"x": 1}}, "ms": {"$dict": {"a": {"$struct": {"x": 1}}}}}}`, `["M", "M"]`},
		{"alias", model + "class N(BaseModel): x: int = Field(alias='the-x')\ndef run(r: N): return r", "", `{"$struct": {"x": 1}}`},
		{"alias choices", model + "class N(BaseModel): x: int = Field(validation_alias=AliasChoices('a', 'b'))\ndef run(r: N): return r.x", "", `1`},
		{"nested alias", model + "class N(BaseModel): x: int = Field(alias='X')\nclass O(BaseModel): n: N; ns: List[N]\ndef run(r: O): return r.ns[0].x + r.n.x", `{"$struct": {"n": {"$struct": {"x": 1}}, "ns": [{"$struct": {"x": 1}}]}}`, `2`},
		{"validator", model + "class N(BaseModel):\n  x: int\n  @field_validator('x')\n  @classmethod\n  def no(cls, v): raise ValueError('x is odd')\ndef run(r: List[N]): return 1", `[{"$struct": {"x": 1}}]`, "!input r[0]"},
		{"wrong type", model + "def run(r: M): return 1", `{"$struct": {"x": "a"}}`, "!input r"},
		{"more fields", model + "def run(r: M): return 1", `{"$struct": {"x": 1, "z": 1}}`, "!has no field 'z'"},
		{"extra", model + "class N(BaseModel, extra='allow'): x: int\ndef run(r: N): return r", `{"$struct": {"x": 1, "z": 1}}`, `{"$struct": {"x": 1, "z": 1}}`},
		{"optional", model + "def run(r: Optional[M]): return type(r).__name__", "", `"M"`},
		{"dataclass in a model", model + "from dataclasses import dataclass\n@dataclass\nclass D: x: int\nclass N(BaseModel): d: D\ndef run(r: N): return type(r.d).__name__", `{"$struct": {"d": {"$struct": {"x": 1}}}}`, `"D"`},
		{"model in a dataclass", model + "from dataclasses import dataclass\n@dataclass\nclass D: m: M\ndef run(r: D): return type(r.m).__name__", `{"$struct": {"m": {"$struct": {"x": 1}}}}`, `"M"`},
		{"pydantic's dataclass", "from pydantic.dataclasses import dataclass\n@dataclass\nclass D: x: int\ndef run(r: D): return r", `{"$struct": {"x": 1}}`, `{"$struct": {"x": 1}}`},
		{"root", model + "class L(RootModel[List[int]]): pass\ndef run(r: L): return [type(r).__name__, r]", `[1, 2]`, `["L", [1, 2]]`},
		{"path", model + "from pathlib import Path\nclass N(BaseModel): f: Path\ndef run(r: N): return r.f.name", `{"$struct": {"f": {"$path": "/x/y"}}}`, `"y"`},
		{"version 1", "from pydantic.v1 import BaseModel, Field\nclass M(BaseModel): x: int = Field(alias='X')\ndef run(r: M): return r", "", `{"$struct": {"x": 1}}`},
		{"attrs", "import attrs\n@attrs.define\nclass A:\n  x: int\n  _y: int = 3\ndef run(r: A): return [type(r).__name__, r._y]", "", `["A", 3]`},
		{"attrs private", "import attrs\n@attrs.define\nclass A:\n  x: int\n  _y: int = 3\ndef run(r: A): return r", `{"$struct": {"x": 1, "_y": 4}}`, `{"$struct": {"x": 1, "_y": 4}}`},
		{"attrs converter", "import attrs\n@attrs.define\nclass A:\n  x: int = attrs.field(validator=attrs.validators.gt(5))\ndef run(r: A): return r", "", "!ValueError"},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.check(t, p) })
	}
}
