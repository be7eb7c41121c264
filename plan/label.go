package plan

import (
	"strings"

	"github.com/flytestar/flytestar/internal/text"
)

// Label tells the calls of a task apart where people look. It has no other meaning.
type Label struct {
	Label string `json:"label,omitempty"` // given by override, or made by map: "[3] tumor"
	Group string `json:"group,omitempty"` // the groups and started functions around the call: "qc/chain(tumor)"
}

// MaxLabel bounds each part of a label, in characters.
const MaxLabel = 100

// Of returns a task's name with the label: "e.align [3] tumor (qc)".
func (l Label) Of(task string) string {
	if l.Label != "" {
		task += " " + l.Label
	}
	if l.Group != "" {
		task += " (" + l.Group + ")"
	}
	return task
}

// Clean returns the label as one line of bounded length, without what a terminal obeys.
func (l Label) Clean() Label { return Label{CleanLabel(l.Label), CleanLabel(l.Group)} }

// CleanLabel returns s as part of a label may be: one line of at most MaxLabel characters that can
// be shown. It cuts at the front, where groups begin that hold many.
func CleanLabel(s string) string {
	s = text.Safe(strings.Join(strings.Fields(s), " "))
	if r := []rune(s); len(r) > MaxLabel {
		s = "…" + string(r[len(r)-MaxLabel+1:])
	}
	return s
}
