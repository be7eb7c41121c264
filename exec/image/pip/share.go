package pip

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// losses are the files that wheels of the last call lost to others of the same call, which have them with
// another content: by name of the wheel and path. The value names the winner.
type losses map[string]map[string]string

// conflicts finds the files that several wheels of the image have with different content. As with
// pip, the wheel that comes last has its way: later calls, and within a call the order of names.
// Files of earlier calls are hidden by the layers of later ones. A file where another wheel needs a
// directory is an error, and so is a file of the virtual environment itself.
func (inst *Installer) conflicts(s plan.Step) (losses, error) {
	o := &owners{files: map[string]owner{}, dirs: map[string]string{}, lost: losses{}}
	for _, name := range []string{"pyvenv.cfg", "lib64", "bin/python", "bin/python3"} {
		o.files[venvDir+"/"+name] = owner{wheel: venvItself}
	}
	for n, c := range inst.calls {
		o.lost = losses{} // those of earlier calls are in their layers
		for _, w := range c.wheels {
			for _, f := range w.Files {
				if a, name := o.add(n, w.Name, f); a != "" {
					return nil, diag.Errorf(s.Pos, diag.Build, "the wheels %s and %s both have /%s, and can't share it", a, w.Name, name).
						WithHint("leave one of the two packages out, or choose versions that agree")
				}
			}
		}
	}
	return o.lost, nil
}

// venvItself is the owner of the files that make a virtual environment.
const venvItself = "the virtual environment"

// owner is the last wheel that has a file.
type owner struct {
	wheel string
	call  int
	file  laidFile
}

// owners knows who has which file.
type owners struct {
	files map[string]owner
	dirs  map[string]string // by path: a wheel that needs it
	lost  losses
}

// add adds a file of a wheel. If it can't be where it is, add returns the wheel in whose way it is,
// and the path.
func (o *owners) add(call int, wheel string, f laidFile) (other, name string) {
	had, ok := o.files[f.Path]
	if ok && had.wheel == venvItself {
		return had.wheel, f.Path
	}
	if other, ok := o.dirs[f.Path]; ok {
		return other, f.Path
	}
	if ok && had.call == call && had.wheel != wheel && (had.file.SHA256 != f.SHA256 || had.file.Mode != f.Mode) {
		if o.lost[had.wheel] == nil {
			o.lost[had.wheel] = map[string]string{}
		}
		o.lost[had.wheel][f.Path] = wheel
	}
	o.files[f.Path] = owner{wheel, call, f}
	for dir := path.Dir(f.Path); dir != venvDir && o.dirs[dir] == ""; dir = path.Dir(dir) {
		if had, ok := o.files[dir]; ok {
			return had.wheel, dir
		}
		o.dirs[dir] = wheel
	}
	return "", ""
}

// say tells which wheels lost files to which.
func (inst *Installer) say(lost losses) {
	for _, loser := range slices.Sorted(maps.Keys(lost)) {
		winners := map[string]int{}
		for _, winner := range lost[loser] {
			winners[winner]++
		}
		for _, winner := range slices.Sorted(maps.Keys(winners)) {
			inst.Build.Step(fmt.Sprintf("%s and %s share %d files with different content: those of %s count", loser, winner, winners[winner], winner))
		}
	}
}
