package flytestar

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec/artifact"
	"github.com/flytestar/flytestar/plan"
)

// reading is a graph with one task that takes files.
func reading() *plan.Graph {
	file := plan.Type{Kind: plan.KindFile}
	return &plan.Graph{
		Environments: []plan.Environment{{Name: "e", Image: plan.NoImage}},
		Tasks: []plan.Task{{Name: "t", Inputs: []plan.Param{
			{Name: "reads", Type: plan.Type{Kind: plan.KindList, Elem: &file}},
			{Name: "dir", Type: plan.Type{Kind: plan.KindOptional, Elem: &plan.Type{Kind: plan.KindDir}}, Default: []byte("null")},
			{Name: "n", Type: plan.Type{Kind: plan.KindFloat}, Default: []byte("3")},
		}}},
	}
}

func TestBind(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.fq")
	must(t, os.WriteFile(file, []byte("acgt"), 0o666))
	bad := t.TempDir()
	must(t, os.Symlink("/etc/passwd", filepath.Join(bad, "out")))
	must(t, os.Symlink("nothing", filepath.Join(bad, "dangling")))
	must(t, syscall.Mkfifo(filepath.Join(bad, "pipe"), 0o666))
	must(t, os.WriteFile(filepath.Join(bad, "latin1-\xe9"), nil, 0o666))
	must(t, os.WriteFile(filepath.Join(bad, "fine"), nil, 0o666))
	fifo := filepath.Join(filepath.Dir(dir), "fifo")
	must(t, syscall.Mkfifo(fifo, 0o666))
	for _, test := range []struct {
		inputs map[string]plan.Value
		err    string // of class usage
	}{
		{map[string]plan.Value{"reads": []plan.Value{Path(file)}}, ""},
		{map[string]plan.Value{"reads": []plan.Value{}, "dir": Path(dir), "n": int64(1)}, ""},
		{map[string]plan.Value{}, `input "reads" of task "e.t" is missing`},
		{map[string]plan.Value{"reeds": nil}, `task "e.t" has no input "reeds"`},
		{map[string]plan.Value{"reads": []plan.Value{"x"}}, `input "reads" of task "e.t": [0]: want File, got str`},
		{map[string]plan.Value{"reads": []plan.Value{Path(dir)}}, `input "reads" of task "e.t": [0]: want File, got Dir`},
		{map[string]plan.Value{"reads": []plan.Value{Path(fifo)}}, `input "reads" of task "e.t": [0]: ` + fifo + ` is neither a file nor a directory, but a named pipe`},
		{map[string]plan.Value{"reads": []plan.Value{Path("")}}, `input "reads" of task "e.t": [0]: the path is empty`},
		{map[string]plan.Value{"reads": []plan.Value{Path(filepath.Join(bad, "latin1-\xe9"))}}, `input "reads" of task "e.t": [0]: "latin1-\xe9" can't be the name of an input`},
		{map[string]plan.Value{"reads": []plan.Value{}, "dir": Path("/")}, `input "dir" of task "e.t": "/" can't be the name of an input`},
		{
			map[string]plan.Value{"reads": []plan.Value{}, "dir": Path(bad)}, `input "dir" of task "e.t": "` + bad + `/latin1-\xe9" can't be kept: its name isn't UTF-8, or its path is too long; ` +
				bad + `/pipe: it is a named pipe; ` + bad + `/dangling: a symbolic link to nothing, which isn't there; ` + bad + `/out: a symbolic link to /etc/passwd, which is absolute`,
		},
		{map[string]plan.Value{"reads": []plan.Value{Path("/nowhere")}}, `input "reads" of task "e.t": [0]: stat /nowhere: no such file or directory`},
	} {
		_, err := bind(reading(), 0, test.inputs)
		var l diag.List
		switch {
		case test.err == "" && err != nil:
			t.Errorf("%v: %v", test.inputs, err)
		case test.err != "" && (!errors.As(err, &l) || l[0].Class != diag.Usage || l[0].Msg != test.err):
			t.Errorf("%v: got %v, want %s", test.inputs, err, test.err)
		}
	}
}

// TestBindAll: everything that is wrong with inputs is reported at once.
func TestBindAll(t *testing.T) {
	_, err := bind(reading(), 0, map[string]plan.Value{"dir": Path("/nowhere"), "n": "x", "a": nil, "b": nil})
	var l diag.List
	if !errors.As(err, &l) || len(l) != 5 {
		t.Errorf("got %v", err)
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o777))
	must(t, os.WriteFile(filepath.Join(dir, "sub", "a.fq"), []byte("acgt"), 0o666))
	must(t, os.Symlink("sub/a.fq", filepath.Join(dir, "link.fq")))
	s, err := artifact.Open(t.TempDir())
	must(t, err)
	defer s.Close()
	g := reading()
	inputs := map[string]plan.Value{"reads": []plan.Value{Path(filepath.Join(dir, "link.fq"))}, "dir": Path(dir)}
	bound, err := bind(g, 0, inputs)
	must(t, err)
	values, err := store(context.Background(), s, g.Tasks[0].Inputs, bound)
	must(t, err)
	f := values["reads"].([]plan.Value)[0].(plan.File)
	if f.Name != "link.fq" || f.Size != 4 || values["n"] != 3.0 {
		t.Errorf("got %v", values)
	}
	r, err := s.Open(context.Background(), f)
	must(t, err)
	defer r.Close()
	if data, err := io.ReadAll(r); string(data) != "acgt" || err != nil {
		t.Errorf("read %q, %v", data, err)
	}
	tree, err := s.Path(context.Background(), values["dir"])
	must(t, err)
	for _, name := range []string{"link.fq", "sub/a.fq"} {
		if data, err := os.ReadFile(filepath.Join(tree, name)); string(data) != "acgt" || err != nil {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

// TestStoreEscape: a link out of a directory isn't followed.
func TestStoreEscape(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o666))
	dir := t.TempDir()
	must(t, os.Symlink(secret, filepath.Join(dir, "link")))
	s, err := artifact.Open(t.TempDir())
	must(t, err)
	defer s.Close()
	if v, err := put(context.Background(), s, Path(dir)); err == nil || !strings.Contains(err.Error(), "link") {
		t.Errorf("got %v, %v", v, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
