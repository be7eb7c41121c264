package findings

import (
	"fmt"
	"io"
	"strings"

	"github.com/flytestar/flytestar/diag"
)

// WriteGitHub writes findings as workflow commands. GitHub Actions shows them as annotations of the
// files.
func WriteGitHub(w io.Writer, findings []Finding) error {
	for _, f := range findings {
		level := "error"
		switch f.Severity {
		case diag.SeverityWarning:
			level = "warning"
		case diag.SeverityInfo:
			level = "notice"
		}
		var props []string
		add := func(name, value string) {
			props = append(props, name+"="+githubProperty.Replace(value))
		}
		if f.File != "" {
			add("file", f.File)
			if f.Pos.Line > 0 {
				add("line", fmt.Sprint(f.Pos.Line))
			}
			if f.Pos.Col > 0 {
				add("col", fmt.Sprint(f.Pos.Col))
			}
		}
		title := "flytestar"
		if f.Code != "" {
			title += " " + f.Code
		}
		add("title", title)
		msg := f.Msg
		if f.Hint != "" {
			msg += "\nhint: " + f.Hint
		}
		if _, err := fmt.Fprintf(w, "::%s %s::%s\n", level, strings.Join(props, ","), githubData.Replace(msg)); err != nil {
			return err
		}
	}
	return nil
}

// What is escaped in the message and in the properties of a workflow command.
var (
	githubData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	githubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)
