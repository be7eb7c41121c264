package engine_test

import (
	"testing"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/engine"
)

func TestCheckShell(t *testing.T) {
	const f = "{{.inputs.f}}"
	tests := []struct {
		text, name string
		ok         bool
	}{
		{"cat " + f, "data.csv.gz", true}, {"cat " + f, "a_1-2+x@y,z=3:4%.é", true},
		{"cat " + f, "a b", false}, {"cat " + f, "$(id)", false}, {"cat " + f, "a;b", false}, {"cat " + f, "a*", false}, {"cat " + f, "a\nb", false},
		{"cat " + f, "a (1).csv", false}, {"cat " + f, "\u00a0", false}, {"cat " + f, "\xff", false}, {"cat " + f, "~", false},
		{"cat '" + f + "'", "a (1).csv", true}, {"cat '" + f + "'", "it's", false}, {"cat '" + f + "'", "$(id)", false}, {"cat '" + f + "'", "a;b", false},
		{`cat "` + f + `.bai"`, "a b", true}, {`cat "` + f + `"`, "a`id`", false}, {`cat "` + f + `"`, `a"b`, false}, {`cat "` + f + `"`, `a\b`, false},
		{`echo "x" ` + f, "a b", false}, {`echo "x "` + f + `" y"`, "a b", false}, {`echo \"` + f, "a b", false}, {`echo '\'` + f, "a b", false},
		{`x=$(cat "` + f + `")`, "a b", true}, {`x="$(cat ` + f + `)"`, "a b", false}, {`x="$(cat "` + f + `")"`, "a b", true},
		{`x="$(echo $((1 + 2)))"; cat ` + f, "a b", false}, {`(cd "a"); echo "a (` + f, "a b", true}, {"x=\"`cat " + f, "a b", false},
		{"# it's\ncat " + f, "a b", false}, {"# " + f, "a b", false}, {`cat ")" ` + f, "a b", false}, {"cat '\"' " + f, "a b", false}, {"\x00)" + f, "a b", false},
		{"cat {{.outputs.f}}", "a b", true}, {"cat {{.inputs.g}}", "a b", true}, {"cat {{.inputs.g}} " + f, "a b", false},
	}
	for _, tt := range tests {
		inputs := []exec.Input{{Path: exec.InputsPath + "/f/" + tt.name}, {Path: exec.InputsPath + "/g/plain"}}
		if err := engine.CheckShell([]string{"bash", "-euo", "pipefail", "-c", tt.text}, inputs); (err == nil) != tt.ok {
			t.Errorf("%s with %q: %v", tt.text, tt.name, err)
		}
		if err := engine.CheckShell([]string{"sh", "-c", `cat "$1"`, "sh", f, "--f=" + f}, inputs); err != nil {
			t.Errorf("an argument of its own: %v", err)
		}
	}
}
