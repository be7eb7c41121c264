package pip

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/exec/image/process"
	"github.com/flytestar/flytestar/plan"
)

// answering is a build whose containers say one thing, or end with a code.
type answering struct {
	Build
	text string
	code int
}

func (b answering) Run(_ context.Context, c *exec.Container) error {
	io.WriteString(c.Stdout, b.text)
	if b.code != 0 {
		return &process.Failed{Exit: exec.Exit{Code: b.code}}
	}
	return nil
}

// TestPythonOfImage: what the image's python3 says of itself is checked before anything else is done.
func TestPythonOfImage(t *testing.T) {
	const good = `"version": "3.11.2", "short": "3.11", "command": "/opt/venv/bin/python3", "executable": "/usr/bin/python3"`
	for name, tt := range map[string]struct {
		says string
		code int
		want string
	}{
		"good":             {`{` + good + `, "venv": "/opt/venv", "site": "/opt/venv/lib/python3.11/site-packages"}`, 0, ""},
		"none":             {"", notFound, "has no python3"},
		"broken":           {"", 1, "the image's python3 exited with 1"},
		"too old":          {`{"version": "3.6.8"}`, 0, `is "3.6.8", and pip packages need 3.7`},
		"no JSON":          {"hello", 0, `says "hello"`},
		"a path in a path": {`{"version": "3.1\n1", "short": "3.11", "command": "/a", "executable": "/b"}`, 0, "says that it is"},
		"site elsewhere":   {`{` + good + `, "venv": "/opt/venv", "site": "/opt/venv/lib64/python3.11/site-packages"}`, 0, "not in /opt/venv/lib/python3.11"},
	} {
		inst := newInstaller(t, nil)
		inst.Build = answering{text: tt.says, code: tt.code}
		py, err := inst.python(t.Context(), Image{Layers: make([]oci.Layer, 1)}, plan.Step{})
		switch {
		case tt.want == "" && (err != nil || !py.extends()):
			t.Errorf("%s: %+v, %v", name, py, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestListedAbove: what lies below a directory that goes isn't listed by itself.
func TestListedAbove(t *testing.T) {
	list := []string{"/v/a", "/v/a-b", "/v/a/c", "/v/b/c"}
	for name, want := range map[string]bool{"/v/a": false, "/v/a-b": false, "/v/a/c": true, "/v/b/c": false} {
		if got := listedAbove(list, name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
