package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/flytestar/flytestar/plan"
)

// schema is the published schema, compiled.
var schema = sync.OnceValue(func() *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(plan.GraphSchema()))
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("graph.schema.json", doc); err != nil {
		panic(err)
	}
	return c.MustCompile("graph.schema.json")
})

// conforms returns the schema's error about a graph's JSON form.
func conforms(g *plan.Graph) error {
	data, err := json.Marshal(g)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return schema().Validate(doc)
}

// definition is an object of the schema.
type definition struct {
	Properties           map[string]json.RawMessage `json:"properties"`
	Required             []string                   `json:"required"`
	AdditionalProperties *bool                      `json:"additionalProperties"`
}

// TestSchemaHasEveryField: the schema's objects have exactly the fields of the Go types, and
// require those that are always written. A new field needs its place in graph.schema.json.
func TestSchemaHasEveryField(t *testing.T) {
	var root struct {
		Defs map[string]definition `json:"$defs"`
	}
	if err := json.Unmarshal([]byte(plan.GraphSchema()), &root); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{"Path": true}
	for todo := []reflect.Type{reflect.TypeFor[plan.Graph]()}; len(todo) > 0; {
		typ := todo[0]
		todo = todo[1:]
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ.Name()] {
			continue
		}
		seen[typ.Name()] = true
		def := root.Defs[typ.Name()]
		if def.AdditionalProperties == nil || *def.AdditionalProperties {
			t.Errorf("%s: the schema doesn't refuse further properties", typ.Name())
		}
		var required []string
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if _, ok := def.Properties[name]; !ok {
				t.Errorf("%s.%s: the schema has no property %q", typ.Name(), f.Name, name)
			}
			delete(def.Properties, name)
			if !strings.Contains(options, "omit") {
				required = append(required, name)
			}
			todo = append(todo, f.Type)
		}
		for name := range def.Properties {
			t.Errorf("%s: the schema's property %q is in no field", typ.Name(), name)
		}
		slices.Sort(required)
		slices.Sort(def.Required)
		if !slices.Equal(required, def.Required) {
			t.Errorf("%s: the schema requires %v, what is always written is %v", typ.Name(), def.Required, required)
		}
	}
	for name := range root.Defs {
		if !seen[name] {
			t.Errorf("the schema defines %s, which the graph doesn't have", name)
		}
	}
}

// TestSchemaVersion: the schema has the current version.
func TestSchemaVersion(t *testing.T) {
	g := sample()
	g.Version++
	if conforms(g) == nil {
		t.Error("a graph of another version conforms to the schema")
	}
}

// TestSchemaRefuses: the schema refuses what Validate refuses, as far as form alone shows it.
func TestSchemaRefuses(t *testing.T) {
	if err := conforms(sample()); err != nil {
		t.Fatal(err)
	}
	if err := conforms(&plan.Graph{Version: plan.Version, Entry: "a.star"}); err != nil {
		t.Errorf("a graph without anything: %v", err)
	}
	for name, change := range map[string]func(*plan.Graph){
		"absolute entry":     func(g *plan.Graph) { g.Entry = "/a.star" },
		"base":               func(g *plan.Graph) { g.Images[0].Base.Kind = "x" },
		"step":               func(g *plan.Graph) { g.Images[0].Steps[1].Kind = "x" },
		"negative image":     func(g *plan.Graph) { g.Environments[0].Image = -2 },
		"environment's name": func(g *plan.Graph) { g.Environments[0].Name = "Low" },
		"negative memory":    func(g *plan.Graph) { g.Environments[0].Resources.Memory = -1 },
		"task's name":        func(g *plan.Graph) { g.Tasks[0].Name = "a.b" },
		"retries":            func(g *plan.Graph) { g.Tasks[0].Retries = -1 },
		"body":               func(g *plan.Graph) { g.Tasks[0].Body.Kind = "" },
		"python":             func(g *plan.Graph) { g.Tasks[0].Body.File = "" },
		"type":               func(g *plan.Graph) { g.Tasks[0].Inputs[0].Type = kind("x") },
		"caller":             func(g *plan.Graph) { g.Calls[0].Caller = -1 },
	} {
		g := sample()
		change(g)
		if conforms(g) == nil || g.Validate() == nil {
			t.Errorf("%s: not refused by both the schema and Validate", name)
		}
	}
}

func TestReadGraph(t *testing.T) {
	data, err := json.MarshalIndent(sample(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	g, err := plan.ReadGraph(bytes.NewReader(data))
	if err != nil || !reflect.DeepEqual(g, sample()) {
		t.Fatalf("ReadGraph = %+v, %v", g, err)
	}
	for name, tt := range map[string]struct{ from, to, want string }{
		"no JSON":       {`"entry"`, `entry`, "line 3: invalid character"},
		"version":       {`"version": 2`, `"version": 9`, "graph has version 9, want 2"},
		"no version":    {`"version": 2,`, ``, "no graph: it has no version"},
		"unknown field": {`"entry"`, `"entries"`, `unknown field "entries"`},
		"wrong type":    {`"image": 0`, `"image": "zero"`, "cannot unmarshal string"},
		"invalid":       {`"image": 0`, `"image": 7`, "environment 0: no image 7"},
	} {
		changed := strings.Replace(string(data), tt.from, tt.to, 1)
		if changed == string(data) {
			t.Fatalf("%s: %q isn't there", name, tt.from)
		}
		if _, err := plan.ReadGraph(strings.NewReader(changed)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	broken := strings.Replace(string(data), `"image": 0`, `"image": "zero"`, 1)
	before, _, _ := strings.Cut(broken, `"zero"`)
	want := fmt.Sprintf("line %d: ", 1+strings.Count(before, "\n"))
	if _, err := plan.ReadGraph(strings.NewReader(broken)); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if _, err := plan.ReadGraph(strings.NewReader(string(data) + "{}")); err == nil {
		t.Error("two graphs in one file: no error")
	}
}
