package lint

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/bazelbuild/buildtools/build"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/interp"
)

// formatRequest asks for a module's layout.
type formatRequest struct {
	Module
	Limits interp.Limits `json:"limits"`
}

// Format returns the source of m, laid out by buildtools' formatter. The result means the same:
// what same.go compares is as before, and so are the comments. If it would mean something else,
// that is an error, and so is source that doesn't parse. Formatting the result changes nothing.
func Format(ctx context.Context, m Module, options evaluator.Options) ([]byte, error) {
	answer, err := run[Module](ctx, formatTool, formatRequest{m, options.Limits}, options)
	if err != nil {
		return nil, err
	}
	return answer.Source, nil
}

// maxRounds bounds how often a module is laid out until that changes nothing. Usually once is
// enough.
const maxRounds = 4

// formatModule does the work of [Format] in the tool's process.
func formatModule(r *formatRequest) (*Module, error) {
	before, err := interp.Parse(r.Path, r.Source, r.Limits)
	if err != nil {
		return nil, err
	}
	out, settled := r.Source, false
	for range maxRounds {
		next, err := layOut(r.Path, out)
		if err != nil {
			return nil, err
		}
		if settled = bytes.Equal(next, out); settled {
			break
		}
		out = next
	}
	if !settled {
		return nil, unformattable(diag.Position{File: r.Path}, "its layout changes each time that it is formatted")
	}
	after, err := interp.Parse(r.Path, out, r.Limits)
	var limit *diag.Error
	if errors.As(err, &limit) && limit.Class == diag.Limit { // the module nears it
		return nil, limit
	}
	if err != nil {
		return nil, unformattable(diag.Position{File: r.Path}, "the result would not parse: %v", err)
	}
	if pos, ok := difference(before, after); ok {
		return nil, unformattable(pos, "that would change what this means")
	}
	if pos, ok := lostComment(r.Path, r.Source, out); ok {
		return nil, unformattable(pos, "that would lose this comment")
	}
	return &Module{Path: r.Path, Source: out}, nil
}

func unformattable(pos diag.Position, format string, args ...any) *diag.Error {
	return diag.Errorf(pos, diag.Source, "can't be formatted: "+format, args...).
		WithHint("nothing was written; write it in another way, or leave this file out")
}

// layouts are the rewrites of buildtools that only move text. Four kinds are left out. Sorting load
// statements changes the order in which modules are evaluated, and so how tasks are named. The
// comment "keep sorted" would change a list. starlark-go refuses some syntax anyway (octal 0777,
// keywords before positional arguments). And its way with floats spoils 1.0e0.
var layouts = []string{"loadTop", "sameOriginLoad", "loadsort", "formatdocstrings", "collapseEmpty"}

// layOut formats a module that starlark-go's parser takes.
func layOut(path string, source []byte) ([]byte, error) {
	f, err := parseBuild(path, withoutTabs(source))
	if err != nil {
		return nil, err
	}
	doubleQuotes(f)
	return build.FormatWithRewriter(&build.Rewriter{RewriteSet: layouts}, f), nil
}

// parseBuild parses with buildtools' parser, which takes less than starlark-go's.
func parseBuild(path string, source []byte) (*build.File, error) {
	f, err := build.ParseDefault(path, bytes.Clone(unmarked(source)))
	if err == nil {
		return f, nil
	}
	var pe build.ParseError
	if !errors.As(err, &pe) {
		return nil, diag.Errorf(diag.Position{File: path}, diag.Source, "buildtools can't parse this: %w", err)
	}
	pos := diag.Position{File: path, Line: pe.Pos.Line, Col: pe.Pos.LineRune}
	return nil, diag.Errorf(pos, diag.Source, "buildtools, which formats and mends, can't parse this: %s", pe.Message).
		WithHint(`its grammar is smaller than Starlark's: put parentheses around a conditional in a tuple, and write bytes("...") for b"..."; flytestar fmt turns tabs into spaces`)
}

// doubleQuotes gives strings the quotes that the printer prefers. If it changed them itself, it
// would write everything in them that isn't ASCII in octal.
func doubleQuotes(f *build.File) {
	build.Walk(f, func(x build.Expr, _ []build.Expr) {
		lit, ok := x.(*build.StringExpr)
		if !ok || !strings.HasPrefix(lit.Token, "'") || strings.Contains(lit.Token, `"`) {
			return
		}
		quotes := 1
		if lit.TripleQuote {
			quotes = 3
		}
		body := lit.Token[quotes : len(lit.Token)-quotes]
		lit.Token = strings.Repeat(`"`, quotes) + body + strings.Repeat(`"`, quotes)
	})
}

// withoutTabs replaces the tabs that indent lines, since buildtools takes none. Stops are 8 columns
// apart, as in starlark-go. Strings stay as they are.
func withoutTabs(source []byte) []byte {
	if !bytes.Contains(source, []byte("\t")) {
		return source
	}
	var out []byte
	indent := true
	for i := 0; i < len(source); {
		c := source[i]
		n := 1
		switch {
		case c == '\t' && indent:
			col := len(out) - 1 - bytes.LastIndexByte(out, '\n')
			out = append(out, "        "[col%8:]...)
			i++
			continue
		case c == '"' || c == '\'':
			n = stringLength(source[i:])
		case c == '#':
			n = lineLength(source[i:])
		}
		indent = c == '\n' || indent && c == ' '
		out = append(out, source[i:i+n]...)
		i += n
	}
	return out
}

// lostComment returns the first comment of before that after hasn't. Space in comments doesn't
// count.
func lostComment(path string, before, after []byte) (diag.Position, bool) {
	left := map[string]int{}
	for _, c := range findComments(path, after) {
		left[squeeze(c.text)]++
	}
	for _, c := range findComments(path, before) {
		text := squeeze(c.text)
		if left[text] == 0 {
			return c.pos, true
		}
		left[text]--
	}
	return diag.Position{}, false
}

// squeeze removes space.
func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }
