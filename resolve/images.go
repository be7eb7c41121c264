package resolve

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// unpinnedPackages is FS204, once for each step. It leaves out packages of apt: a mirror keeps only
// the newest version of each.
func (c *checker) unpinnedPackages() {
	files := map[string][]string{}
	c.eachStep(func(s *plan.Step) *diag.Error {
		var names []string
		switch s.Kind {
		case plan.StepPip:
			names = c.packages.Unpinned(s.Packages, nil)
		case plan.StepRequirements:
			var ok bool
			if names, ok = files[s.Src]; !ok {
				if f := c.packages.RequirementsFile(s.Src); f.Err == nil { // otherwise imageFiles' finding
					names = c.packages.Unpinned(f.Packages, f.Constraints)
				}
				files[s.Src] = names
			}
		}
		if len(names) == 0 {
			return nil
		}
		return unpinnedPackage.Finding(s.Pos, "no exact version of %s", named(names, len(names))).
			WithHint(`pin what results depend on: "name==1.2.3"`)
	})
}

// eachStep reports what find returns for each step of the images.
func (c *checker) eachStep(find func(s *plan.Step) *diag.Error) {
	for i := range c.graph.Images {
		for n := range c.graph.Images[i].Steps {
			if f := find(&c.graph.Images[i].Steps[n]); f != nil {
				c.findings.report(f)
			}
		}
	}
}

// hiddenInstalls is FS211.
func (c *checker) hiddenInstalls() {
	c.eachStep(func(s *plan.Step) *diag.Error {
		for _, command := range s.Commands {
			if tool := installer(command); tool != "" {
				method := "with_apt_packages"
				if strings.Contains(tool, "pip") {
					method = "with_pip_packages"
				}
				return hiddenInstall.Finding(s.Pos, "%s in commands installs what the checks don't see", tool).
					WithHint("use %s, where that can do it: its packages are checked and cached", method)
			}
		}
		return nil
	})
}

// install matches a call of a package manager for which images have a method, where a shell looks
// for a command.
var install = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:^|[;&|({\n]|\b(?:sudo|exec|time|then|else|do|env)\s|-m\s|=\S*\s)\s*((?:/\S*/)?(?:pip[0-9.]*|uv pip|apt|apt-get))\s(?:[^;&|\n]*\s)?install(?:\s|$)`)
})

// installer returns the package manager that a shell command installs with, or "".
func installer(command string) string {
	m := install().FindStringSubmatch(command)
	if m == nil {
		return ""
	}
	return m[1][strings.LastIndex(m[1], "/")+1:] + " install"
}

// fileTools are programs that never use a network, whatever their arguments.
var fileTools = []string{
	"basename", "cat", "cd", "chgrp", "chmod", "chown", "cp", "cut", "dirname", "echo", "export", "false", "grep", "groupadd", "head", "install", "ldconfig",
	"ln", "ls", "mkdir", "mv", "printf", "pwd", "rm", "rmdir", "sed", "set", "sort", "stat", "tail", "tee", "test", "touch", "tr", "true", "uniq", "useradd", "usermod", "wc",
}

// local reports whether shell commands consist of file tools alone. It says no if it can't tell.
func local(commands []string) bool {
	for _, command := range commands {
		if strings.ContainsAny(command, "`$<>(){}\\'\"\n#") {
			return false
		}
		for _, part := range strings.FieldsFunc(command, func(r rune) bool { return r == ';' || r == '&' || r == '|' }) {
			words := strings.Fields(part)
			if len(words) == 0 || !slices.Contains(fileTools, words[0]) {
				return false
			}
		}
	}
	return true
}
