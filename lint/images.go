package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bazelbuild/buildtools/build"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
)

// packageMethods are the methods of images that add packages.
var packageMethods = []string{"with_pip_packages", "with_requirements", "with_apt_packages"}

// addPackages extends the image of the environment at f.Pos in the environment's call: other
// environments may share the image.
func (e *editor) addPackages(f *diag.Fix) string {
	for _, c := range f.Calls {
		if !slices.Contains(packageMethods, c.Method) {
			return fmt.Sprintf("%q adds no packages", c.Method) // what the evaluator says isn't trusted
		}
	}
	s, why := e.environment(f.Pos)
	if why != "" {
		return why
	}
	value := argument(s.call, "image", imageIndex)
	if value == nil {
		original, ok := s.call.X.(*build.DotExpr) // of clone_with
		if !ok {
			return "it has no image"
		}
		if _, ok := original.X.(*build.Ident); !ok {
			return "its image is that of the environment which it clones"
		}
		give(s.call, "image", &build.DotExpr{X: original.X, Name: "image"})
		value = argument(s.call, "image", -1)
	}
	if text, ok := (*value).(*build.StringExpr); ok {
		*value = &build.CallExpr{X: &build.DotExpr{X: &build.Ident{Name: "image"}, Name: "from_base"}, List: []build.Expr{text}}
	}
	for _, c := range f.Calls {
		if c = e.missing(s.call, c); len(c.Args) > 0 {
			*value = extended(*value, c)
		}
	}
	e.dirty[s.stmt] = true
	return ""
}

// addedPackage is a package that an edit has added to the image of an environment.
type addedPackage struct {
	environment  *build.CallExpr
	method, name string
}

// missing returns c without the packages that other findings have added to the environment's image:
// the images of several callees may have them, or be one.
func (e *editor) missing(environment *build.CallExpr, c diag.FixCall) diag.FixCall {
	if e.added == nil {
		e.added = map[addedPackage]bool{}
	}
	left := diag.FixCall{Method: c.Method}
	for _, name := range c.Args {
		if p := (addedPackage{environment, c.Method, name}); !e.added[p] {
			e.added[p] = true
			left.Args = append(left.Args, name)
		}
	}
	return left
}

// extended returns an image with one more call. If the image's last call is of the same method and
// has only strings, that call gets the arguments instead, so that all packages are resolved
// together.
func extended(image build.Expr, c diag.FixCall) build.Expr {
	args := make([]build.Expr, len(c.Args))
	for i, a := range c.Args {
		args[i] = &build.StringExpr{Value: a, Token: syntax.Quote(a, false)}
	}
	if call, ok := image.(*build.CallExpr); ok && strings.HasSuffix(c.Method, "_packages") {
		if dot, ok := call.X.(*build.DotExpr); ok && dot.Name == c.Method && onlyStrings(call.List) {
			call.List = append(call.List, args...)
			return call
		}
	}
	return &build.CallExpr{X: &build.DotExpr{X: operand(image), Name: c.Method}, List: args}
}

func onlyStrings(list []build.Expr) bool {
	for _, x := range list {
		if _, ok := x.(*build.StringExpr); !ok {
			return false
		}
	}
	return true
}
