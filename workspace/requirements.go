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
	r := &requirementsReader{files: files, seen: map[string]bool{}, includes: map[string][]string{}, acyclic: map[string]bool{}}
	r.include("", include{path: path.Clean(name)})
	for len(r.queue) > 0 {
		next := r.queue[0]
		r.queue = r.queue[1:]
		if err := r.read(next); err != nil {
			return nil, fmt.Errorf("%s%s: %w", next.path, next.from, err)
		}
	}
	if cycle := r.cycle(path.Clean(name), nil); cycle != nil {
		return nil, fmt.Errorf("%s: it includes itself: %s", cycle[0], strings.Join(cycle, " includes "))
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
	files    fs.FS
	out      Requirements
	hashes   hashes
	seen     map[string]bool
	queue    []include
	includes map[string][]string // by file
	acyclic  map[string]bool     // files from which cycle found none
}

// cycle returns the first cycle of files that include each other: "a", "b", "a". above has the files
// that led to name. There are at most maxRequirementsFiles of them.
func (r *requirementsReader) cycle(name string, above []string) []string {
	if at := slices.Index(above, name); at >= 0 {
		return append(slices.Clone(above[at:]), name)
	}
	if r.acyclic[name] {
		return nil
	}
	for _, next := range r.includes[name] {
		if found := r.cycle(next, append(above, name)); found != nil {
			return found
		}
	}
	r.acyclic[name] = true
	return nil
}

// include queues a file that another includes. One that was read for its constraints is read again
// for its requirements.
func (r *requirementsReader) include(from string, i include) {
	if from != "" && !slices.Contains(r.includes[from], i.path) {
		r.includes[from] = append(r.includes[from], i.path)
	}
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
		r.include(in.path, include{p, in.constraint || opt == 'c', ", included by " + in.path})
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

// option takes a line of options other than a line that includes a file.
func (r *requirementsReader) option(line string) error {
	words := strings.Fields(line)
	for len(words) > 0 {
		name, arg, attached := cutOption(words[0])
		words = words[1:]
		if !strings.HasPrefix(name, "-") {
			continue // what follows the argument of -e
		}
		name, err := wholeOption(name)
		if err != nil {
			return err
		}
		if !attached && !slices.Contains(pipFlags, name) && len(words) > 0 {
			arg, words = words[0], words[1:]
		}
		if err := r.setting(name, strings.Trim(arg, `"'`)); err != nil {
			return err
		}
	}
	return nil
}

// cutOption splits an option from the argument that is attached to it: --option=x, -ox.
func cutOption(word string) (name, arg string, attached bool) {
	if strings.HasPrefix(word, "--") {
		return strings.Cut(word, "=")
	}
	if strings.HasPrefix(word, "-") && len(word) > 2 {
		return word[:2], word[2:], true
	}
	return word, "", false
}

// setting takes an option with its argument.
func (r *requirementsReader) setting(name, arg string) error {
	switch name {
	case "-e", "--editable":
		return local(arg)
	case "-f", "--find-links", "-i", "--index-url", "--extra-index-url":
		if err := local(arg); err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
	case "-r", "-c", "--requirement", "--constraint":
		return fmt.Errorf("%s %s stands beside other options: give it a line of its own", name, arg)
	case "--require-hashes":
		r.hashes.demanded = true
	}
	return nil
}

// pipOptions are the options that pip takes in a requirements file, besides -r, -c and -e.
var pipOptions = []string{
	"--index-url", "--extra-index-url", "--no-index", "--find-links", "--no-binary", "--only-binary", "--prefer-binary",
	"--require-hashes", "--pre", "--trusted-host", "--use-feature", "--editable", "--requirement", "--constraint",
}

// pipFlags are those of pipOptions that take no argument.
var pipFlags = []string{"--no-index", "--prefer-binary", "--require-hashes", "--pre"}

// wholeOption returns the option that name stands for: pip takes the beginning of a long option's
// name for the whole, if only one begins so.
func wholeOption(name string) (string, error) {
	var all []string
	for _, o := range append([]string{"-i", "-f", "-r", "-c", "-e"}, pipOptions...) {
		if o == name {
			return name, nil
		}
		if strings.HasPrefix(name, "--") && len(name) > 2 && strings.HasPrefix(o, name) {
			all = append(all, o)
		}
	}
	switch len(all) {
	case 0:
		return "", fmt.Errorf("pip has no option %s for requirements files", name)
	case 1:
		return all[0], nil
	}
	return "", fmt.Errorf("pip's option %s could be %s", name, strings.Join(all, " or "))
}

// local returns an error if what pip is to install lies in the workspace: pip runs in a container
// that has nothing of it but the requirements files.
func local(where string) error {
	if !IsLocal(where) {
		return nil
	}
	return fmt.Errorf("%q is a path in the workspace, of which pip gets only requirements files", where)
}

// IsLocal reports whether a place where pip is to look or to install from is a path of the workspace:
// it is no URL. An absolute path may be one of the image.
func IsLocal(where string) bool {
	return where != "" && !path.IsAbs(where) && !strings.Contains(where, ":/")
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
	if at := strings.IndexAny(line, " \t="); at > 0 && strings.HasPrefix(line, "--") {
		if name, err := wholeOption(line[:at]); err == nil && (name == "--requirement" || name == "--constraint") {
			return name[2], strings.TrimSpace(line[at+1:]), true
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
