package builtins_test

import (
	"os"
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins"
	"github.com/flytestar/flytestar/builtins/value"
)

// headings has the section of spec.md for each predeclared name.
var headings = map[string]string{
	"image": "### image", "task_environment": "### task_environment", "task": "### task", "input": "### input", "output": "### output", "file": "### file and dir", "dir": "### file and dir", "resources": "### resources",
	"record": "### record and struct", "struct": "### record and struct", "enum": "### enum", "json": "### json and math", "math": "### json and math",
	"gather": "## Bodies", "attempt": "## Bodies", "start": "### start", "group": "### Labels and groups",
	"str": "## Types", "int": "## Types", "float": "## Types", "bool": "## Types", "list": "## Types", "dict": "## Types",
	"any": "## Types", "File": "## Types", "Dir": "## Types",
}

// section returns the text of spec.md from a heading to the next of its level or above.
func section(t *testing.T, heading string) string {
	t.Helper()
	data, err := os.ReadFile("../spec.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(data), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("spec.md has no heading %q", heading)
	}
	text, _, _ := strings.Cut(after, "\n"+strings.Repeat("#", strings.Count(heading, "#"))+" ")
	return text
}

// TestSpec: the section of each predeclared name mentions it, and every attribute of it and of its
// values.
func TestSpec(t *testing.T) {
	names := builtins.NewRegistry(builtins.Limits{}).Predeclared()
	for name, heading := range headings {
		if !names.Has(name) {
			t.Errorf("%s isn't predeclared", name)
		}
		if !strings.Contains(section(t, heading), name) {
			t.Errorf("%s isn't in %q", name, heading)
		}
	}
	for name, v := range names {
		if headings[name] == "" {
			t.Errorf("%s has no section in spec.md", name)
		}
		if c, ok := v.(starlark.HasAttrs); ok && (name == "image" || name == "json") {
			mentioned(t, headings[name], c)
		}
	}
	mentioned(t, "### image", &builtins.Image{})
	mentioned(t, "### task_environment", &builtins.Environment{})
	mentioned(t, "### task", &builtins.Task{})
	mentioned(t, "## Bodies", &builtins.Future{})
	mentioned(t, "## Bodies", value.File{})
	mentioned(t, "## Bodies", value.Dir{})
}

func mentioned(t *testing.T, heading string, v starlark.HasAttrs) {
	t.Helper()
	text := section(t, heading)
	if heading == "### task" {
		text += section(t, "## Bodies")
	}
	for _, name := range v.AttrNames() {
		if !strings.Contains(text, "."+name) {
			t.Errorf("%s.%s isn't in %q", v.Type(), name, heading)
		}
	}
}
