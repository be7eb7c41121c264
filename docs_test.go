package flytestar_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	heading  = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
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
	for _, doc := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "spec.md"} {
		data, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			file, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			if file == "" {
				file = doc
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", doc, m[1], err)
			} else if fragment != "" && !anchors(t, file)[fragment] {
				t.Errorf("%s links to %s, but %s has no such heading", doc, m[1], file)
			}
		}
	}
}

// TestFindingsAreSpecified: every code that the program reports has its section in spec.md, and no other has.
func TestFindingsAreSpecified(t *testing.T) {
	specified := map[string]bool{} // to whether the code has it
	for a := range anchors(t, "spec.md") {
		if code, _, _ := strings.Cut(a, "-"); findings.MatchString(`"` + strings.ToUpper(code) + `"`) {
			specified[strings.ToUpper(code)] = false
		}
	}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		data, err := os.ReadFile(name)
		for _, m := range findings.FindAllStringSubmatch(string(data), -1) {
			if _, ok := specified[m[1]]; !ok {
				t.Errorf("%s reports %s, which spec.md doesn't have", name, m[1])
			}
			specified[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for code, reported := range specified {
		if !reported {
			t.Errorf("spec.md has %s, which nothing reports", code)
		}
	}
}
