package evaluator

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/evaluator/lockdown/locktest"
	"github.com/flytestar/flytestar/interp"
)

// testTools are the tools of this package's tests.
var testTools = map[string]Tool{
	"double": func(in []byte) ([]byte, error) { return append(in, in...), nil },
	"probe":  func([]byte) ([]byte, error) { return []byte(locktest.Able(1)), nil },
	"fail":   func(in []byte) ([]byte, error) { return nil, diag.List{{Msg: string(in)}, {Msg: "too"}} },
	"hang":   func([]byte) ([]byte, error) { time.Sleep(time.Hour); return nil, nil },
	"sink":   func(in []byte) ([]byte, error) { return []byte(strings.Repeat("x", sink(0))), nil },
	"flood":  func([]byte) ([]byte, error) { return make([]byte, 100<<20), nil },
	"parse": func(in []byte) ([]byte, error) {
		_, err := interp.Parse("main.star", in, interp.Limits{})
		return nil, err
	},
}

// sink recurses for longer than any stack lasts.
func sink(n int) int {
	if n < 0 {
		return 0
	}
	return sink(n+1) + 1
}

func TestTool(t *testing.T) {
	run := func(name, in string) (string, error) {
		wall := time.Minute
		if name == "hang" {
			wall = 100 * time.Millisecond
		}
		out, err := RunTool(t.Context(), name, []byte(in), Options{Limits: interp.Limits{Wall: wall, Memory: 1 << 30}})
		return string(out), err
	}
	if out, err := run("double", "ab"); out != "abab" || err != nil {
		t.Errorf("got %q, %v", out, err)
	}
	if out, err := run("fail", "this"); len(findings(err)) != 2 || findings(err)[0].Msg != "this" {
		t.Errorf("got %q, %v", out, err)
	}
	if able, err := run("probe", ""); err != nil || able != "" {
		if l := startFile(t, "", interp.Limits{}).Lockdown(); l.Level != lockdown.Full {
			t.Skipf("this machine's kernel can't: %v", l)
		}
		t.Errorf("a tool can: %s, %v", able, err)
	}
	for name, want := range map[string]string{
		"hang":  "hang took longer than 100ms",
		"sink":  "evaluation needs more than 64 MiB of stack",
		"flood": "the output of flood: message is too big",
		"none":  "the evaluator died (exit status 1): there is no tool",
	} {
		if _, err := run(name, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	if _, err := run("double", strings.Repeat("x", 64<<20)); err == nil || !strings.Contains(err.Error(), "the input of double: message is too big") {
		t.Errorf("got %v", err)
	}
	_, err := run("parse", "x = "+strings.Repeat("1-", 100_000)+"1")
	if list := findings(err); len(list) != 1 || list[0].Class != diag.Limit || list[0].Pos.Line != 1 {
		t.Errorf("got %v", err)
	}
}

// TestToolCancelled: RunTool returns when it is cancelled, even if the tool hangs.
func TestToolCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := RunTool(ctx, "hang", bytes.Repeat([]byte("x"), 1000), Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
