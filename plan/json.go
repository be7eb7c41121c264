package plan

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
)

//go:embed graph.schema.json
var graphSchema string

// GraphSchema returns the JSON Schema (draft 2020-12) of a graph's JSON form. It describes only the
// form. [Graph.Validate] checks more.
func GraphSchema() string { return graphSchema }

// MarshalJSON writes empty lists as [], never as null.
func (g Graph) MarshalJSON() ([]byte, error) {
	type plain Graph // without this method
	p := plain(g)
	notNil(&p.Modules)
	notNil(&p.Images)
	notNil(&p.Environments)
	notNil(&p.Tasks)
	notNil(&p.Calls)
	return json.Marshal(p)
}

func notNil[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

// maxGraph is the largest JSON form of a graph, in bytes.
const maxGraph = 128 << 20

// ReadGraph reads a graph's JSON form, which is untrusted. It fails if the form is too long, isn't
// JSON of this version's form, or isn't a valid graph.
func ReadGraph(r io.Reader) (*Graph, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxGraph+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxGraph {
		return nil, fmt.Errorf("more than %d bytes", maxGraph)
	}
	var form struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(data, &form); err != nil {
		return nil, at(data, err)
	}
	if form.Version == nil {
		return nil, fmt.Errorf("no graph: it has no version")
	}
	if *form.Version != Version {
		return nil, fmt.Errorf("graph has version %d, want %d", *form.Version, Version)
	}
	g := &Graph{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(g); err != nil {
		return nil, at(data, err)
	}
	return g, g.Validate()
}

// at adds the line to an error of encoding/json that has an offset.
func at(data []byte, err error) error {
	offset := int64(-1)
	switch e := err.(type) {
	case *json.SyntaxError:
		offset = e.Offset
	case *json.UnmarshalTypeError:
		offset = e.Offset
	}
	if offset < 0 || offset > int64(len(data)) {
		return err
	}
	return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:offset], []byte{'\n'}), err)
}
