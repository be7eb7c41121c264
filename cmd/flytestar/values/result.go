package values

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/flytestar/flytestar/internal/durable"
	"github.com/flytestar/flytestar/plan"
)

// Printer prints a run's value on standard output (spec.md, "Results").
type Printer struct {
	Format string                           // "text" or "json"
	Path   func(plan.Value) (string, error) // where a File or Dir is on this machine
	Out    string                           // copy Files and Dirs there; empty: leave them in the store
}

// artifact is a File or Dir in the JSON of run.
type artifact struct {
	Name   string      `json:"name"`
	Digest plan.Digest `json:"digest"`
	Size   int64       `json:"size"`
	Path   string      `json:"path"`
}

// Print writes v and a newline. In text, a str or a path is raw and None is nothing. Everything
// else is one line of JSON.
func (r *Printer) Print(w io.Writer, v plan.Value) error {
	shown, err := r.show(v, nil)
	if err != nil {
		return err
	}
	if r.Format == "text" {
		if shown == nil {
			return nil
		}
		if s, ok := shown.(string); ok {
			_, err := io.WriteString(w, s+"\n")
			return err
		}
	}
	return writeLine(w, shown)
}

// show returns v in a form that encoding/json writes well. place is the path to v within the
// result.
func (r *Printer) show(v plan.Value, place []string) (any, error) {
	switch v := v.(type) {
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return json.Number(s), nil
	case plan.File:
		return r.showArtifact("file", artifact{v.Name, v.Digest, v.Size, ""}, v, place)
	case plan.Dir:
		return r.showArtifact("dir", artifact{v.Name, v.Digest, v.Size, ""}, v, place)
	case []plan.Value:
		list := make([]any, len(v))
		for i, x := range v {
			var err error
			if list[i], err = r.show(x, append(place, strconv.Itoa(i))); err != nil {
				return nil, err
			}
		}
		return list, nil
	case plan.Struct:
		return r.showDict(v, place)
	case map[string]plan.Value:
		return r.showDict(v, place)
	}
	return v, nil // nil, bool, int64, string
}

func (r *Printer) showDict(m map[string]plan.Value, place []string) (any, error) {
	object := make(map[string]any, len(m))
	for _, k := range sortedKeys(m) {
		var err error
		if object[k], err = r.show(m[k], append(place, k)); err != nil {
			return nil, err
		}
	}
	return object, nil
}

func (r *Printer) showArtifact(kind string, a artifact, v plan.Value, place []string) (any, error) {
	var err error
	if a.Path, err = r.Path(v); err != nil {
		return nil, err
	}
	if r.Out != "" {
		target := outPath(r.Out, place, a.Name)
		if err := copyTree(a.Path, target); err != nil {
			return nil, fmt.Errorf("copying a result to %s: %w", target, err)
		}
		a.Path = target
	}
	if r.Format == "text" {
		return a.Path, nil
	}
	return map[string]artifact{kind: a}, nil
}

// outPath returns where --out puts an artifact. There is a directory for each step of its place
// within the result, then its name.
func outPath(out string, place []string, name string) string {
	parts := []string{out}
	for _, p := range place {
		parts = append(parts, outName(p))
	}
	return filepath.Join(append(parts, name)...)
}

// maxOutName is the longest name that file systems take, in bytes.
const maxOutName = 255

// outName returns the name of the directory for a key, which can be anything: what a name can't have
// is escaped, and what is too long is cut and gets a digest, so that two keys don't meet.
func outName(key string) string {
	p := url.PathEscape(key)
	switch {
	case p == "." || p == ".." || p == "":
		return "%" + p
	case len(p) > maxOutName:
		return p[:maxOutName-17] + "%" + plan.DigestOf([]byte(key)).Hex()[:16]
	}
	return p
}

// copyTree copies a file, or the content of a directory, to target. It replaces existing files,
// each in one step. Other files stay.
func copyTree(source, target string) error {
	return filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		switch to := filepath.Join(target, rel); {
		case d.IsDir():
			return os.MkdirAll(to, 0o777)
		case d.Type() == fs.ModeSymlink:
			return copyLink(path, to)
		default:
			return copyFile(path, to)
		}
	})
}

// copyLink makes the same link at target, in one step.
func copyLink(source, target string) error {
	to, err := os.Readlink(source)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(target), ".link-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	link := filepath.Join(dir, "link")
	return errors.Join(os.Symlink(to, link), os.Rename(link, target))
}

func copyFile(source, target string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o777); err != nil {
		return err
	}
	out, err := durable.Create(filepath.Dir(target))
	if err != nil {
		return err
	}
	sparse := durable.NewSparse(out.File)
	if _, err = io.Copy(sparse, in); err == nil {
		err = sparse.Finish()
	}
	if err == nil {
		err = out.Replace(target, 0o644|info.Mode()&0o111)
	}
	return errors.Join(err, out.Close())
}

// writeLine writes v as one line of JSON, with a space after each comma and colon.
func writeLine(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(Spaced(b.Bytes()))
	return err
}

// Spaced puts a space after each comma and colon of compact JSON, except within strings.
func Spaced(compact []byte) []byte {
	out := make([]byte, 0, len(compact)+len(compact)/8)
	inString, escaped := false, false
	for _, c := range compact {
		out = append(out, c)
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case !inString && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}

// WriteJSON writes v as indented JSON. All verbs except run use this form for -o json.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
