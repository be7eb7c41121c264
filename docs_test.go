package flytestar_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/flytestar/flytestar"
)

var (
	heading  = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	numbered = regexp.MustCompile(`^FS\d{3}$`)
	findings = regexp.MustCompile(`"(FS\d{3})"`)
)

// anchor is the name that a heading's link has on the usual hosts.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

func anchors(t *testing.T, file string) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(string(data), -1) {
		set[anchor(m[1])] = true
	}
	return set
}

// TestLinks: what the documents link to is there.
func TestLinks(t *testing.T) {
	followed := 0
	for _, doc := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "spec.md", "docs/threat-model.md", "docs/from-flyte.md", "docs/from-python.md", "examples/README.md"} {
		data, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			file, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			followed++
			if file = filepath.Join(filepath.Dir(doc), file); strings.HasPrefix(m[1], "#") {
				file = doc
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", doc, m[1], err)
			} else if fragment != "" && !anchors(t, file)[fragment] {
				t.Errorf("%s links to %s, but %s has no such heading", doc, m[1], file)
			}
		}
	}
	if followed < 20 {
		t.Errorf("the documents have only %d links: the form of links has changed", followed)
	}
}

var (
	testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(`)
	script   = regexp.MustCompile("`(\\w+\\.txtar)`")
)

// TestThreatModel: every claim of docs/threat-model.md names what shows it, and that is there.
func TestThreatModel(t *testing.T) {
	const doc = "docs/threat-model.md"
	data, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	err = filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		source, err := os.ReadFile(name)
		for _, m := range testFunc.FindAllStringSubmatch(string(source), -1) {
			tests[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range testName.FindAllStringSubmatch(string(data), -1) {
		if !tests[m[1]] {
			t.Errorf("%s names %s, which isn't a test", doc, m[1])
		}
	}
	for _, m := range script.FindAllStringSubmatch(string(data), -1) {
		if _, err := os.Stat(filepath.Join("cmd/flytestar/testdata/script", m[1])); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
	claims := 0
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "| ") || cells[0] == "| what can't happen" {
			continue
		}
		claims++
		if last := cells[len(cells)-1]; len(cells) != 3 || !testName.MatchString(last) && !script.MatchString(last) {
			t.Errorf("%s: no test shows that this can't happen: %s", doc, cells[0])
		}
	}
	if claims < 30 {
		t.Errorf("%s has %d claims: the form of its tables has changed", doc, claims)
	}
}

// TestRulesAreSpecified: every rule with a number has a section in spec.md, with an example and how
// to mend it; every other is named there. Every such section is of a rule, and so is every code
// that the program reports.
func TestRulesAreSpecified(t *testing.T) {
	spec, err := os.ReadFile("spec.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]bool{}
	for _, r := range flytestar.Rules() {
		if rules[r.Code] || r.Name == "" || r.Severity == "" || r.Summary == "" || strings.ToLower(r.Summary[:1]) != r.Summary[:1] {
			t.Errorf("%+v", r)
		}
		rules[r.Code] = true
		_, text, err := flytestar.Explain(r.Code)
		switch numbered := numbered.MatchString(r.Code); {
		case err != nil:
			t.Error(err)
		case numbered && !(strings.Contains(text, "\n```") && strings.Contains(text, r.Code) && strings.Contains(text, "\nFix: ")):
			t.Errorf("the section of %s lacks an example that names it, or its fix:\n%s", r.Code, text)
		case !numbered && !strings.Contains(string(spec), "`"+r.Code+"`"):
			t.Errorf("spec.md doesn't name %s", r.Code)
		}
	}
	for _, m := range heading.FindAllStringSubmatch(string(spec), -1) {
		if code, _, _ := strings.Cut(m[1], ":"); numbered.MatchString(code) && !rules[code] {
			t.Errorf("spec.md has %s, which is no rule", code)
		}
	}
	err = filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		data, err := os.ReadFile(name)
		for _, m := range findings.FindAllStringSubmatch(string(data), -1) {
			if !rules[m[1]] {
				t.Errorf("%s has %s, which is no rule", name, m[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
