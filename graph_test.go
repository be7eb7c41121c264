package flytestar_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/draw"
	"github.com/flytestar/flytestar/plan"
)

// exampleGraph returns the graph of an example.
func exampleGraph(t *testing.T, file string) *plan.Graph {
	t.Helper()
	w, err := flytestar.Load(t.Context(), file, flytestar.Options{Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.Graph()
}

// TestExamplesConform: the graphs of all examples conform to the published schema, and come back
// from their JSON form as they were.
func TestExamplesConform(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(plan.GraphSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("graph.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema := c.MustCompile("graph.schema.json")
	files, err := filepath.Glob("examples/*.star")
	if err != nil || len(files) < 2 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			g := exampleGraph(t, file)
			data, err := json.Marshal(g)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); err != nil {
				t.Error(err)
			}
			read, err := plan.ReadGraph(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(g, read); diff != "" {
				t.Errorf("(-evaluated +read)\n%s", diff)
			}
			if d := plan.Compare(g, read); len(d.Changes) > 0 {
				t.Errorf("differs from itself: %+v", d.Changes)
			}
		})
	}
}

// TestExamplePicture: the README's picture is what graph draws.
func TestExamplePicture(t *testing.T) {
	const golden = "examples/af2.svg"
	var b bytes.Buffer
	if err := draw.SVG(&b, exampleGraph(t, "examples/af2.star"), draw.Options{}); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("(-%s +drawn; UPDATE=1 writes it)\n%s", golden, diff)
	}
}
