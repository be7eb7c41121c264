package resolve_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

// TestTexts holds the findings about a command or script with the inputs s (a str), f (a File) and n
// (an int), and the output o.
func TestTexts(t *testing.T) {
	const o = " {{.outputs.o}}"
	tests := []struct {
		text string // a script, or a command's arguments separated by "|"
		want string
	}{
		{"cp|{{.inputs.f}}|{{.outputs.o}}", ""}, {"cp|{{.inputs.f}}|/var/outputs/o", ""}, {"cp|{{.inputs.f}}|--to=/var/outputs/o/x", ""},
		{"wc|-l|{{.inputs.f}}", "FS212"}, {"wc|-l|{{.inputs.f}}|/var/outputs/other", "FS212"}, {"sh|-c|echo 1 > o", "FS212"},
		{"find|{{.inputs.f}}|-name|o", "FS212"}, {"sh|-c|find . -name o > /tmp/o", "FS212"}, {"sh|-c|bash x.sh > o", "FS212"},
		{"tool|/var/outputs", ""}, {"sh|-c|cd /var/outputs && echo 1 > o", ""}, {"sh|-c|for x in o; do echo 1 > /var/outputs/$x; done", ""},
		{"sh|-c|for x in o; do echo 1 > /var/outputs/p_$x; done", ""}, {"sh|-c|cd /var; echo 1 > outputs/o", ""},
		{"python3|{{.inputs.f}}", ""}, {"{{.inputs.f}}", ""}, {"sh|-c|{{.inputs.s}}", ""}, {"sh|-c|sh {{.inputs.f}}", ""}, {"sh|-c|\"$1\"|sh|{{.inputs.f}}", ""},
		{"sh|-c|exec \"$@\"|sh|{{.inputs.f}}", ""}, {"sh|-c|. x; f", ""}, {"sh|-c|cat \"$1\"|sh|{{.inputs.f}}", "FS212"},
		{"#!/bin/sh\necho 1 > o", "FS212"}, {"#!/bin/sh\necho 1 > /var/outputs/o", ""}, {"#!/usr/bin/env bash\nOUT=/var/outputs\necho 1 > $OUT/o", ""},
		{"#!/usr/bin/env python3\nimport os\nopen(os.path.join('/var/outputs', 'o'), 'w')", ""}, {"#!/bin/sh\npython3 \"$f\"", ""},

		{"cp|{{inputs.f}}|{{.outputs.o}}", "FS213"}, {"cp|{inputs.f}" + o, "FS213"}, {"cp|${inputs.f}" + o, "FS213"}, {"cp|{{ .inputs.f }}" + o, "FS213"},
		{"cp|{{.input.f}}" + o, "FS213"}, {"cp|{output.o}" + o, "FS213"}, {"cp|{{inputs.other}}" + o, ""}, {"awk|{inputs.f = 1}" + o, ""},
		{"#!/bin/sh\necho {{inputs.f}} > /var/outputs/o", "FS213"}, {"#!/bin/sh\necho ${inputs.f} > /var/outputs/o", "FS213"},
		{"#!/usr/bin/env python3\ninputs = load()\nopen('/var/outputs/o').write(f'{inputs.f}')", ""},
		{"#!/usr/bin/env python3\ndef f(inputs): return f'{inputs.s}'\nopen('/var/outputs/o').write(t.render(inputs=i))", ""},

		{"sh|-c|echo {{.inputs.s}} >" + o, "FS215"}, {"bash|-ec|echo '{{.inputs.s}}' >" + o, "FS215"}, {"sh|-c|cat {{.inputs.f}} {{.inputs.n}} >" + o, ""},
		{"sh|-c|echo \"$1\" >" + o + "|sh|{{.inputs.s}}", ""}, {"echo|{{.inputs.s}}" + o, ""},
	}
	for _, tt := range tests {
		task := plan.Task{Name: "t", Dir: ".", Listed: true, Timeout: 1, Inputs: []plan.Param{
			{Name: "s", Type: plan.Type{Kind: plan.KindStr}}, {Name: "f", Type: plan.Type{Kind: plan.KindFile}}, {Name: "n", Type: plan.Type{Kind: plan.KindInt}},
		}, Outputs: []plan.Param{{Name: "o", Type: plan.Type{Kind: plan.KindFile}}}}
		if task.Body = (plan.Body{Kind: plan.BodyCommand, Command: strings.Split(tt.text, "|")}); strings.HasPrefix(tt.text, "#!") {
			task.Body = plan.Body{Kind: plan.BodyScript, Script: tt.text}
		}
		got := textFindings(task, plan.Image{Base: plan.Base{Kind: plan.BaseScratch}})
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

// TestUnnamedOutputs: what else may name an output, or give it.
func TestUnnamedOutputs(t *testing.T) {
	base := plan.Base{Kind: plan.BaseScratch}
	output := func(o plan.Param) plan.Task {
		o.Name = "o"
		return plan.Task{Name: "t", Dir: ".", Listed: true, Timeout: 1, Body: plan.Body{Kind: plan.BodyCommand, Command: []string{"make"}}, Outputs: []plan.Param{o}}
	}
	str := plan.Type{Kind: plan.KindStr}
	with := func(change func(*plan.Task)) plan.Task {
		task := output(plan.Param{Type: str})
		change(&task)
		return task
	}
	for name, tt := range map[string]struct {
		task  plan.Task
		steps []plan.Step
		want  string
	}{
		"nothing":  {output(plan.Param{Type: str}), nil, "FS212"},
		"stdout":   {output(plan.Param{Type: str, Stdout: true}), nil, ""},
		"glob":     {output(plan.Param{Type: str, Glob: "*"}), nil, ""},
		"optional": {output(plan.Param{Type: plan.Type{Kind: plan.KindOptional, Elem: &str}}), nil, ""},
		"include":  {with(func(t *plan.Task) { t.Include = []string{"run.sh"} }), nil, ""},
		"env_vars": {with(func(t *plan.Task) { t.EnvVars = map[string]string{"OUT": "/var/outputs"} }), nil, ""},
		"file":     {output(plan.Param{Type: str}), []plan.Step{{Kind: plan.StepFile, Src: "run.sh", Dst: "/bin/make"}}, ""},
		"commands": {output(plan.Param{Type: str}), []plan.Step{{Kind: plan.StepCommands, Commands: []string{"echo 'echo 1 > /var/outputs/o' > /bin/make"}}}, ""},
		"others":   {output(plan.Param{Type: str}), []plan.Step{{Kind: plan.StepCommands, Commands: []string{"echo"}}}, "FS212"},
	} {
		if got := textFindings(tt.task, plan.Image{Base: base, Steps: tt.steps}); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// textFindings returns the codes of what is found in a task's text.
func textFindings(task plan.Task, image plan.Image) string {
	g := &plan.Graph{Entry: "a.star", Images: []plan.Image{image}, Environments: []plan.Environment{{Name: "e"}}, Tasks: []plan.Task{task}}
	var codes []string
	for _, e := range resolve.Lint(g, fstest.MapFS{}, "linux/amd64") {
		if e.Code == "FS212" || e.Code == "FS213" || e.Code == "FS215" {
			codes = append(codes, e.Code)
		}
	}
	return strings.Join(codes, " ")
}
