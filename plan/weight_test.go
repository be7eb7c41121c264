package plan

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestLighter: the estimate is near what is really written, whatever makes it large.
func TestLighter(t *testing.T) {
	deep := Type{Kind: KindInt}
	for range 60 {
		deep = Type{Kind: KindList, Elem: &Type{Kind: deep.Kind, Elem: deep.Elem}}
	}
	var params []Param
	for range 20 {
		params = append(params, Param{Name: "p", Type: deep})
	}
	var links []int
	for i := range 5000 {
		links = append(links, i)
	}
	for name, g := range map[string]*Graph{
		"control characters": {Tasks: []Task{{Name: "t", Body: Body{Command: []string{strings.Repeat("\x01", 50_000)}}}}},
		"text":               {Tasks: []Task{{Name: "t", Body: Body{Script: strings.Repeat("x\n", 50_000)}}}},
		"deep types":         {Tasks: []Task{{Name: "t", Inputs: params}}},
		"links":              {Environments: []Environment{{Name: "e", DependsOn: links}}},
		"environments":       {Environments: make([]Environment, 500)},
	} {
		form, err := json.MarshalIndent(g, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if size := int64(len(form)); g.Lighter(size/2) || !g.Lighter(2*size) {
			t.Errorf("%s: %d bytes; more than half: %v, less than twice: %v", name, size, !g.Lighter(size/2), g.Lighter(2*size))
		}
	}
}
