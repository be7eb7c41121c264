package pyfmt

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"go.starlark.net/starlark"
)

// oracle evaluates expressions in Python. Each result is a text, or "!" for an error.
const oracle = `
import json, sys
def value(e):
    try:
        return eval(e)
    except Exception:
        return "!"
print(json.dumps([value(e) for e in json.load(sys.stdin)]))
`

// inPython evaluates expressions whose values are texts.
func inPython(t *testing.T, expressions []string) []string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	in, _ := json.Marshal(expressions)
	cmd := exec.Command(python, "-c", oracle)
	cmd.Stdin = strings.NewReader(string(in))
	data, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// random makes values and specifications.
type random struct{ *rand.Rand }

func (r random) pick(list ...string) string { return list[r.IntN(len(list))] }

// value returns a value, and how Python writes it.
func (r random) value() (starlark.Value, string) {
	switch r.IntN(4) {
	case 0:
		s := r.pick("", "a", "héllo", "日本語 text", "x y z")
		return starlark.String(s), strconv.Quote(s)
	case 1:
		i, _ := new(big.Int).SetString(r.pick("0", "1", "-1", "7", "-42", "65", "255", "1234", "-1234567", "123456789012345678901234567890"), 10)
		return starlark.MakeBigInt(i), i.String()
	}
	f := r.float()
	return starlark.Float(f), fmt.Sprintf("float(%q)", strconv.FormatFloat(f, 'g', -1, 64))
}

func (r random) float() float64 {
	switch r.IntN(4) {
	case 0:
		return []float64{0, math.Copysign(0, -1), 0.5, 1.5, 2.5, -2.5, 0.125, 1e15, 1e16, 1e22, 1e-4, 1e-5, 123456.0, 999999.5, math.Inf(1), math.Inf(-1), math.NaN(), 5e-324, math.MaxFloat64, 2.675, 1234.5}[r.IntN(21)]
	case 1:
		return float64(r.IntN(2_000_000)-1_000_000) / 1000
	}
	return (r.Float64() - 0.5) * math.Pow(10, float64(r.IntN(40)-20))
}

// TestFormat compares with Python's format.
func TestFormat(t *testing.T) {
	r := random{rand.New(rand.NewPCG(1, 2))}
	var got, specs, expressions []string
	for range 20_000 {
		v, python := r.value()
		spec := r.pick("", "", "*<", "*>", "é^", "x=", "<", ">", "^", "=") + r.pick("", "", "+", "-", " ") + r.pick("", "", "", "#") + r.pick("", "", "0") +
			r.pick("", "", "1", "5", "12", "20") + r.pick("", "", "", ",", "_") + r.pick("", "", ".0", ".1", ".2", ".3", ".10", ".17") +
			r.pick("", "", "d", "e", "f", "f", "g", "%", "s", "x", "X", "b", "o", "c", "E", "G", "F", "q")
		if f, ok := v.(starlark.Float); ok && (strings.Contains(spec, "#") || !strings.ContainsAny(spec[max(0, len(spec)-1):], "defg%EGFsxXboc") && !strings.Contains(spec, ".")) {
			_ = f // "#" isn't for floats here, and without a type they are as str has them
			continue
		}
		if strings.Contains(spec, "#") && strings.ContainsAny(spec, "efg%EGF") {
			continue
		}
		text, err := Format(v, spec)
		if err != nil {
			text = "!"
		}
		got, specs = append(got, text), append(specs, fmt.Sprintf("format(%s, %q)", python, spec))
		expressions = append(expressions, fmt.Sprintf("format(%s, %q)", python, spec))
	}
	compare(t, got, inPython(t, expressions), specs)
}

func compare(t *testing.T, got, want, what []string) {
	t.Helper()
	bad, fine := 0, 0
	for i := range got {
		if got[i] != want[i] {
			if bad++; bad < 20 {
				t.Errorf("%s: got %q, Python has %q", what[i], got[i], want[i])
			}
		} else if got[i] != "!" {
			fine++
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d differ", bad, len(got))
	}
	if fine < len(got)/5 {
		t.Errorf("only %d of %d aren't errors", fine, len(got))
	}
}

// TestPercent compares with Python's operator %.
func TestPercent(t *testing.T) {
	r := random{rand.New(rand.NewPCG(3, 4))}
	var got, expressions []string
	for range 10_000 {
		v, python := r.value()
		if f, ok := v.(starlark.Float); ok && float64(f)-float64(f) != 0 {
			continue
		}
		verb := r.pick("d", "i", "f", "e", "g", "s", "x", "o", "X", "G")
		if _, ok := v.(starlark.Float); ok && (verb == "s" || verb == "x" || verb == "X" || verb == "o") {
			continue // Starlark's str has its own form, and its %x takes floats
		}
		flags := r.pick("", "-", "0", "+", " ", "+0", "-+", "- ")
		if strings.Contains("xXod", verb) {
			flags += r.pick("", "#")
		}
		if strings.ContainsAny(verb, "gG") {
			flags += "0" // without any detail, it is Starlark's own
		}
		format := "a%%" + "%" + flags + r.pick("", "1", "8", "15") + r.pick("", ".", ".0", ".2", ".12") + verb + "z"
		text := "!"
		if x, err := Percent(format, starlark.Tuple{v}); err == nil {
			text = str(x)
		}
		got = append(got, text)
		expressions = append(expressions, fmt.Sprintf("%q %% (%s,)", format, python))
	}
	compare(t, got, inPython(t, expressions), expressions)
}

// TestRound compares with Python's round.
func TestRound(t *testing.T) {
	r := random{rand.New(rand.NewPCG(5, 6))}
	var got, expressions []string
	for range 10_000 {
		v, python := r.value()
		if _, ok := v.(starlark.String); ok {
			continue
		}
		n := r.IntN(45) - 22
		digits, argument := &n, fmt.Sprintf(", %d", n)
		if r.IntN(4) == 0 {
			digits, argument = nil, ""
		}
		text := "!"
		if x, err := Round(v, digits); err == nil {
			text = x.String()
			if f, ok := x.(starlark.Float); ok {
				text = strconv.FormatFloat(float64(f), 'x', -1, 64)
			}
		}
		got = append(got, text)
		expressions = append(expressions, fmt.Sprintf("(lambda x: str(x) if isinstance(x, int) else x.hex())(round(%s%s))", python, argument))
	}
	want := inPython(t, expressions)
	for i, w := range want {
		if f, err := strconv.ParseFloat(w, 64); err == nil && strings.ContainsAny(w, "xin") {
			want[i] = strconv.FormatFloat(f, 'x', -1, 64)
		}
		if _, ok := new(big.Int).SetString(w, 10); ok {
			want[i] = w
		}
	}
	compare(t, got, want, expressions)
}

// TestTemplate compares with Python's method format.
func TestTemplate(t *testing.T) {
	args := starlark.Tuple{starlark.MakeInt(7), starlark.Float(2.5), starlark.String("s")}
	kwargs := []starlark.Tuple{{starlark.String("w"), starlark.MakeInt(6)}, {starlark.String("x"), starlark.Float(3.14159)}}
	templates := []string{
		"{:d}|{:.2f}|{:>4}", "{1:.1f}{0:03d}{2!r:>5}", "{{:d}} {:d}", "{x:{w}.2f}|", "{:{w}d}|{:.{w}f}", "{x:.2f} {0:d}", "{:d} {0}", "{:.2f", "}:", "{5:d}", "{y:d}",
		"{:>{w}}{:>{w}}", "{:{:{w}}}", "{2:{0}}|", "{!r:}", "{0!s:4}|", "{0!q:4}", "{x.real:d}", "{:}", "{0:x=+5}",
	}
	var got, expressions []string
	for _, template := range templates {
		method, _ := starlark.String(template).Attr("format")
		text := "!"
		if v, err := Template(method.(*starlark.Builtin), &starlark.Thread{}, args, kwargs); err == nil {
			text = str(v)
		}
		got = append(got, strings.ReplaceAll(text, `"s"`, "'s'"))
		expressions = append(expressions, fmt.Sprintf("%q.format(7, 2.5, 's', w = 6, x = 3.14159)", template))
	}
	want := inPython(t, expressions)
	for i, e := range expressions { // a specification in one of one, and attributes: not here
		if strings.Contains(e, "{:{:") || strings.Contains(e, ".real") {
			want[i] = "!"
		}
	}
	compare(t, got, want, expressions)
}

// TestBounds: no specification makes a text of any size.
func TestBounds(t *testing.T) {
	for _, spec := range []string{"10001", ".10001f", "99999999999999999999", "0100000d"} {
		if s, err := Format(starlark.MakeInt(1), spec); err == nil {
			t.Errorf("%s: %d bytes", spec, len(s))
		}
	}
	for _, format := range []string{"%10001d", "%.10001f", "%*d"} {
		if _, err := Percent(format, starlark.Tuple{starlark.MakeInt(1 << 20), starlark.MakeInt(1)}); err == nil {
			t.Error(format)
		}
	}
	if _, err := Round(starlark.MakeInt(5), ptr(math.MinInt+1)); err != nil {
		t.Error(err)
	}
	for _, format := range []string{"%5", "%5q", "%5d", "%(a)5d", "%5d%5d"} {
		if _, err := Percent(format, starlark.Tuple{}); err == nil {
			t.Error(format)
		}
	}
	if _, err := Percent("%5d", starlark.Tuple{starlark.MakeInt(1), starlark.MakeInt(1)}); err == nil {
		t.Error("too many arguments")
	}
	d := starlark.NewDict(1)
	_ = d.SetKey(starlark.String("a"), starlark.MakeInt(1))
	if v, err := Percent("%(a)3d|%(a)-3d|", d); err != nil || str(v) != "  1|1  |" {
		t.Error(v, err)
	}
}

func ptr(n int) *int { return &n }
