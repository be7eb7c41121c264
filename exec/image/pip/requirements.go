package pip

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/plan"
	infiles "github.com/flytestar/flytestar/workspace"
)

// wanted is what pip is asked for: files of requirements, and the arguments that name them.
type wanted struct {
	files []exec.File
	args  []string
}

// key adds to k what is wanted.
func (w wanted) key(k *memo.Key) *memo.Key {
	k.List(w.args).Int(int64(len(w.files)))
	for _, f := range w.files {
		k.Str(f.Path).Str(string(f.Data))
	}
	return k
}

// requirements returns what a step asks pip for. A requirements file brings the files of the
// workspace that it includes, and no others.
func (inst *Installer) requirements(s plan.Step) (wanted, error) {
	if s.Kind == plan.StepRequirements {
		return inst.requirementsFile(s)
	}
	lines := slices.Sorted(slices.Values(s.Packages))
	for _, l := range lines {
		if strings.TrimSpace(l) == "" || strings.HasPrefix(strings.TrimSpace(l), "-") || strings.ContainsAny(l, "\n\r\x00") {
			return wanted{}, diag.Errorf(s.Pos, diag.Build, "%q isn't a requirement", l).WithHint("write a package as in \"numpy>=2\", with one string for each")
		}
	}
	name := runDir + "/requirements.txt"
	return wanted{[]exec.File{{Path: name, Mode: 0o600, Data: joined(lines)}}, []string{"-r", name}}, nil
}

func (inst *Installer) requirementsFile(s plan.Step) (wanted, error) {
	if inst.Workspace == nil {
		return wanted{}, fmt.Errorf("there is no workspace to take %s from", s.Src)
	}
	found, err := infiles.ReadRequirements(inst.Workspace, s.Src)
	if err != nil {
		return wanted{}, err
	}
	w := wanted{args: []string{"-r", path.Join(runDir, "requirements", s.Src)}}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(found.Files))) {
		data, err := fs.ReadFile(inst.Workspace, name)
		if err != nil {
			return wanted{}, err
		}
		w.files = append(w.files, exec.File{Path: path.Join(runDir, "requirements", name), Mode: 0o600, Data: data})
	}
	return w, nil
}

// joined returns lines as the content of a file.
func joined(lines []string) []byte { return []byte(strings.Join(lines, "\n") + "\n") }
