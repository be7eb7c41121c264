package plan_test

import (
	"strings"
	"testing"

	"github.com/flytestar/flytestar/plan"
)

func TestShellText(t *testing.T) {
	tests := []struct {
		command string // its arguments, separated by "|"
		want    int
	}{
		{"sh|-c|x", 2}, {"/bin/bash|-ec|x|y", 2}, {"bash|-lc|x", 2}, {"sh|-e|-c|x", 3}, {"sh|-c|-e|x", 3},
		{"bash|-euo|pipefail|-c|x", 4}, {"bash|-o|pipefail|-c|x", 4}, {"bash|--norc|--rcfile|f|-c|--|x", 6},
		{"busybox|sh|-c|x", 3}, {"timeout|10|dash|-c|x", 4}, {"/usr/bin/env|-S|zsh|+x|-c|x", 5},
		{"sh|x.sh|-c|x", -1}, {"sh|-e|x.sh", -1}, {"sh|-c", -1}, {"sh", -1}, {"grep|-c|x", -1}, {"cat|bash|-", -1},
		{"bash|+c|x", -1}, {"env|sh|x.sh|bash|-c|x", 5},
	}
	for _, tt := range tests {
		if got := plan.ShellText(strings.Split(tt.command, "|")); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.command, got, tt.want)
		}
	}
}
