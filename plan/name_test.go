package plan

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestNames compares the functions with the patterns that they stand for.
func TestNames(t *testing.T) {
	name, task := regexp.MustCompile(NamePattern), regexp.MustCompile(TaskNamePattern)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9_\-\x00@\[{é/:]{0,6}`), rapid.StringMatching(NamePattern), rapid.StringMatching(TaskNamePattern)).Draw(t, "s")
		if got, want := ValidName(s), len(s) <= maxName && name.MatchString(s); got != want {
			t.Errorf("ValidName(%q) is %t", s, got)
		}
		if got, want := ValidTaskName(s), len(s) <= maxName && task.MatchString(s); got != want {
			t.Errorf("ValidTaskName(%q) is %t", s, got)
		}
	})
	if long := strings.Repeat("a", maxName+1); ValidName(long) || ValidTaskName(long) {
		t.Error("a long name is valid")
	}
}
