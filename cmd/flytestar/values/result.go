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
// within the result, then its name. Keys of dicts can be anything, so they are escaped.
func outPath(out string, place []string, name string) string {
	parts := []string{out}
	for _, p := range append(place[:len(place):len(place)], name) {
		p = url.PathEscape(p)
		if p == "." || p == ".." || p == "" {
			p = "%" + p
		}
		parts = append(parts, p)
	}
	return filepath.Join(parts...)
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
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(target, rel), 0o777)
		}
		return copyFile(path, filepath.Join(target, rel))
	})
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
	_, err = io.Copy(out, in)
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
