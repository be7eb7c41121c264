package python_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flytestar/flytestar/internal/python"
)

// compare is the order of PEP 440, by keys that are compared as text.
func compare(a, b string) int { return strings.Compare(key(a), key(b)) }

var versionParts = regexp.MustCompile(`^(?:(\d+)!)?([\d.]*\d)(?:(a|rc)(\d+))?(?:\.post(\d+))?(?:\.dev(\d+))?(?:\+(\w+))?$`)

var keys = map[string]string{}

func key(v string) string {
	if k, ok := keys[v]; ok {
		return k
	}
	keys[v] = newKey(v)
	return keys[v]
}

func newKey(v string) string {
	m := versionParts.FindStringSubmatch(v)
	pad := func(s string) string { return strings.Repeat("0", 3-len(s)) + s }
	k := pad(m[1])
	for _, part := range strings.Split(m[2]+strings.Repeat(".0", 8), ".")[:8] {
		k += pad(part)
	}
	switch {
	case m[3] == "" && m[5] == "" && m[6] != "":
		k += " " // before all pre-releases
	case m[3] == "":
		k += "z"
	default:
		k += m[3] + pad(m[4])
	}
	k += " "
	if m[5] != "" {
		k += pad(m[5])
	}
	k += " "
	if m[6] == "" {
		k += "z"
	} else {
		k += pad(m[6])
	}
	if m[7] == "1" {
		return k + " z" // numbers come after letters
	}
	return k + " " + m[7]
}

// drawVersion draws the canonical spelling of a version of few and small numbers, so that two often
// meet.
func drawVersion(t *rapid.T, local bool) string {
	v := rapid.SampledFrom([]string{"", "", "", "1!"}).Draw(t, "epoch") +
		rapid.SampledFrom([]string{"0", "1", "1.0", "1.0.1", "1.1", "2", "1.2.0"}).Draw(t, "release") +
		rapid.SampledFrom([]string{"", "", "", "a1", "a2", "rc1"}).Draw(t, "pre") +
		rapid.SampledFrom([]string{"", "", "", ".post0", ".post1", ".post2"}).Draw(t, "post") +
		rapid.SampledFrom([]string{"", "", "", ".dev0", ".dev1"}).Draw(t, "dev")
	if local {
		v += rapid.SampledFrom([]string{"", "", "+x", "+1"}).Draw(t, "local")
	}
	return v
}

func drawClause(t *rapid.T) string {
	switch op := rapid.SampledFrom([]string{"==", "!=", "!=", "<=", ">=", "<", ">", "~=", "===", "==*", "!=*"}).Draw(t, "op"); op {
	case "==*", "!=*":
		return op[:2] + rapid.SampledFrom([]string{"0", "1", "1.0", "1.1", "1.0.1", "1!1"}).Draw(t, "prefix") + ".*"
	case "~=":
		return op + rapid.SampledFrom([]string{"1.0", "1.0.1", "1.0a1", "1.1.post1", "0.0", "1!1.0"}).Draw(t, "version")
	case "==", "!=", "===":
		return op + drawVersion(t, true)
	default:
		return op + drawVersion(t, false)
	}
}

// parts splits a canonical version.
func parts(v string) (epoch, release, rest, local string) {
	v, local, _ = strings.Cut(v, "+")
	epoch, release, ok := strings.Cut(v, "!")
	if !ok {
		epoch, release = "0", v
	}
	if i := strings.IndexAny(release, "arpd"); i >= 0 { // of "a1", "rc1", "post1", "dev1"
		release, rest = strings.TrimSuffix(release[:i], "."), release[i:]
	}
	return epoch, release, rest, local
}

// admits is what PEP 440 says of one comparison, word by word and with another's order.
func admits(clause, v string) bool {
	op := strings.TrimRight(clause, "!.+0123456789abcdefghijklmnopqrstuvwxyz*")
	want := strings.TrimPrefix(clause, op)
	if strings.HasPrefix(clause, "!=") {
		return !admits("=="+clause[2:], v)
	}
	public, _, _ := strings.Cut(v, "+")
	epoch, release, rest, local := parts(v)
	wEpoch, wRelease, wRest, wLocal := parts(want)
	sameRelease := !strings.HasSuffix(wRelease, ".*") && compare(epoch+"!"+release, wEpoch+"!"+wRelease) == 0
	switch op {
	case "===":
		return v == want
	case "==":
		if prefix, ok := strings.CutSuffix(wRelease, ".*"); ok {
			n := strings.Count(prefix, ".") + 1
			padded := strings.Split(release+strings.Repeat(".0", n), ".")[:n]
			return epoch == wEpoch && strings.Join(padded, ".") == prefix
		}
		if wLocal == "" {
			return compare(public, want) == 0
		}
		return compare(v, want) == 0 && local == wLocal
	case ">=":
		return compare(public, want) >= 0
	case "<=":
		return compare(public, want) <= 0
	case "~=":
		prefix := wRelease[:strings.LastIndex(wRelease, ".")]
		return admits(">="+want, v) && admits("=="+wEpoch+"!"+prefix+".*", epoch+"!"+release)
	case "<": // not a pre-release of it, unless it is one itself
		wPre := strings.Trim(wRest, ".post0123456789") != ""
		ofIt := sameRelease
		if strings.HasPrefix(wRest, "post") {
			ofIt = sameRelease && strings.HasPrefix(rest, wRest+".dev")
		}
		return compare(public, want) < 0 && (wPre || !ofIt)
	case ">": // not a post-release of it, unless it is one itself, nor what differs by "+" alone
		ofIt := sameRelease && strings.HasPrefix(rest, strings.TrimPrefix(wRest+".post", ".")) && !strings.Contains(wRest, "dev")
		return compare(public, want) > 0 && (strings.Contains(wRest, "post") || !ofIt)
	}
	panic(clause)
}

// everyVersion is dense around what drawClause has: between two versions of which something
// lies, it has something.
var everyVersion = func() (all []string) {
	for _, epoch := range []string{"", "1!"} {
		for _, release := range []string{"0", "0.0.0.1", "0.1", "0.9", "1", "1.0.0.1", "1.0.1", "1.0.1.0.1", "1.0.2", "1.1", "1.1.0.1", "1.2", "1.2.0.1", "2", "2.0.0.1", "3"} {
			for _, pre := range []string{"", "a1", "a2", "a3", "rc1", "rc2"} {
				for _, post := range []string{"", ".post0", ".post1", ".post2", ".post3"} {
					for _, dev := range []string{"", ".dev0", ".dev1", ".dev2"} {
						v := epoch + release + pre + post + dev
						all = append(all, v, v+"+x", v+"+1")
					}
				}
			}
		}
	}
	return all
}()

func TestSpecifiersAgainstTheObvious(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clauses := rapid.SliceOfN(rapid.Custom(drawClause), 1, 5).Draw(t, "clauses")
		cut := rapid.IntRange(0, len(clauses)).Draw(t, "cut")
		text := [2]string{strings.Join(clauses[:cut], ","), strings.Join(clauses[cut:], " , ")}
		a, b := python.ParseSpecifiers(text[0]), python.ParseSpecifiers(text[1])
		if a.Unknown || b.Unknown {
			t.Fatalf("%q can't be read", text)
		}
		candidates := everyVersion
		for _, c := range clauses {
			if v, ok := strings.CutPrefix(c, "==="); ok {
				candidates = append([]string{v}, candidates...) // this very spelling
			}
		}
		witness := ""
		for _, v := range candidates {
			want := true
			for _, c := range clauses {
				want = want && admits(c, v)
			}
			if got := a.Contains(v) && b.Contains(v); got != want {
				t.Fatalf("%q contains %s: %v, want %v", clauses, v, got, want)
			}
			if want {
				witness = v
				break
			}
		}
		if got := python.Satisfiable(a, b); got != (witness != "") {
			t.Fatalf("%q can be satisfied: %v, witness %q", clauses, got, witness)
		}
	})
}

func TestSatisfiable(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"==1.26", ">=2", false},
		{"==1.26", ">=1.20,<2", true},
		{"==1.*", ">=1.5", true},
		{"==1.*", ">=2", false},
		{"~=2.2", "==2.9", true},
		{"~=2.2", "==3.0", false},
		{"~=2.2.0", "==2.3", false},
		{"!=1.0", "==1.0.0", false},
		{"!=1.*", ">=1,<2", false},
		{"!=1.*", ">=1,<=2", true},
		{"===1.0", "==1.0.0", true},
		{"===1.0", "===1.0.0", false},
		{"===foo", "==1", true}, // PEP 440 doesn't say
		{"<2", ">=2.0rc1", false},
		{"<2.0rc2", ">=2.0rc1", true},
		{"<=2", "==2+cpu", true},
		{"==2", "==2+cpu", true},
		{"==2+cpu", "==2+cu118", false},
		{"!=2+cpu", "==2", true},
		{"!=2+cpu", "==2+cpu", false},
		{">1.7", "==1.7.post1", false},
		{">1.7.post1", "<1.7.post2", false},
		{">1.7.post1", "<1.7.post3", true},
		{">1.7,<1.7.0.0.1", "", true}, // 1.7.0.0.0.1
		{">1.7,<1.7.0.0.1.dev0", "", true},
		{">1.7,<1.7", "", false},
		{"==1!1", ">=2", true},
		{"", "", true},
		{">=2 <3", "==4", true},   // not PEP 440: nothing is known
		{"==2.x", "==3", true},    // likewise
		{">=1+local", "<1", true}, // likewise
		{"==99999999999999999999", "<1", true},
	}
	for _, tt := range tests {
		for _, sets := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
			if got := python.Satisfiable(python.ParseSpecifiers(sets[0]), python.ParseSpecifiers(sets[1])); got != tt.want {
				t.Errorf("%q and %q: %v", sets[0], sets[1], got)
			}
		}
	}
}

func TestVersionOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawVersion(t, true), drawVersion(t, true)
		v, ok1 := python.ParseVersion(a)
		w, ok2 := python.ParseVersion(b)
		if !ok1 || !ok2 || v.Compare(w) != compare(a, b) {
			t.Fatalf("%s against %s: %d, want %d", a, b, v.Compare(w), compare(a, b))
		}
	})
}

func TestVersionSpellings(t *testing.T) {
	for _, tt := range [][2]string{
		{"v1.0", "1"}, {"1.0-1", "1.post1"}, {"1.0c1", "1rc1"}, {"1.0-pre-1", "1rc1"}, {"1.0ALPHA", "1a0"}, {"1_rev_3", "1.post3"}, {" 1.0.0 ", "1"},
		{"1.0+Ubuntu-1", "1+ubuntu.1"}, {"1dev", "1.dev0"}, {"007", "7"},
	} {
		v, ok1 := python.ParseVersion(tt[0])
		w, ok2 := python.ParseVersion(tt[1])
		if !ok1 || !ok2 || v.Compare(w) != 0 {
			t.Errorf("%q isn't %q", tt[0], tt[1])
		}
	}
	for _, text := range []string{"", "x", "1..0", "1.x", "1.0+", "1.0 0", "1.0.*", "-1", "1!", "1e3", "1.0post1post2"} {
		if v, ok := python.ParseVersion(text); ok {
			t.Errorf("%q is read as %+v", text, v)
		}
	}
}

// FuzzSpecifiers: what can be read is a set that contains what it pins, and nothing makes the
// readers panic.
func FuzzSpecifiers(f *testing.F) {
	for _, s := range []string{">=1.2,<2", "~=1.4.2", "===x", "!=1.*,==1!2.0+a.1"} {
		f.Add(s, "1.0rc1")
	}
	f.Fuzz(func(t *testing.T, text, version string) {
		s := python.ParseSpecifiers(text)
		if python.Satisfiable(s) != python.Satisfiable(s, s) || !s.Unknown && s.Contains(version) && !python.Satisfiable(s) {
			t.Errorf("%q contains %q, but can't be satisfied", text, version)
		}
		if v, ok := python.ParseVersion(version); ok && (v.Compare(v) != 0 || !python.ParseSpecifiers("==="+version).Contains(version)) && !strings.ContainsAny(version, " \t\n\r\v\f,") {
			t.Errorf("%q isn't itself", version)
		}
		if m := python.ParseMarker(text); m.Unknown && m.Eval(python.Target{}) != python.Maybe {
			t.Errorf("the marker %q is decided, though it can't be read", text)
		}
	})
}

func BenchmarkSatisfiable(b *testing.B) {
	for _, n := range []int{1000, 2000, 4000} {
		var clauses []string
		for i := range n {
			clauses = append(clauses, fmt.Sprintf("!=1.%d.*", (i*7919)%n))
		}
		s := python.ParseSpecifiers(strings.Join(clauses, ","))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if !python.Satisfiable(s) {
					b.Fatal("no version is left")
				}
			}
		})
	}
}
