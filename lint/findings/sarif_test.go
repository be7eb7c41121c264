package findings_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/lint"
	"github.com/flytestar/flytestar/lint/findings"
)

// exported is findings of every form: with and without a place, a rule, notes, a hint, a fix.
func exported() []findings.Finding {
	at := func(line, col int) diag.Position {
		return diag.Position{File: "dir/a b.star", Line: line, Col: col}
	}
	return []findings.Finding{
		{Error: &diag.Error{Pos: at(1, 2), Severity: diag.SeverityWarning, Code: "FS220", Msg: "the result of \"x\" isn't used", Hint: "use it",
			Notes: []diag.Note{{Pos: at(3, 1), Msg: "declared here"}, {Msg: "nowhere"}}}, File: "w/dir/a b.star", Files: []string{"w/dir/a b.star", ""}},
		{Error: &diag.Error{Pos: at(2, 0), Severity: diag.SeverityInfo, Code: "FS221", Msg: "100%, x hides: y\nand more"}, File: "dir/é:1.star"},
		{Error: &diag.Error{Pos: diag.Position{File: "c.star"}, Severity: diag.SeverityError, Class: diag.Limit, Code: "max-steps", Msg: "too many"}, File: "c.star"},
		{Error: &diag.Error{Severity: diag.SeverityError, Msg: "no place"}},
		{Error: &diag.Error{Pos: at(4, 1), Severity: diag.SeverityWarning, Code: "load", Msg: "unused"}, File: "a.star",
			Fix: []findings.Replacement{{Start: diag.Position{File: "a.star", Line: 4, Col: 1}, End: diag.Position{File: "a.star", Line: 5, Col: 1}, Text: ""}}},
	}
}

func sarifOf(t *testing.T, list []findings.Finding) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := findings.WriteSARIF(&b, list, append(lint.Rules(), lint.Buildtools()...), "v1.2.3"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestSARIFSchema holds logs against the schema that OASIS publishes.
func TestSARIFSchema(t *testing.T) {
	f, err := os.Open("testdata/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4)
	c.AssertFormat()
	if err := c.AddResource("sarif.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, findings := range [][]findings.Finding{nil, exported()} {
		log, err := jsonschema.UnmarshalJSON(bytes.NewReader(sarifOf(t, findings)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(log); err != nil {
			t.Error(err)
		}
	}
	wrong, err := jsonschema.UnmarshalJSON(bytes.NewReader(bytes.Replace(sarifOf(t, exported()), []byte(`"startLine": 1`), []byte(`"startLine": 0`), 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(wrong); err == nil {
		t.Error("the schema takes line 0")
	}
}

// TestSARIF looks at what a viewer needs.
func TestSARIF(t *testing.T) {
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct {
					Version string
					Rules   []struct{ ID string }
				}
			}
			Results []map[string]any
		}
	}
	if err := json.Unmarshal(sarifOf(t, exported()), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if run.Tool.Driver.Version != "v1.2.3" || run.Tool.Driver.Rules[0].ID != "FS220" {
		t.Errorf("got %+v", run.Tool)
	}
	location := func(uri string, region map[string]any) map[string]any {
		physical := map[string]any{"artifactLocation": map[string]any{"uri": uri}}
		if region != nil {
			physical["region"] = region
		}
		return map[string]any{"physicalLocation": physical}
	}
	related := location("w/dir/a%20b.star", map[string]any{"startLine": 3., "startColumn": 1.})
	related["message"] = map[string]any{"text": "declared here"}
	want := []map[string]any{
		{"ruleId": "FS220", "ruleIndex": 0., "level": "warning", "message": map[string]any{"text": "the result of \"x\" isn't used\nhint: use it"},
			"locations": []any{location("w/dir/a%20b.star", map[string]any{"startLine": 1., "startColumn": 2.})}, "relatedLocations": []any{related}},
		{"ruleId": "FS221", "ruleIndex": 1., "level": "note", "message": map[string]any{"text": "100%, x hides: y\nand more"},
			"locations": []any{location("dir/%C3%A9:1.star", map[string]any{"startLine": 2.})}},
		{"ruleId": "max-steps", "level": "error", "message": map[string]any{"text": "too many"}, "locations": []any{location("c.star", nil)}},
		{"level": "error", "message": map[string]any{"text": "no place"}},
		{"ruleId": "load", "ruleIndex": 13., "level": "warning", "message": map[string]any{"text": "unused"},
			"locations": []any{location("a.star", map[string]any{"startLine": 4., "startColumn": 1.})},
			"fixes": []any{map[string]any{"description": map[string]any{"text": "what flytestar lint --fix does"}, "artifactChanges": []any{map[string]any{
				"artifactLocation": map[string]any{"uri": "a.star"},
				"replacements": []any{map[string]any{
					"deletedRegion":   map[string]any{"startLine": 4., "startColumn": 1., "endLine": 5., "endColumn": 1.},
					"insertedContent": map[string]any{"text": ""},
				}},
			}}}}},
	}
	if diff := cmp.Diff(want, run.Results); diff != "" {
		t.Error(diff)
	}
}

// TestGitHub has what GitHub's workflow commands escape.
func TestGitHub(t *testing.T) {
	var b bytes.Buffer
	if err := findings.WriteGitHub(&b, exported()); err != nil {
		t.Fatal(err)
	}
	want := `::warning file=w/dir/a b.star,line=1,col=2,title=flytestar FS220::the result of "x" isn't used%0Ahint: use it
::notice file=dir/é%3A1.star,line=2,title=flytestar FS221::100%25, x hides: y%0Aand more
::error file=c.star,title=flytestar max-steps::too many
::error title=flytestar::no place
::warning file=a.star,line=4,col=1,title=flytestar load::unused
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
