package lint

import (
	"slices"
	"strings"
	"unicode"

	"github.com/bazelbuild/buildtools/build"
	"github.com/bazelbuild/buildtools/warn"

	"github.com/flytestar/flytestar/diag"
)

// warnFunc is a check of buildtools.
type warnFunc = func(*build.File) []*warn.LinterFinding

// buildtools runs buildtools' checks. It returns an error if buildtools' parser doesn't take the
// module.
func (c *checker) buildtools(m Module) *diag.Error {
	f, err := parseBuild(m.Path, m.Source)
	if err != nil {
		e := *err.(*diag.Error)
		e.Severity = diag.SeverityInfo
		e.Msg += "; its checks weren't made"
		return &e
	}
	names := loadedNames(f)
	rules := Buildtools()
	for i := range buildtoolsChecks {
		check := &buildtoolsChecks[i]
		for _, w := range c.warnings(check, f) {
			pos := diag.Position{File: m.Path, Line: w.Start.Line, Col: w.Start.LineRune}
			e := c.report(rules[i], pos, "%s", check.message(w.Message))
			e.Hint = check.hint
			if name, ok := names[[2]int{pos.Line, pos.Col}]; ok && check.fixable {
				e.Fix = &diag.Fix{Kind: diag.FixRemoveLoad, Pos: pos, Symbol: name}
			}
		}
	}
	return nil
}

// warnings runs a check. Names that are exposed count as used. buildtools can't know that, so it is
// shown one more statement, which uses them.
func (c *checker) warnings(check *buildtoolsCheck, f *build.File) []*warn.LinterFinding {
	if check.category == "load" && len(c.exposed) > 0 {
		use := &build.ListExpr{}
		for _, name := range c.exposed {
			use.List = append(use.List, &build.Ident{Name: name})
		}
		more := *f
		more.Stmt = append(slices.Clone(f.Stmt), use)
		f = &more
	}
	return check.run()(f)
}

// loadedNames returns the names that load statements bind, by line and column.
func loadedNames(f *build.File) map[[2]int]string {
	names := map[[2]int]string{}
	for _, stmt := range f.Stmt {
		if load, ok := stmt.(*build.LoadStmt); ok {
			for _, to := range load.To {
				names[[2]int{to.NamePos.Line, to.NamePos.LineRune}] = to.Name
			}
		}
	}
	return names
}

// message turns a message of buildtools into one of ours: its first sentence, in lower case,
// without a full stop.
func (c *buildtoolsCheck) message(text string) string {
	if c.msg != "" {
		return c.msg
	}
	text, _, _ = strings.Cut(text, "\n")
	text, _, _ = strings.Cut(text, ". ")
	text = strings.TrimRight(text, ".:")
	for i, r := range text {
		return string(unicode.ToLower(r)) + text[i+len(string(r)):]
	}
	return text
}
