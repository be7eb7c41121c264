package workspace

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/flytestar/flytestar/internal/python"
	"github.com/flytestar/flytestar/internal/text"
)

// Requirements is what a requirements file asks for, with those that it includes.
type Requirements struct {
	Packages    []string // requirements that have a name: a bare URL has none
	Constraints []string // those of the files of -c: they narrow the versions of what is installed
	Files       []string // all files that were read, those of -r and -c too, in that order
	Size        int      // of all files, in bytes
}

// What reading requirements takes at most.
const (
	maxRequirements      = 1 << 20  // bytes of one file
	maxRequirementsTotal = 16 << 20 // bytes of all together
	maxRequirementsFiles = 1000
)

// ReadRequirements reads a requirements file of the workspace as pip does: comments, continued
// lines, -r and -c. An included file outside the workspace is an error. So is a line that pip would
// refuse whatever the index has: an option that pip doesn't have, a local path (no such file is
// where pip runs), or hashes for some requirements and not for others.
func ReadRequirements(files fs.FS, name string) (*Requirements, error) {
	return NewReader(files).Requirements(name)
}

// Requirements is the function [ReadRequirements].
func (r *Reader) Requirements(name string) (*Requirements, error) {
	return remember(r.requirements, path.Clean(name), func() (*Requirements, error) { return readRequirements(r.files, name) })
}

func readRequirements(files fs.FS, name string) (*Requirements, error) {
	r := &requirementsReader{files: files, seen: map[string]bool{}}
	r.include(include{path: path.Clean(name)})
	for len(r.queue) > 0 {
		next := r.queue[0]
		r.queue = r.queue[1:]
		if err := r.read(next); err != nil {
			return nil, fmt.Errorf("%s%s: %w", next.path, next.from, err)
		}
	}
	if err := r.hashes.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path.Clean(name), err)
	}
	return &r.out, nil
}

// include is a file that is still to be read.
type include struct {
	path       string
	constraint bool   // reached through -c
	from       string // for messages: ", included by main.txt"
}

type requirementsReader struct {
	files  fs.FS
	out    Requirements
	hashes hashes
	seen   map[string]bool
	queue  []include
}

// include queues a file. One that was read for its constraints is read again for its requirements.
func (r *requirementsReader) include(i include) {
	key := fmt.Sprint(i.constraint, i.path)
	if !r.seen[key] {
		r.seen[key] = true
		r.queue = append(r.queue, i)
	}
}

func (r *requirementsReader) read(i include) error {
	if len(r.out.Files) == maxRequirementsFiles {
		return fmt.Errorf("more than %d files are included", maxRequirementsFiles)
	}
	data, err := ReadFile(r.files, i.path, maxRequirements)
	if err != nil {
		return err
	}
	if !utf8.Valid(data) {
		return fmt.Errorf("not valid UTF-8")
	}
	if err := plain(string(data)); err != nil {
		return err
	}
	if r.out.Size += len(data); r.out.Size > maxRequirementsTotal {
		return fmt.Errorf("more than %d bytes with what is included", maxRequirementsTotal)
	}
	r.out.Files = append(r.out.Files, i.path)
	for _, line := range logicalLines(string(data)) {
		if err := r.line(i, line); err != nil {
			return err
		}
	}
	return nil
}

// plain returns an error if a file that is read by lines has a character that hides what a line is.
// pip, for one, ends lines at more characters than editors do.
func plain(data string) error {
	h, ok := text.FindHidden(data)
	if !ok {
		return nil
	}
	return fmt.Errorf("line %d has %s", 1+strings.Count(data[:h.At], "\n"), h.What)
}

func (r *requirementsReader) line(in include, line string) error {
	if opt, arg, ok := includeOption(line); ok {
		if strings.Contains(arg, "://") {
			return fmt.Errorf("%q: only files of the workspace can be included", arg)
		}
		p := path.Join(path.Dir(in.path), arg)
		if path.IsAbs(arg) || !fs.ValidPath(p) {
			return fmt.Errorf("%q leads out of the workspace", arg)
		}
		r.include(include{p, in.constraint || opt == 'c', ", included by " + in.path})
		return nil
	}
	if line == "" {
		return nil
	}
	if line[0] == '-' {
		return r.option(line)
	}
	return r.requirement(in, line)
}

// requirement takes a line that asks for a package.
func (r *requirementsReader) requirement(in include, line string) error {
	line, options, _ := strings.Cut(line, " --")
	hashed := strings.Contains(" "+options, " hash") || strings.Contains(options, "--hash")
	req, err := python.ParseRequirement(line)
	switch {
	case errors.Is(err, python.ErrNameless):
		if err := local(line); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := local(req.URL); err != nil {
			return err
		}
	}
	r.hashes.add(line, &req, hashed, in.constraint)
	switch {
	case err != nil: // it has no name
	case in.constraint:
		r.out.Constraints = append(r.out.Constraints, req.Text)
	default:
		r.out.Packages = append(r.out.Packages, req.Text)
	}
	return nil
}

// option takes a line that begins with an option other than those that include files.
func (r *requirementsReader) option(line string) error {
	name, arg, _ := strings.Cut(line, " ")
	if long, value, ok := strings.Cut(name, "="); ok {
		name, arg = long, value
	}
	if !strings.HasPrefix(name, "--") && len(name) > 2 { // -ihttps://… without a space
		name, arg = name[:2], name[2:]
	}
	switch name {
	case "-e", "--editable":
		return local(strings.TrimSpace(arg))
	case "--require-hashes":
		r.hashes.demanded = true
	}
	if !pipTakes(name) {
		return fmt.Errorf("pip has no option %s for requirements files", name)
	}
	return nil
}

// pipOptions are the options that pip takes in a requirements file, besides -r, -c and -e.
var pipOptions = []string{
	"--index-url", "--extra-index-url", "--no-index", "--find-links", "--no-binary", "--only-binary", "--prefer-binary",
	"--require-hashes", "--pre", "--trusted-host", "--use-feature", "--editable", "--requirement", "--constraint",
}

// pipTakes reports whether pip takes an option in a requirements file. It takes the beginning of a
// long option's name for the whole.
func pipTakes(name string) bool {
	if !strings.HasPrefix(name, "--") {
		return slices.Contains([]string{"-i", "-f", "-r", "-c", "-e"}, name)
	}
	return slices.ContainsFunc(pipOptions, func(o string) bool { return len(name) > 2 && strings.HasPrefix(o, name) })
}

// local returns an error if what pip is to install lies in the workspace: pip runs in a container
// that has nothing of it but the requirements files. An absolute path may be one of the image.
func local(where string) error {
	if where == "" || path.IsAbs(where) || strings.Contains(where, ":/") {
		return nil
	}
	return fmt.Errorf("%q is a path in the workspace, of which pip gets only requirements files", where)
}

// hashes knows which requirements say what their files' hashes are. If one does, all must, or pip
// refuses them.
type hashes struct {
	demanded bool
	without  []string        // those that don't, by name if they have one
	unpinned string          // the first that could be another version than the one with the hash
	limited  map[string]bool // names in constraints, whose hashes count too
}

func (h *hashes) add(line string, req *python.Requirement, hashed, constraint bool) {
	h.demanded = h.demanded || hashed
	versions := req.Specifiers()
	switch {
	case constraint:
		if h.limited == nil {
			h.limited = map[string]bool{}
		}
		h.limited[req.Name] = true
	case !hashed:
		h.without = append(h.without, cmp.Or(req.Name, line))
	case req.Name != "" && req.URL == "" && !versions.Pinned() && h.unpinned == "":
		h.unpinned = line
	}
}

func (h *hashes) check() error {
	if !h.demanded {
		return nil
	}
	for _, name := range h.without {
		if !h.limited[name] {
			return fmt.Errorf("%s has no --hash, though others have: pip wants all or none", name)
		}
	}
	if h.unpinned != "" {
		return fmt.Errorf("%q has a --hash, but no exact version: pip wants ==", strings.TrimSpace(h.unpinned))
	}
	return nil
}

// includeOption splits "-r file", "-rfile", "--requirement file", "--requirement=file", and the
// same with -c.
func includeOption(line string) (opt byte, arg string, ok bool) {
	for _, long := range []string{"--requirement", "--constraint"} {
		if rest, ok := strings.CutPrefix(line, long); ok && rest != "" && strings.ContainsAny(rest[:1], " \t=") {
			return long[2], strings.TrimSpace(rest[1:]), true
		}
	}
	if strings.HasPrefix(line, "-r") || strings.HasPrefix(line, "-c") {
		arg = strings.TrimSpace(strings.TrimPrefix(line[2:], "="))
		return line[1], arg, arg != ""
	}
	return 0, "", false
}

// logicalLines joins continued lines and drops comments and the white space around.
func logicalLines(data string) []string {
	data = strings.TrimPrefix(data, text.Mark)
	data = strings.ReplaceAll(data, "\r\n", "\n")
	data = strings.ReplaceAll(data, "\\\n", "")
	lines := strings.Split(data, "\n")
	for i, l := range lines {
		if at := comment().FindStringIndex(l); at != nil {
			l = l[:at[0]]
		}
		lines[i] = strings.TrimSpace(l)
	}
	return lines
}

var comment = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(^|\s)#`) })
