package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/flytestar/flytestar/internal/python"
)

// Requirements is what a requirements file asks for, with those that it includes.
type Requirements struct {
	Packages    []string // requirements that have a name: a bare path or URL has none
	Constraints []string // those of the files of -c: they narrow the versions of what is installed
	Files       []string // all that were read, those of -r and of -c, in the order in which they were
	Size        int      // of all files, in bytes
}

// What reading requirements takes at most.
const (
	maxRequirements      = 1 << 20  // bytes of one file
	maxRequirementsTotal = 16 << 20 // bytes of all together
	maxRequirementsFiles = 1000
)

// ReadRequirements reads a requirements file of the workspace as pip does:
// comments, continued lines, -r and -c; other options, hashes among them, are skipped. An included file outside the
// workspace is an error, and so is a line that pip would refuse.
func ReadRequirements(files fs.FS, name string) (*Requirements, error) {
	r := &requirementsReader{files: files, seen: map[string]bool{}}
	r.include(include{path: path.Clean(name)})
	for len(r.queue) > 0 {
		next := r.queue[0]
		r.queue = r.queue[1:]
		if err := r.read(next); err != nil {
			return nil, fmt.Errorf("%s%s: %w", next.path, next.from, err)
		}
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
	files fs.FS
	out   Requirements
	seen  map[string]bool
	queue []include
}

// include queues a file. One that was a constraint first is read again as requirements.
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
	data, err := readBounded(r.files, i.path, maxRequirements)
	if err != nil {
		return err
	}
	if !utf8.Valid(data) {
		return fmt.Errorf("not valid UTF-8")
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
	if line == "" || line[0] == '-' {
		return nil
	}
	line, _, _ = strings.Cut(line, " --") // options of one requirement, such as --hash
	switch req, err := python.ParseRequirement(line); {
	case errors.Is(err, python.ErrNameless):
	case err != nil:
		return err
	case in.constraint:
		r.out.Constraints = append(r.out.Constraints, req.Text)
	default:
		r.out.Packages = append(r.out.Packages, req.Text)
	}
	return nil
}

// includeOption splits "-r file", "-rfile", "--requirement file", "--requirement=file", and the same with -c.
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
func logicalLines(text string) []string {
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\\\n", "")
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if at := comment().FindStringIndex(l); at != nil {
			l = l[:at[0]]
		}
		lines[i] = strings.TrimSpace(l)
	}
	return lines
}

var comment = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(^|\s)#`) })

// readBounded reads a regular file of at most max bytes.
func readBounded(files fs.FS, name string, max int64) ([]byte, error) {
	// Looked at before it is opened: opening a pipe would wait for its writer.
	info, err := fs.Stat(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fs.ErrNotExist // the caller names it
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		return nil, fmt.Errorf("larger than %d bytes", max)
	}
	return data, err
}
