package values

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

func kind(k plan.Kind) plan.Type                { return plan.Type{Kind: k} }
func of(k plan.Kind, elem plan.Type) plan.Type  { return plan.Type{Kind: k, Elem: &elem} }
func param(name string, t plan.Type) plan.Param { return plan.Param{Name: name, Type: t} }
func record(name string, field plan.Type) plan.Type {
	return plan.Type{Kind: plan.KindRecord, Fields: []plan.Field{{Name: name, Type: field}}}
}

// argumentsGraph has one task with an input of every type.
func argumentsGraph() *plan.Graph {
	return &plan.Graph{
		Environments: []plan.Environment{{Name: "env", Image: plan.NoImage}},
		Tasks: []plan.Task{{Name: "t", Inputs: []plan.Param{
			param("sequence", kind(plan.KindStr)),
			param("n", kind(plan.KindInt)),
			param("rate", kind(plan.KindFloat)),
			param("dry_run", kind(plan.KindBool)),
			param("reads", kind(plan.KindFile)),
			param("maybe", of(plan.KindOptional, kind(plan.KindInt))),
			param("label", of(plan.KindOptional, kind(plan.KindStr))),
			param("all_reads", of(plan.KindList, kind(plan.KindFile))),
			param("opts", of(plan.KindDict, kind(plan.KindInt))),
			param("sample", record("reads", kind(plan.KindFile))),
			param("extra", kind(plan.KindAny)),
		}}},
	}
}

func TestArguments(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	opts := write("opts.json", `{"a": 1}`)
	all := write("all.json", `{"n": 3, "sequence": "@x", "reads": "a.fq"}`)
	own := pflag.NewFlagSet("run", pflag.ContinueOnError)
	own.Int("jobs", 0, "")

	type values = map[string]plan.Value
	for _, test := range []struct {
		args []string
		want values
		err  string // message, or message and hint
	}{
		{args: nil, want: values{}},
		{args: []string{"--sequence", "AAGG", "--n=-3"}, want: values{"sequence": "AAGG", "n": int64(-3)}},
		{args: []string{"--sequence", "--n"}, want: values{"sequence": "--n"}},
		{args: []string{"--sequence="}, want: values{"sequence": ""}},
		{args: []string{"--sequence", "@not-read"}, want: values{"sequence": "@not-read"}},
		{args: []string{"--dry-run"}, want: values{"dry_run": true}},
		{args: []string{"--no-dry_run"}, want: values{"dry_run": false}},
		{args: []string{"--dry_run=false"}, want: values{"dry_run": false}},
		{args: []string{"--rate", "2"}, want: values{"rate": 2.0}},
		{args: []string{"--reads", "./x.fq"}, want: values{"reads": flytestar.Path("./x.fq")}},
		{args: []string{"--maybe", "null", "--label", "null"}, want: values{"maybe": nil, "label": "null"}},
		{args: []string{"--all_reads", `["a", "b"]`}, want: values{"all_reads": []plan.Value{flytestar.Path("a"), flytestar.Path("b")}}},
		{args: []string{"--opts", `{"a": 1}`}, want: values{"opts": values{"a": int64(1)}}},
		{args: []string{"--opts", "@" + opts}, want: values{"opts": values{"a": int64(1)}}},
		{args: []string{"--sample", `{"reads": "a"}`}, want: values{"sample": plan.Struct{"reads": flytestar.Path("a")}}},
		{args: []string{"--extra", `[1, 1.5, "x", null, {"k": true}]`},
			want: values{"extra": []plan.Value{int64(1), 1.5, "x", nil, values{"k": true}}}},
		{args: []string{"@" + all}, want: values{"n": int64(3), "sequence": "@x", "reads": flytestar.Path("a.fq")}},

		{args: []string{"--sequense", "x"}, err: `task "env.t" has no input "sequense" (did you mean --sequence?)`},
		{args: []string{"--jobs", "2"}, err: `task "env.t" has no input "jobs" (--jobs is a flag of flytestar: those come before FILE)`},
		{args: []string{"AAGG"}, err: `unexpected argument "AAGG" (inputs are given by name, as --sequence VALUE)`},
		{args: []string{"--sequence"}, err: `--sequence lacks its value, a str`},
		{args: []string{"--n", "x"}, err: `--n: want an int of 64 bits, got "x"`},
		{args: []string{"--n", "9223372036854775808"}, err: `--n: want an int of 64 bits, got "9223372036854775808"`},
		{args: []string{"--rate", "inf"}, err: `--rate: want a finite float in decimal, got "inf"`},
		{args: []string{"--rate", "1_0"}, err: `--rate: want a finite float in decimal, got "1_0"`},
		{args: []string{"--rate", "0x1p-2"}, err: `--rate: want a finite float in decimal, got "0x1p-2"`},
		{args: []string{"--rate", "9007199254740993"}, err: `--rate: a float can't hold the int 9007199254740993 exactly`},
		{args: []string{"--n", "1_0"}, err: `--n: want an int of 64 bits, got "1_0"`},
		{args: []string{"--dry-run", "true"}, err: `unexpected argument "true" (write --dry-run or --dry-run=true)`},
		{args: []string{"--dry_run", "false"}, err: `unexpected argument "false" (write --no-dry_run or --dry_run=false)`},
		{args: []string{"--dry_run", "yes"}, err: `unexpected argument "yes" (--dry_run takes no value: write --dry_run or --no-dry_run)`},
		{args: []string{"--dry_run", "--n=1", "x"}, err: `unexpected argument "x" (inputs are given by name, as --sequence VALUE)`},
		{args: []string{"--extra", `"\ud800"`}, err: `--extra: want any as JSON, or @FILE with it: \ud800 is half of a surrogate pair, and no character`},
		{args: []string{"--extra", "@" + write("latin1.json", "\"\xe9\"")}, err: `--extra: want any as JSON, or @FILE with it: it isn't valid UTF-8`},
		{args: []string{"--dry_run=yes"}, err: `--dry_run: want true or false, got "yes"`},
		{args: []string{"--no-dry-run=true"}, err: `--no-dry-run takes no value`},
		{args: []string{"--no-n"}, err: `task "env.t" has no input "no-n"`},
		{args: []string{"--n=1", "--n=2"}, err: `input "n" is given twice`},
		{args: []string{"--opts", `{"a": 1, "a": 2}`}, err: `--opts: want dict[str, int] as JSON, or @FILE with it: key "a" is given twice`},
		{args: []string{"--opts", `{} {}`}, err: `--opts: want dict[str, int] as JSON, or @FILE with it: there is more text after the JSON value`},
		{args: []string{"--opts", ``}, err: `--opts: want dict[str, int] as JSON, or @FILE with it: there is no JSON value`},
		{args: []string{"@" + write("list.json", "[]")}, err: `@` + dir + `/list.json: want a JSON object with inputs by name, got an array`},
	} {
		got, err := Parse(argumentsGraph(), 0, test.args, own)
		if test.err != "" {
			checkUsage(t, test.args, err, test.err)
		} else if err != nil {
			t.Errorf("%q: %v", test.args, err)
		} else if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%q: (-want +got)\n%s", test.args, d)
		}
	}
	if _, err := Parse(argumentsGraph(), 0, []string{"--n=1", "--help"}, own); err != ErrHelp {
		t.Errorf("--help: got %v", err)
	}
}

// checkUsage checks that err has class Usage and the message want, or "message (hint)".
func checkUsage(t *testing.T, args []string, err error, want string) {
	t.Helper()
	var e *diag.Error
	if !errors.As(err, &e) || e.Class != diag.Usage {
		t.Errorf("%q: got %v, want an error of class usage", args, err)
		return
	}
	if e.Msg != want && e.Msg+" ("+e.Hint+")" != want {
		t.Errorf("%q: got %s (%s)\nwant %s", args, e.Msg, e.Hint, want)
	}
}

// FuzzDecodeJSON: every text on the command line is an error, or a value that can be printed as JSON.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{`{"a": [1, 2.5, null]}`, `[`, `{"a":1,"a":2}`, `"\ud800"`, `[[[[`, `1e999`, `}`} {
		f.Add(s)
	}
	types := argumentsGraph().Tasks[0].Inputs
	f.Fuzz(func(t *testing.T, s string) {
		for _, p := range types {
			v, err := fromText(s, p.Type)
			if err != nil {
				continue
			}
			var b bytes.Buffer
			r := Printer{Format: "json", Path: func(plan.Value) (string, error) { return "", nil }}
			if err := r.Print(&b, v); err != nil || !json.Valid(b.Bytes()) {
				t.Errorf("%s from %q is printed as %q, %v", p.Name, s, b.String(), err)
			}
		}
	})
}
