package lint

import (
	"strings"
	"unicode"

	"github.com/bazelbuild/buildtools/build"
	"github.com/bazelbuild/buildtools/warn"

	"github.com/flytestar/flytestar/diag"
)

// warnFunc is a check of buildtools.
type warnFunc = func(*build.File) []*warn.LinterFinding

// buildtools runs buildtools' checks. The error is that its parser doesn't take the module.
func (c *checker) buildtools(m Module) *diag.Error {
	f, err := parseBuild(m.Path, m.Source)
	if err != nil {
		e := *err.(*diag.Error)
		e.Severity = diag.SeverityInfo
		e.Msg += "; its checks weren't made"
		return &e
	}
	rules := Buildtools()
	for i := range buildtoolsChecks {
		check := &buildtoolsChecks[i]
		for _, w := range check.run()(f) {
			pos := diag.Position{File: m.Path, Line: w.Start.Line, Col: w.Start.LineRune}
			e := c.report(rules[i], pos, "%s", check.message(w.Message))
			e.Hint = check.hint
			if check.fixable && len(w.Replacement) > 0 {
				e.Fix = &diag.Fix{Kind: diag.FixBuildtools, Pos: pos, Symbol: check.category}
			}
		}
	}
	return nil
}

// message is a message of buildtools' in the form of ours: its first sentence, small, without a full stop.
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
