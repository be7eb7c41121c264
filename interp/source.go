package interp

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/measure"
	"github.com/flytestar/flytestar/internal/text"
)

// This file checks a module before its names are resolved: its path, its text, and how deep its
// syntax nests.

// dialect is Starlark with sets, with recursion, and with if and for at the top level. Recursion
// needs no ban, since budget bounds how deep calls nest.
var dialect = &syntax.FileOptions{Set: true, TopLevelControl: true, Recursion: true}

// suffix is what the name of every module ends in.
const suffix = ".star"

// maxPath bounds the length of a module's path, in bytes.
const maxPath = 512

// ModulePath returns the path of the module that a load statement in the module from calls name. A
// name is relative to from's directory or, after "//", to the workspace.
func ModulePath(from, name string) (string, error) {
	p, rooted := strings.CutPrefix(name, "//")
	switch {
	case name == "":
		return "", errors.New("the path is empty")
	case strings.HasPrefix(p, "/"):
		return "", fmt.Errorf("%q is absolute; paths start at the loading file, or with // at the workspace", name)
	case strings.Contains(p, ":"), strings.HasPrefix(p, "@"):
		return "", fmt.Errorf("%q is no path; write it as in \"//dir/file.star\"", name)
	}
	if strings.HasSuffix(p, "/") {
		return "", fmt.Errorf("%q ends in a slash, and a module is a file", name)
	}
	if !rooted {
		p = path.Join(path.Dir(from), p)
	}
	p = path.Clean(p)
	if p == ".." || strings.HasPrefix(p, "../") {
		return "", fmt.Errorf("%q leaves the workspace", name)
	}
	if err := CheckPath(p); err != nil {
		return "", err
	}
	return p, nil
}

// CheckPath returns an error if p can't be a module's path: a clean, local and printable path that
// ends in .star.
func CheckPath(p string) error {
	switch {
	case len(p) > maxPath:
		return fmt.Errorf("the path is longer than %d bytes", maxPath)
	case !utf8.ValidString(p) || strings.ContainsFunc(p, text.IsControl) || strings.Contains(p, `\`):
		return fmt.Errorf("%q has a character that paths of modules may not have", p)
	case !strings.HasSuffix(p, suffix) || path.Base(p) == suffix:
		return fmt.Errorf("%q isn't a %s file", p, suffix)
	case path.Clean(p) != p || !filepath.IsLocal(filepath.FromSlash(p)):
		return fmt.Errorf("%q isn't a path within the workspace", p)
	}
	return nil
}

// CheckPythonPath returns an error if p can't be the path of a Python file that a module names: a
// clean, local and printable path that ends in .py.
func CheckPythonPath(p string) error {
	switch {
	case len(p) > maxPath || !utf8.ValidString(p) || strings.ContainsFunc(p, text.IsControl):
		return fmt.Errorf("%.100q can't be a path here", p)
	case !strings.HasSuffix(p, ".py") || path.Clean(p) != p || !filepath.IsLocal(filepath.FromSlash(p)):
		return fmt.Errorf("%q isn't a Python file within the workspace", p)
	}
	return nil
}

// checkText reports the first thing in a module's source that isn't text, or that would hide what
// the source says. The scanner takes a NUL for the end of the file.
func checkText(file string, source []byte, limits Limits) *diag.Error {
	if int64(len(source)) > limits.Source {
		return sourceSizeError(file, limits.Source)
	}
	for rest := source; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		at := len(source) - len(rest)
		switch {
		case r == utf8.RuneError && size <= 1:
			return diag.Errorf(offset(file, source, at), diag.Source, "source isn't valid UTF-8 (byte %#02x)", rest[0])
		case r == 0:
			return diag.Errorf(offset(file, source, at), diag.Source, "source has a NUL byte")
		}
		rest = rest[size:]
	}
	if h, ok := text.FindHidden(string(source)); ok {
		return diag.Errorf(offset(file, source, h.At), diag.Source, "source has %s", h.What).WithHint("%s", spelt(h.Rune))
	}
	if at := longNumber(source, measure.MaxDigits); at >= 0 {
		return measure.ErrDigits.Errorf("a number has more than %d digits", measure.MaxDigits).
			At(offset(file, source, at)).WithHint("keep it in a string, or in a file that tasks read")
	}
	return nil
}

// spelt says how to write a character that source can't have.
func spelt(r rune) string {
	switch {
	case r == '\r':
		return `end lines with a newline; in a string, write it as \r`
	case r > 0xffff:
		return fmt.Sprintf(`remove it; in a string, write it as \U%08x`, r)
	}
	return fmt.Sprintf(`remove it; in a string, write it as \u%04x`, r)
}

// longNumber returns where the first number with more than limit digits begins, or -1. Making an
// int takes time that grows with the square of its digits. longNumber reads the source as the
// scanner does, up to the scanner's first error.
func longNumber(source []byte, limit int) int {
	for i := 0; i < len(source); {
		c := source[i]
		switch {
		case c == '#':
			i = endOfLine(source, i)
		case c == '"' || c == '\'':
			if i = endOfString(source, i); i < 0 {
				return -1
			}
		case isWord(c):
			end := i
			for end < len(source) && isWord(source[end]) {
				end++
			}
			if c >= '0' && c <= '9' && end-i > limit {
				return i
			}
			i = end
		default:
			i++
		}
	}
	return -1
}

// isWord reports whether c can be part of a name, or of a number without fraction and sign.
func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= utf8.RuneSelf
}

func endOfLine(source []byte, i int) int {
	if n := bytes.IndexAny(source[i:], "\r\n"); n >= 0 {
		return i + n
	}
	return len(source)
}

// endOfString returns the index after the string that begins at i, or -1 if the string has no end.
// A backslash escapes a quote in a raw string too.
func endOfString(source []byte, i int) int {
	quotes := source[i : i+1]
	if tripled := bytes.Repeat(quotes, 3); bytes.HasPrefix(source[i:], tripled) {
		quotes = tripled
	}
	for i += len(quotes); i < len(source); i++ {
		switch c := source[i]; {
		case c == quotes[0] && bytes.HasPrefix(source[i:], quotes):
			return i + len(quotes)
		case c == '\\':
			if i++; bytes.HasPrefix(source[i:], []byte("\r\n")) {
				i++
			}
		case len(quotes) == 1 && (c == '\n' || c == '\r'):
			return -1
		}
	}
	return -1
}

func sourceSizeError(file string, limit int64) *diag.Error {
	return ErrSource.Errorf("source is larger than %d bytes", limit).At(diag.Position{File: file}).
		WithHint("split the module, keep data in files that tasks read, or raise the limit with --max-source")
}

// offset returns the position of the byte at n.
func offset(file string, source []byte, n int) diag.Position {
	before := bytes.TrimPrefix(source[:n], []byte(text.Mark))
	line := bytes.Count(before, []byte("\n"))
	col := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return diag.Position{File: file, Line: line + 1, Col: col + 1}
}

// Parse returns the syntax tree of the module at path. The tree is shallow enough for passes that
// recurse over it. Parse is for tools: limits bound what it takes, except for the parser's own time
// and memory. Its error is a *diag.Error.
func Parse(path string, source []byte, limits Limits) (*syntax.File, error) {
	f, err := parse(path, source, limits.Defaults())
	if err != nil {
		return nil, err
	}
	return f, nil
}

// parse returns the syntax tree of a module, if it is shallow enough for passes that recurse over
// it.
func parse(file string, source []byte, limits Limits) (*syntax.File, *diag.Error) {
	if err := checkText(file, source, limits); err != nil {
		return nil, err
	}
	f, err := parseText(file, source, limits)
	if err != nil {
		explain(err, source)
		return nil, err
	}
	return f, nil
}

// parseText is parse without its checks of the text.
func parseText(file string, source []byte, limits Limits) (*syntax.File, *diag.Error) {
	f, err := dialect.Parse(file, bytes.TrimPrefix(source, []byte(text.Mark)), 0)
	if err != nil {
		return nil, syntaxError(file, err)
	}
	if err := checkNesting(f, limits.Nesting); err != nil {
		return nil, err
	}
	return f, nil
}

func syntaxError(file string, err error) *diag.Error {
	var se syntax.Error
	if errors.As(err, &se) {
		return diag.Errorf(position(se.Pos), diag.Source, "%s", clip(se.Msg))
	}
	return diag.Errorf(diag.Position{File: file}, diag.Source, "%s", clip(err.Error()))
}

// checkNesting reports a node that lies deeper than limit. The parser bounds its own recursion
// only. It reads a chain such as a.b.b… or 1-1-1… in a loop, and that gives a tree on which every
// pass that recurses overflows its stack. So checkNesting doesn't recurse.
func checkNesting(f *syntax.File, limit int) *diag.Error {
	type item struct {
		node  syntax.Node
		depth int
		pos   syntax.Position // of the node, or else of the nearest node around it that has one
	}
	stack := []item{{node: f, pos: syntax.MakePosition(&f.Path, 1, 1)}}
	var children []syntax.Node
	for len(stack) > 0 {
		it := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if p := Token(it.node); p.IsValid() {
			it.pos = p
		}
		if it.depth > limit {
			return ErrNesting.Errorf("syntax nests deeper than %d", limit).At(position(it.pos)).
				WithHint("break it up with variables or a list, or raise the limit with --max-nesting")
		}
		children = appendChildren(children[:0], it.node)
		for _, c := range children {
			stack = append(stack, item{c, it.depth + 1, it.pos})
		}
	}
	return nil
}

// Token returns the position of a token of n that can be found without recursion. For some kinds of
// nodes it is the zero position.
func Token(n syntax.Node) syntax.Position {
	switch n := n.(type) {
	case *syntax.AssignStmt:
		return n.OpPos
	case *syntax.BranchStmt:
		return n.TokenPos
	case *syntax.DefStmt:
		return n.Def
	case *syntax.ForStmt:
		return n.For
	case *syntax.IfStmt:
		return n.If
	case *syntax.ReturnStmt:
		return n.Return
	case *syntax.BinaryExpr:
		return n.OpPos
	case *syntax.CallExpr:
		return n.Lparen
	case *syntax.CondExpr:
		return n.If
	case *syntax.DictExpr:
		return n.Lbrace
	case *syntax.DotExpr:
		return n.Dot
	case *syntax.Ident:
		return n.NamePos
	case *syntax.IndexExpr:
		return n.Lbrack
	case *syntax.LambdaExpr:
		return n.Lambda
	case *syntax.ListExpr:
		return n.Lbrack
	case *syntax.Literal:
		return n.TokenPos
	case *syntax.ParenExpr:
		return n.Lparen
	case *syntax.SliceExpr:
		return n.Lbrack
	case *syntax.UnaryExpr:
		return n.OpPos
	}
	return syntax.Position{}
}

// appendChildren appends n's direct children. It knows every kind of node that the parser makes,
// except load statements, which nest nothing.
func appendChildren(out []syntax.Node, n syntax.Node) []syntax.Node {
	add := func(nodes ...syntax.Node) { out = append(out, nodes...) }
	exprs := func(list []syntax.Expr) {
		for _, x := range list {
			out = append(out, x)
		}
	}
	stmts := func(list []syntax.Stmt) {
		for _, x := range list {
			out = append(out, x)
		}
	}
	switch n := n.(type) {
	case *syntax.File:
		stmts(n.Stmts)
	case *syntax.ExprStmt:
		add(n.X)
	case *syntax.IfStmt:
		add(n.Cond)
		stmts(n.True)
		stmts(n.False)
	case *syntax.AssignStmt:
		add(n.LHS, n.RHS)
	case *syntax.DefStmt:
		exprs(n.Params)
		stmts(n.Body)
	case *syntax.ForStmt:
		add(n.Vars, n.X)
		stmts(n.Body)
	case *syntax.WhileStmt:
		add(n.Cond)
		stmts(n.Body)
	case *syntax.ReturnStmt:
		if n.Result != nil {
			add(n.Result)
		}
	case *syntax.ListExpr:
		exprs(n.List)
	case *syntax.ParenExpr:
		add(n.X)
	case *syntax.CondExpr:
		add(n.Cond, n.True, n.False)
	case *syntax.IndexExpr:
		add(n.X, n.Y)
	case *syntax.DictEntry:
		add(n.Key, n.Value)
	case *syntax.SliceExpr:
		add(n.X)
		for _, x := range []syntax.Expr{n.Lo, n.Hi, n.Step} {
			if x != nil {
				add(x)
			}
		}
	case *syntax.Comprehension:
		add(n.Body)
		add(n.Clauses...)
	case *syntax.IfClause:
		add(n.Cond)
	case *syntax.ForClause:
		add(n.Vars, n.X)
	case *syntax.TupleExpr:
		exprs(n.List)
	case *syntax.DictExpr:
		exprs(n.List)
	case *syntax.UnaryExpr:
		if n.X != nil {
			add(n.X)
		}
	case *syntax.BinaryExpr:
		add(n.X, n.Y)
	case *syntax.DotExpr:
		add(n.X)
	case *syntax.CallExpr:
		add(n.Fn)
		exprs(n.Args)
	case *syntax.LambdaExpr:
		exprs(n.Params)
		add(n.Body)
	}
	return out
}
