package resolve

import (
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/flytestar/flytestar/diag"
)

// unexpanded is FS214: variables in the values of env_vars. Nothing expands them.
func (c *checker) unexpanded() {
	g := c.graph
	for i := range g.Images {
		for n := range g.Images[i].Steps {
			c.unexpandedIn(g.Images[i].Steps[n].Pos, g.Images[i].Steps[n].EnvVars)
		}
	}
	for i := range g.Environments {
		c.unexpandedIn(g.Environments[i].Pos, g.Environments[i].EnvVars)
	}
	for i := range g.Tasks {
		c.unexpandedIn(g.Tasks[i].Pos, g.Tasks[i].EnvVars)
	}
}

func (c *checker) unexpandedIn(pos diag.Position, vars map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		found := variable().FindString(vars[name])
		if found == "" {
			continue
		}
		c.findings.reportLater(unexpandedVariable.Code, unexpandedVariable.Severity, func() *diag.Error {
			return unexpandedVariable.Finding(pos, "%s has %.100s, which stays as it is: no shell reads env_vars", name, found).
				WithHint("write the value out")
		})
	}
}

// variable matches what a shell would expand.
var variable = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})`)
})
