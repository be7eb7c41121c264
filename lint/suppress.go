package lint

import (
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
)

// Suppression is a comment that suppresses findings:
//
//	# flytestar: disable=FS204,unused-variable
//	# flytestar: disable-file=FS204
//	# buildifier: disable=unused-variable
type Suppression struct {
	Pos   diag.Position `json:"pos"`
	Codes []string      `json:"codes"`
	// First and Last are the lines of the statement that the comment is about, or 0 if there is
	// none.
	First   int    `json:"first"`
	Last    int    `json:"last"`
	File    bool   `json:"file"`              // it is about the whole module
	Foreign bool   `json:"foreign"`           // it is buildifier's, which may know more rules than we do
	Problem string `json:"problem,omitempty"` // why it can't be one
}

var (
	suppressionRE = regexp.MustCompile(`^#\s*(flytestar|buildifier):\s*(disable|disable-file)=([A-Za-z0-9_,-]+)(?:\s|$)`)
	// addressedRE matches comments that mean us, even if they are misspelt.
	addressedRE = regexp.MustCompile(`^#\s*flytestar:`)
)

// findSuppressions returns the module's suppressions, in order.
func findSuppressions(m Module, f *syntax.File) []Suppression {
	var comments []comment
	var out []Suppression
	all := findComments(m.Path, m.Source)
	for _, c := range all {
		if s, ok := readSuppression(c); ok {
			comments = append(comments, c)
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil
	}
	lines := statementLines(f)
	lines.attach(out, comments, commentLines(all))
	for i := range out {
		if s := &out[i]; s.File && len(f.Stmts) > 0 && s.Pos.Line > lines[0].first {
			s.File, s.Problem = false, "disable-file stands above the first statement"
		}
	}
	return out
}

func readSuppression(c comment) (Suppression, bool) {
	m := suppressionRE.FindStringSubmatch(c.text)
	switch {
	case m == nil && addressedRE.MatchString(c.text):
		return Suppression{Pos: c.pos, Problem: "this isn't understood"}, true
	case m == nil, m[1] == "buildifier" && m[2] == "disable-file":
		return Suppression{}, false
	}
	codes := strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' })
	return Suppression{Pos: c.pos, Codes: codes, File: m[2] == "disable-file", Foreign: m[1] == "buildifier"}, true
}

// commentLines returns the lines that are comments and nothing else.
func commentLines(all []comment) map[int]bool {
	lines := map[int]bool{}
	for _, c := range all {
		if c.whole {
			lines[c.pos.Line] = true
		}
	}
	return lines
}

// lineSpan is the first and last line of a statement.
type lineSpan struct {
	first, last int
	compound    bool
}

// lineSpans are the lines of all statements. Each stands before the statements within it.
type lineSpans []lineSpan

func statementLines(f *syntax.File) lineSpans {
	var spans lineSpans
	spans.add(f.Stmts)
	return spans
}

// add adds statements, and returns their last line.
func (l *lineSpans) add(stmts []syntax.Stmt) int {
	last := 0
	for _, stmt := range stmts {
		at := len(*l)
		*l = append(*l, lineSpan{})
		var span lineSpan
		if pos, bodies := bodiesOf(stmt); len(bodies) > 0 {
			span = lineSpan{first: int(pos.Line), compound: true}
			for _, body := range bodies {
				span.last = max(span.last, l.add(body))
			}
		} else {
			begin, end := stmt.Span()
			span = lineSpan{first: int(begin.Line), last: int(end.Line)}
		}
		(*l)[at] = span
		last = max(last, span.last)
	}
	return last
}

// attach sets which lines each suppression is about. Suppressions are in the order of their
// comments.
func (l lineSpans) attach(out []Suppression, comments []comment, whole map[int]bool) {
	begins := map[int]lineSpan{} // the outermost statement that begins on a line
	for _, s := range l {
		if _, ok := begins[s.first]; !ok {
			begins[s.first] = s
		}
	}
	below := map[int]int{} // by line of a comment: the next line that isn't one
	for i := len(comments) - 1; i >= 0; i-- {
		line := comments[i].pos.Line
		next := line + 1
		for whole[next] && below[next] == 0 {
			next++
		}
		if b := below[next]; b != 0 {
			next = b
		}
		below[line] = next
	}
	var around lineSpans // the statements that begin at or above the comment, innermost last
	for i, c := range comments {
		line := c.pos.Line
		for len(l) > 0 && l[0].first <= line {
			for len(around) > 0 && around[len(around)-1].last < l[0].first {
				around = around[:len(around)-1]
			}
			around, l = append(around, l[0]), l[1:]
		}
		for len(around) > 0 && around[len(around)-1].last < line {
			around = around[:len(around)-1]
		}
		var inner lineSpan
		if len(around) > 0 {
			inner = around[len(around)-1]
		}
		if c.whole && (inner.compound || len(around) == 0) { // not within an expression
			inner = begins[below[line]]
		}
		out[i].First, out[i].Last = inner.first, inner.last
	}
}

// covers reports whether s suppresses a finding with that code at pos.
func (s *Suppression) covers(pos diag.Position, code string) bool {
	return pos.File == s.Pos.File && slices.Contains(s.Codes, code) &&
		(s.File || s.First > 0 && s.First <= pos.Line && pos.Line <= s.Last)
}

// Known is what is known when suppressions are judged.
type Known struct {
	Rules []diag.Rule // all that there are
	// Partial says that findings of other packages may be missing, for example because the modules
	// couldn't be evaluated. Suppressions of their rules aren't judged then.
	Partial bool
}

// Apply removes the findings that are suppressed, and adds one for each suppression that suppresses
// nothing (FS290). Findings without a code, and errors FS1xx, can't be suppressed.
func (r *Report) Apply(findings diag.List, known Known) diag.List {
	byFile := map[string][]*Suppression{}
	for i := range r.Suppressions {
		s := &r.Suppressions[i]
		byFile[s.Pos.File] = append(byFile[s.Pos.File], s)
	}
	used := map[*Suppression]map[string]bool{}
	var out diag.List
	for _, e := range findings {
		suppressed := false
		for _, s := range byFile[e.Pos.File] {
			if Suppressible(e.Code) && s.covers(e.Pos, e.Code) {
				if used[s] == nil {
					used[s] = map[string]bool{}
				}
				used[s][e.Code], suppressed = true, true
			}
		}
		if !suppressed {
			out = append(out, e)
		}
	}
	idle := idleList{}
	for i := range r.Suppressions {
		s := &r.Suppressions[i]
		idle.add(r.idle(s, used[s], known))
	}
	out = append(out, idle.list()...)
	out.Sort()
	return out
}

// idleList has the first maxFindings findings FS290, and counts the others.
type idleList struct {
	findings diag.List
	more     int
}

func (l *idleList) add(found diag.List) {
	room := min(len(found), maxFindings-len(l.findings))
	l.findings = append(l.findings, found[:room]...)
	l.more += len(found) - room
}

// list returns the findings. The last one says how many more there are, in the file where the last
// that is listed stands.
func (l *idleList) list() diag.List {
	if l.more == 0 {
		return l.findings
	}
	file := l.findings[len(l.findings)-1].Pos.File
	return append(l.findings, unusedSuppression.Finding(diag.Position{File: file}, "and %d more findings like the first %d", l.more, maxFindings))
}

// Suppressible reports whether findings of a code can be suppressed at all.
func Suppressible(code string) bool { return code != "" && !strings.HasPrefix(code, "FS1") }

// idle returns a finding for each code of s that suppresses nothing.
func (r *Report) idle(s *Suppression, used map[string]bool, known Known) diag.List {
	if s.Problem != "" {
		return diag.List{unusedSuppression.Finding(s.Pos, "%s", s.Problem).WithHint("write # flytestar: disable=CODE,...")}
	}
	var out diag.List
	for _, code := range s.Codes {
		rule := slices.IndexFunc(known.Rules, func(r diag.Rule) bool { return r.Code == code })
		var e *diag.Error
		switch {
		case used[code], s.Foreign:
			continue
		case rule < 0:
			e = unusedSuppression.Finding(s.Pos, "%s is no code of a finding", code)
			if near := diag.Suggest(code, codesOf(known.Rules)); near != "" {
				e.WithHint("did you mean %s?", near)
			}
		case !Suppressible(code):
			e = unusedSuppression.Finding(s.Pos, "%s is an error, and these can't be suppressed", code)
		case !r.judges(code, s.Pos.File, known):
			continue
		default:
			e = unusedSuppression.Finding(s.Pos, "%s isn't found here, so this suppresses nothing", code).WithHint("remove it")
		}
		e.Fix = &diag.Fix{Kind: diag.FixRemoveSuppression, Pos: s.Pos, Symbol: code}
		out = append(out, e)
	}
	return out
}

// judges reports whether the findings of code are known, so that a suppression of none is idle.
func (r *Report) judges(code, path string, known Known) bool {
	if IsBuildtools(code) {
		return !slices.Contains(r.Unread, path)
	}
	return !known.Partial || slices.Contains(codesOf(Rules()), code)
}

func codesOf(rules []diag.Rule) []string {
	codes := make([]string, len(rules))
	for i, r := range rules {
		codes[i] = r.Code
	}
	return codes
}
