package resolve

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// literalPlaceholders is FS213: text in a command or script that looks like a placeholder, and isn't.
func (c *checker) literalPlaceholders() {
	c.eachText(func(t *plan.Task, task string, texts []string) {
		declared := map[string]bool{} // by group, a dot and the name
		for _, p := range t.Inputs {
			declared["inputs."+p.Name] = true
		}
		for _, p := range t.Outputs {
			declared["outputs."+p.Name] = true
		}
		for _, text := range texts {
			if ownNames().MatchString(text) {
				continue // it may be a template of the text's own
			}
			for _, m := range nearPlaceholder().FindAllStringSubmatch(text, -1) {
				group, name := strings.TrimSuffix(m[1], "s")+"s", m[2]
				if declared[group+"."+name] && m[0] != "{{."+group+"."+name+"}}" {
					c.literalPlaceholder(t, task, m[0], group, name)
				}
			}
		}
	})
}

func (c *checker) literalPlaceholder(t *plan.Task, task, whole, group, name string) {
	c.findings.reportLater(literalPlaceholder.Code, literalPlaceholder.Severity, func() *diag.Error {
		e := literalPlaceholder.Finding(t.Pos, "task %s has %.200s, which is no placeholder and stays as it is", task, whole)
		switch {
		case t.Body.Kind == plan.BodyCommand:
			return e.WithHint("write {{.%s.%s}}", group, name)
		case group == "outputs":
			return e.WithHint("write to /var/outputs/%s", name)
		}
		return e.WithHint(`in a shell script write "$%s"; /var/inputs.json has every input`, name)
	})
}

// nearPlaceholder matches placeholders and what is written by mistake for one.
var nearPlaceholder = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\$?\{{1,2}[ \t]*\.?(inputs?|outputs?)\.([\pL_][\pL\p{Nd}_]*)[ \t]*\}{1,2}`)
})

// ownNames matches where a text gives a meaning of its own to inputs or outputs, as a Python script
// with f-strings does.
var ownNames = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\b(?:inputs?|outputs?)\s*(?::?=|:\s)|\b(?:as|import|for|def|with)\s+(?:inputs?|outputs?)\b`)
})

// unnamedOutputs is FS212: outputs that nothing in a command or script names. It is silent where a
// path may be put together, or where a program may name them that this doesn't see.
func (c *checker) unnamedOutputs() {
	c.eachText(func(t *plan.Task, task string, texts []string) {
		if len(t.Include) > 0 || c.mayWrite(t) || runsInput(t) || slices.ContainsFunc(texts, computes) {
			return
		}
		named := map[string]bool{}
		for _, text := range texts {
			for _, m := range outputName().FindAllStringSubmatch(text, -1) {
				named[m[1]+m[2]] = true
			}
		}
		for _, o := range t.Outputs {
			if o.Stdout || o.Glob != "" || named[o.Name] || o.Type.Kind == plan.KindOptional || o.Type.Kind == plan.KindNone {
				continue
			}
			c.findings.reportLater(unnamedOutput.Code, unnamedOutput.Severity, func() *diag.Error {
				return unnamedOutput.Finding(t.Pos, "nothing in task %s names its output %q, so that it will be missing", task, o.Name).
					WithHint("write it to %s, or declare where it comes from with stdout = %q or output(…, glob = …)", outputPath(t, o.Name), o.Name)
			})
		}
	})
}

func outputPath(t *plan.Task, name string) string {
	if t.Body.Kind == plan.BodyCommand {
		return "{{.outputs." + name + "}}"
	}
	return "/var/outputs/" + name
}

// outputName matches an output's placeholder or path, whole.
var outputName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\{\{\.outputs\.([\pL_][\pL\p{Nd}_]*)\}\}|/var/outputs/([\pL_][\pL\p{Nd}_]*)`)
})

// computes reports whether a text has the directory of outputs without a name, so that it may write
// to one whose name isn't to be read in it.
func computes(text string) bool {
	for _, at := range outputName().FindAllStringSubmatchIndex(text, -1) {
		if end := at[1]; at[4] >= 0 && end < len(text) && strings.IndexByte("$`*?[{%\\", text[end]) >= 0 {
			return true
		}
	}
	return strings.Contains(outputName().ReplaceAllString(text, ""), "outputs")
}

// hiddenProgram matches where a shell's text or a script runs a program that a variable or input names.
var hiddenProgram = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`"\$@"|\$[@*]|\b(?:eval|source)\s|(?:^|[;&|(\n])\s*\.\s|` +
		`(?:\b(?:sh|bash|dash|python[0-9.]*|perl|Rscript|ruby|node|exec|env)\s+(?:-\S+\s+)*|^\s*|[;&|(\n]\s*)["']?(?:\$|\{\{\.inputs)`)
})

// runsInput reports whether a task runs an input, or what a variable says, as a program, as in
// ["python3", "{{.inputs.program}}"].
func runsInput(t *plan.Task) bool {
	if t.Body.Kind == plan.BodyScript {
		return hiddenProgram().MatchString(t.Body.Script)
	}
	command := t.Body.Command
	text := plan.ShellText(command)
	if text >= 0 && hiddenProgram().MatchString(command[text]) || strings.Contains(command[0], "{{.inputs.") {
		return true
	}
	return text < 0 && interpreter().MatchString(command[0]) &&
		slices.ContainsFunc(command, func(arg string) bool { return strings.HasPrefix(arg, "{{.inputs.") })
}

// interpreter matches programs that run the program that they are given.
var interpreter = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:^|/)(?:sh|bash|dash|zsh|busybox|python[0-9.]*|perl|Rscript|R|ruby|node|julia|java|make|env|timeout|nice|xargs|snakemake)$`)
})

// mayWrite reports whether a program of the task's image may know of its outputs: the workspace puts
// files there, or a command or variable mentions the directory.
func (c *checker) mayWrite(t *plan.Task) bool {
	env := &c.graph.Environments[t.Env]
	if mentioned(t.EnvVars) || mentioned(env.EnvVars) {
		return true
	}
	if env.Image == plan.NoImage {
		return false
	}
	for _, s := range c.graph.Images[env.Image].Steps {
		if s.Kind == plan.StepFile || s.Kind == plan.StepFolder || mentioned(s.EnvVars) || strings.Contains(strings.Join(s.Commands, "\n"), "/outputs") {
			return true
		}
	}
	return false
}

// mentioned reports whether a variable leads to outputs.
func mentioned(vars map[string]string) bool {
	for _, v := range vars {
		if strings.Contains(v, "outputs") {
			return true
		}
	}
	return false
}

// shellInputs is FS215: text that stands where a shell reads it as a part of its program.
func (c *checker) shellInputs() {
	c.eachText(func(t *plan.Task, task string, texts []string) {
		i := plan.ShellText(t.Body.Command)
		if i < 0 {
			return
		}
		named := map[string]bool{}
		for _, place := range inputPlace().FindAllString(texts[i], -1) {
			named[place] = place != texts[i] // an input that is the whole text is meant as a program
		}
		for _, p := range t.Inputs {
			place := "{{.inputs." + p.Name + "}}"
			if !named[place] || !holdsText(&p.Type) {
				continue
			}
			c.findings.reportLater(shellInput.Code, shellInput.Severity, func() *diag.Error {
				return shellInput.Finding(t.Pos, "task %s has %s in text that a shell runs, and so what it holds is run too", task, place).
					WithHint(`give %s as an argument of its own, and write "$1" for it in the text`, place)
			})
		}
	})
}

// inputPlace matches an input's placeholder.
var inputPlace = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\{\{\.inputs\.[\pL_][\pL\p{Nd}_]*\}\}`)
})

// holdsText reports whether a value of type t can have any text.
func holdsText(t *plan.Type) bool {
	switch t.Kind {
	case plan.KindStr, plan.KindAny, plan.KindDict:
		return true
	case plan.KindInt, plan.KindFloat, plan.KindBool, plan.KindNone, plan.KindFile, plan.KindDir, plan.KindEnum:
		return false
	case plan.KindList, plan.KindOptional:
		return holdsText(t.Elem)
	case plan.KindRecord:
		return slices.ContainsFunc(t.Fields, func(f plan.Field) bool { return holdsText(&f.Type) })
	case plan.KindUnion:
		return slices.ContainsFunc(t.Members, func(m plan.Type) bool { return holdsText(&m) })
	}
	return true
}

// eachText calls f for each command and script, with the task's full name and what the author wrote.
func (c *checker) eachText(f func(t *plan.Task, name string, texts []string)) {
	for i := range c.graph.Tasks {
		switch t := &c.graph.Tasks[i]; t.Body.Kind {
		case plan.BodyCommand:
			f(t, c.graph.FullName(i), t.Body.Command)
		case plan.BodyScript:
			f(t, c.graph.FullName(i), []string{t.Body.Script})
		case plan.BodyStarlark, plan.BodyPython:
		}
	}
}
