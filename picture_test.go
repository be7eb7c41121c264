package flytestar_test

import (
	"bytes"
	"go/ast"
	"go/doc"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/draw"
	"github.com/flytestar/flytestar/plan"
)

// TestPicture: docs/packages.svg has the packages and the arrows between them as they are. flytestar
// draws it itself: a package is an environment, and depends on what it imports. An import that other
// imports imply has no arrow.
func TestPicture(t *testing.T) {
	g := packageGraph(t)
	var drawn bytes.Buffer
	if err := draw.SVG(&drawn, g, draw.Options{}); err != nil {
		t.Fatal(err)
	}
	picture := bytes.ReplaceAll(drawn.Bytes(), []byte(">no image<"), []byte("><")) // no package has one
	const golden = "docs/packages.svg"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(want, picture) {
		t.Errorf("%s isn't the picture of the packages any more (%v): UPDATE=1 go test . draws it", golden, err)
	}
}

// packageGraph returns the packages as a graph, without benchmarks and what only tests import.
func packageGraph(t *testing.T) *plan.Graph {
	imports, about := map[string]map[string]bool{}, map[string]string{}
	eachFile(t, func(_, pkg string, file *ast.File) {
		if strings.HasPrefix(pkg, "bench/") || strings.HasSuffix(pkg, "test") {
			return
		}
		if imports[pkg] == nil {
			imports[pkg] = map[string]bool{}
		}
		for _, imported := range importsOf(t, file) {
			if own, ok := ownPackage(imported); ok {
				imports[pkg][own] = true
			}
		}
		if file.Doc != nil {
			about[pkg] = new(doc.Package).Synopsis(file.Doc.Text())
		}
	})
	names := slices.Sorted(maps.Keys(imports))
	g := &plan.Graph{Version: plan.Version, Entry: "doc.go"}
	for _, pkg := range names {
		env := plan.Environment{Name: pkg, Image: plan.NoImage, Description: about[pkg]}
		if pkg == "." {
			env.Name = "flytestar"
		}
		for _, own := range slices.Sorted(maps.Keys(imports[pkg])) {
			if !implied(imports, pkg, own) {
				at, _ := slices.BinarySearch(names, own)
				env.DependsOn = append(env.DependsOn, at)
			}
		}
		g.Environments = append(g.Environments, env)
	}
	return g
}

// implied reports whether pkg also imports own through another package.
func implied(imports map[string]map[string]bool, pkg, own string) bool {
	seen := map[string]bool{}
	var leads func(from string) bool
	leads = func(from string) bool {
		if seen[from] {
			return false
		}
		seen[from] = true
		return imports[from][own] || slices.ContainsFunc(slices.Collect(maps.Keys(imports[from])), leads)
	}
	for other := range imports[pkg] {
		if other != own && leads(other) {
			return true
		}
	}
	return false
}
