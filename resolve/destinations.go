package resolve

import (
	"path"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// destinations is FS112 for files that would take the place of a directory of their image. It finds
// only what the declaration shows: an earlier step made the directory, and no command ran since.
// Little is known of what comes with a base. So paths that may lead through the base, or through a
// symbolic link, aren't looked at.
func (c *checker) destinations() {
	left := maxPlaced
	for i := range c.graph.Images {
		image := &c.graph.Images[i]
		if !c.scope.images[i] || image.Base.Kind == plan.BaseRef {
			continue
		}
		p := placement{checker: c, workdir: "/", left: &left}
		p.clear()
		for n := range image.Steps {
			p.step(&image.Steps[n])
		}
	}
}

// maxPlaced bounds the files that destinations looks at, over all images.
const maxPlaced = 1_000_000

// placement is what is known of an image's directories after some of its steps.
type placement struct {
	*checker
	workdir string
	dirs    map[string]bool
	links   map[string]bool
	left    *int // of maxPlaced
}

// clear forgets everything.
func (p *placement) clear() { p.dirs, p.links = map[string]bool{"/": true}, map[string]bool{} }

// ofBase are the directories at the root of Debian bases that have something in them.
var ofBase = map[string]bool{
	"bin": true, "dev": true, "etc": true, "lib": true, "lib32": true, "lib64": true, "libx32": true,
	"proc": true, "run": true, "sbin": true, "sys": true, "usr": true, "var": true,
}

// known reports whether all directories on a path come from earlier steps.
func (p *placement) known(name string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	if ofBase[first] {
		return false
	}
	for dir := name; dir != "/"; dir = path.Dir(dir) {
		if p.links[dir] {
			return false
		}
	}
	return true
}

// absolute returns where a step's destination is in the image.
func (p *placement) absolute(dst string) string {
	if path.IsAbs(dst) {
		return path.Clean(dst)
	}
	return path.Join(p.workdir, dst)
}

func (p *placement) step(s *plan.Step) {
	switch s.Kind {
	case plan.StepCommands, plan.StepApt:
		p.clear()
	case plan.StepWorkdir:
		p.workdir = p.absolute(s.Name)
	case plan.StepFile:
		p.file(s)
	case plan.StepFolder:
		p.folder(s)
	}
}

func (p *placement) file(s *plan.Step) {
	dst := p.absolute(s.Dst)
	if strings.HasSuffix(s.Dst, "/") {
		dst = path.Join(dst, path.Base(s.Src))
	}
	if p.known(dst) && p.dirs[dst] {
		p.findings.report(unusableFile.Finding(s.Pos, "%s is a directory of the image", dst).
			WithHint("to put %s into it, end the destination with \"/\"", s.Src))
		return
	}
	p.make(path.Dir(dst))
}

func (p *placement) folder(s *plan.Step) {
	members, err := p.reader.Folder(s.Src, s.Ignore)
	if *p.left -= len(members); err != nil || *p.left < 0 { // an error is imageFiles' finding
		return
	}
	root := p.absolute(s.Dst)
	p.make(root)
	for _, m := range members {
		dst := path.Join(root, m.Path)
		switch {
		case m.Dir:
			p.make(dst)
		case p.known(dst) && p.dirs[dst]:
			p.findings.report(replaces(s, path.Join(s.Src, m.Path), dst))
			return
		case m.Link != "":
			p.links[dst] = true
		}
	}
}

func replaces(s *plan.Step, src, dst string) *diag.Error {
	return unusableFile.Finding(s.Pos, "%s would replace %s, a directory of the image", src, dst)
}

// make notes a directory, and those above it.
func (p *placement) make(dir string) {
	for ; !p.dirs[dir]; dir = path.Dir(dir) {
		p.dirs[dir] = true
	}
}
