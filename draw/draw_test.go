package draw_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/draw"
	"github.com/flytestar/flytestar/plan"
)

// hostile are texts that mean something in one of the languages, or to a reader.
var hostile = []string{
	`a"b`, `a\`, `\n\N\G\E`, `a\"b`, `<b>bold</b>`, `</title></style><script>alert(1)</script>`, `&lt;&amp;`, `&#60;`, "`md`", `#quot;`, `]]>`,
	"two\nlines", "tab\there", "bell\x07", "null\x00", "not utf8 \xff\xfe", "right\u202eto left", "zero\u200bwidth", "line\u2028end", "\ufffe\uffff",
	"größe", "漢字", "end", "subgraph x", "%%{init: {}}%%", "-->", ";", "{}|", strings.Repeat("long", 200), "",
}

// workflowOf returns a graph with s in every place that can hold a text. It may be invalid.
func workflowOf(s string) *plan.Graph {
	pos := diag.Position{File: s, Line: 1, Col: 1}
	return &plan.Graph{
		Version: plan.Version, Entry: s,
		Images: []plan.Image{{Base: plan.Base{Kind: plan.BaseRef, Ref: s}, Steps: []plan.Step{{Kind: plan.StepPip, Packages: []string{s}}}}},
		Environments: []plan.Environment{
			{Name: s, Image: 0, Description: s, Pos: pos}, {Name: s, Image: 0, DependsOn: []int{0}, Pos: pos},
		},
		Tasks: []plan.Task{
			{Name: s, Env: 0, Doc: s, Pos: pos, Body: plan.Body{Kind: plan.BodyCommand, Command: []string{s}}, Inputs: []plan.Param{{Name: s, Type: plan.Type{Kind: plan.KindStr}, Default: []byte(s)}}},
			{Name: s, Env: 1, Pos: pos, Body: plan.Body{Kind: plan.BodyStarlark}, Listed: true},
			{Name: s, Env: 1, Pos: pos, Body: plan.Body{Kind: plan.BodyScript, Script: s}},
		},
		Calls: []plan.Call{{Caller: 1, Callee: 0, Pos: pos}, {Caller: 1, Callee: 2, Pos: pos, Possible: true}},
	}
}

// drawn returns what a drawing function writes.
func drawn(t testing.TB, f func(io.Writer, *plan.Graph, draw.Options) error, g *plan.Graph, o draw.Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := f(&b, g, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// element is an element of an SVG, with the text in it.
type element struct {
	name  string
	attrs map[string]string
	text  string
}

// parse reads an SVG. It fails for any element that pictures don't use.
func parse(t testing.TB, svg string) []element {
	t.Helper()
	allowed := []string{"svg", "title", "style", "defs", "marker", "path", "rect", "g", "text"}
	var all []element
	var open []int
	dec := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := dec.Token()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attrs: map[string]string{}}
			for _, a := range token.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" {
					t.Errorf("an attribute %s", a.Name.Local)
				}
				e.attrs[a.Name.Local] = a.Value
			}
			if !slices.Contains(allowed, e.name) {
				t.Errorf("an element %s", e.name)
			}
			open = append(open, len(all))
			all = append(all, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				all[open[len(open)-1]].text += string(token)
			}
		default:
			t.Errorf("%T in an SVG", token)
		}
	}
}

func TestSVGEscapes(t *testing.T) {
	for _, s := range hostile {
		svg := drawn(t, draw.SVG, workflowOf(s), draw.Options{Sizes: map[int]int64{0: 57e6}})
		names := 0
		for _, e := range parse(t, svg) {
			if e.name == "text" && strings.ContainsFunc(e.text, func(r rune) bool { return r < ' ' || r == '\u202e' || r == '\u200b' }) {
				t.Errorf("%q: a text %q", s, e.text)
			}
			if e.name == "text" && e.text == s {
				names++
			}
		}
		if plain := regexp.MustCompile(`^[ -~]{1,20}$`).MatchString(s); plain && names < 5 {
			t.Errorf("%q is there %d times, want 5 or more", s, names)
		}
	}
}

// TestTextFits: no text is wider than its box, at the font's usual widths.
func TestTextFits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.StringMatching(`[a-z_]{1,128}`)
		g := &plan.Graph{Images: []plan.Image{{Base: plan.Base{Kind: plan.BaseRef, Ref: name.Draw(rt, "ref")}}}}
		for e := range rapid.IntRange(1, 4).Draw(rt, "environments") {
			g.Environments = append(g.Environments, plan.Environment{Name: name.Draw(rt, "name"), Image: 0})
			g.Tasks = append(g.Tasks, plan.Task{Name: name.Draw(rt, "task"), Env: e, Body: plan.Body{Kind: plan.BodyStarlark}, Listed: e == 0})
		}
		width := map[string]float64{"name": 13 * 0.605, "image": 10.5 * 0.605, "image end": 10.5 * 0.605, "kind end": 10.5 * 0.605, "": 12 * 0.605}
		box, used := 0, map[string]float64{} // of the last rectangle, and of the texts since
		for _, e := range parse(t, drawn(t, draw.SVG, g, draw.Options{Sizes: map[int]int64{0: 123e6}})) {
			switch {
			case e.name == "rect":
				fmt.Sscan(e.attrs["width"], &box)
				clear(used)
			case e.attrs["class"] == "legend":
				return
			case e.name == "text":
				used[e.attrs["y"]] += float64(len([]rune(e.text)))*width[e.attrs["class"]] + 8
				if used[e.attrs["y"]]+8 > float64(box) {
					rt.Fatalf("%q takes %.0f of %d pixels", e.text, used[e.attrs["y"]], box)
				}
			}
		}
	})
}

// TestSame: the same graph gives the same bytes.
func TestSame(t *testing.T) {
	g, o := workflow(50, 4, 3), draw.Options{Sizes: map[int]int64{1: 5, 2: 6}}
	for _, f := range []func(io.Writer, *plan.Graph, draw.Options) error{draw.SVG, draw.DOT, draw.Mermaid} {
		first := drawn(t, f, g, o)
		for range 5 {
			if drawn(t, f, g, o) != first {
				t.Fatal("a second drawing differs")
			}
		}
	}
}

// TestLarge: a picture too large to look at is drawn too, and doesn't take for ever.
func TestLarge(t *testing.T) {
	for name, g := range map[string]*plan.Graph{"tangle": tangle(2000), "chain": chain(1000), "fan": fan(3000), "crowd": crowd(3000)} {
		svg := drawn(t, draw.SVG, g, draw.Options{})
		boxes := strings.Count(svg, `<g class="env`)
		if boxes != len(g.Environments) {
			t.Errorf("%s: %d boxes, want %d", name, boxes, len(g.Environments))
		}
		if over := strings.Contains(svg, " over"); over != (name == "tangle" || name == "chain") {
			t.Errorf("%s: edges without bends: %v", name, over)
		}
	}
}

// TestManySteps: environments that share an image of many steps cost far less than as many
// images. What drawing costs shows in what it allocates, which doesn't depend on the machine.
func TestManySteps(t *testing.T) {
	g := &plan.Graph{Version: plan.Version, Entry: "flow.star", Images: []plan.Image{{}}}
	for i := range 5000 {
		g.Images[0].Steps = append(g.Images[0].Steps, plan.Step{Kind: plan.StepCommands, Commands: []string{fmt.Sprint(strings.Repeat("echo ", 50), i)}})
	}
	allocated := func(environments int) float64 {
		g.Environments = make([]plan.Environment, environments)
		for i := range g.Environments {
			g.Environments[i].Name = fmt.Sprint("e", i)
		}
		return testing.AllocsPerRun(1, func() { drawn(t, draw.SVG, g, draw.Options{}) })
	}
	if one, many := allocated(1), allocated(100); many > 10*one {
		t.Errorf("%.0f allocations for one environment, %.0f for 100", one, many)
	}
}

// full is a writer that takes n bytes.
type full struct{ n int }

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.n {
		return 0, errors.New("no space left")
	}
	f.n -= len(p)
	return len(p), nil
}

func TestWriteErrors(t *testing.T) {
	for _, f := range []func(io.Writer, *plan.Graph, draw.Options) error{draw.SVG, draw.DOT, draw.Mermaid} {
		for _, n := range []int{0, 5000} {
			if err := f(&full{n}, workflow(100, 4, 1), draw.Options{}); err == nil {
				t.Error("no error from a full writer")
			}
		}
	}
}

// TestGraphviz lets dot read what DOT writes, and compares the labels that dot draws.
func TestGraphviz(t *testing.T) {
	dot, err := exec.LookPath("dot")
	if err != nil {
		t.Skip("graphviz isn't installed")
	}
	run := func(g *plan.Graph, o draw.Options) []element {
		cmd := exec.Command(dot, "-Tsvg")
		cmd.Stdin = strings.NewReader(drawn(t, draw.DOT, g, o))
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil || errs.Len() > 0 {
			t.Fatalf("%v\n%s\n%s", err, errs.String(), drawn(t, draw.DOT, g, o))
		}
		var texts []element
		dec := xml.NewDecoder(&out)
		dec.Strict = false
		for {
			token, err := dec.Token()
			if err == io.EOF {
				return texts
			}
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "text" {
				var text string
				if err := dec.DecodeElement(&text, &e); err != nil {
					t.Fatal(err)
				}
				texts = append(texts, element{name: "text", text: strings.ReplaceAll(text, "\u00a0", " ")})
			}
		}
	}
	for _, s := range hostile {
		texts := run(workflowOf(s), draw.Options{})
		if !regexp.MustCompile(`^[ -~äöüß漢字]{1,40}$`).MatchString(s) {
			continue // spelt out or shortened; it is enough that dot reads it
		}
		n := 0
		for _, e := range texts {
			if e.text == s {
				n++
			}
		}
		if n != 5 { // two environments and three tasks
			t.Errorf("%q is drawn %d times of 5: %v", s, n, texts)
		}
	}
	if n := len(run(workflow(60, 5, 1), draw.Options{})); n < 120 {
		t.Errorf("%d labels of a larger graph", n)
	}
	old, new := workflow(20, 4, 1), workflow(20, 4, 2)
	run(plan.Union(old, new), draw.Options{Changes: plan.Compare(old, new).Changes})
}

// mermaidLine matches every line that Mermaid may write. No text of a graph is outside of quotes.
// Within quotes, no character means anything to Mermaid.
var mermaidLine = regexp.MustCompile(`^(flowchart LR|  subgraph e\d+ \["LABEL(<br>LABEL){1,3}"\]|    t\d+\["LABEL"\]|  end|  [et]\d+ (-->|-\.->|==>) [et]\d+|  classDef \w+ [\w:#-]+|  class [et0-9,]+ \w+|  linkStyle [0-9,]+ [\w:#-]+)$`)

func TestMermaidEscapes(t *testing.T) {
	line := regexp.MustCompile(strings.ReplaceAll(mermaidLine.String(), "LABEL", `([A-Za-z0-9 .,:/=+()@_-]|[^\x00-\x7f]|#\d+;)*`))
	for _, s := range hostile {
		g := workflowOf(s)
		d := []plan.Change{{What: plan.EnvironmentThing, Change: plan.Added, Name: s}, {What: plan.CallThing, Change: plan.Removed, Name: plan.EdgeName(g.FullName(1), g.FullName(0))}}
		for l := range strings.Lines(drawn(t, draw.Mermaid, g, draw.Options{Changes: d})) {
			if !line.MatchString(strings.TrimSuffix(l, "\n")) {
				t.Errorf("%q: a line %q", s, l)
			}
		}
	}
}

// FuzzDraw: no graph in JSON makes drawing or comparing it fail, and SVG writes an SVG.
func FuzzDraw(f *testing.F) {
	for _, g := range []*plan.Graph{workflow(6, 3, 1), tangle(4), fan(3), crowd(3)} {
		data, err := json.Marshal(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	other := workflow(5, 3, 2)
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := plan.ReadGraph(bytes.NewReader(data))
		if err != nil {
			return
		}
		parse(t, drawn(t, draw.SVG, g, draw.Options{}))
		o := draw.Options{Changes: plan.Compare(other, g).Changes}
		both := plan.Union(other, g)
		parse(t, drawn(t, draw.SVG, both, o))
		drawn(t, draw.DOT, both, o)
		drawn(t, draw.Mermaid, both, o)
	})
}

// TestMarks: every language marks what was added, removed and changed, and nothing else.
func TestMarks(t *testing.T) {
	old, new := chain(4), chain(4)
	new.Environments[3].Name = "new"
	new.Environments[1].Network = true
	o := draw.Options{Changes: plan.Compare(old, new).Changes}
	g := plan.Union(old, new)
	counts := map[string]int{}
	for _, e := range parse(t, drawn(t, draw.SVG, g, o)) {
		if e.name == "g" && strings.HasPrefix(e.attrs["class"], "env") {
			counts[e.attrs["class"]]++
		}
	}
	if want := "map[env:2 env added:1 env changed:1 env removed:1]"; fmt.Sprint(counts) != want {
		t.Errorf("got %v, want %s", counts, want)
	}
	if dot := drawn(t, draw.DOT, g, o); strings.Count(dot, "    color = green4\n") != 1 || strings.Count(dot, "    color = red3\n") != 1 || strings.Count(dot, "    color = darkorange3\n") != 1 {
		t.Error(dot)
	}
	if mermaid := drawn(t, draw.Mermaid, g, o); !strings.Contains(mermaid, "\n  class e3 added\n") || !strings.Contains(mermaid, "\n  class e4 removed\n") || !strings.Contains(mermaid, "\n  class e1 changed\n") {
		t.Error(mermaid)
	}
}
