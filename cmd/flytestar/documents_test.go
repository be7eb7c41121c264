package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages are the documents whose blocks are all run: each is a file, or commands with their output.
var pages = []string{"examples/README.md", "docs/from-flyte.md", "docs/from-python.md"}

// TestDocuments does what the documents say, and compares what they show with what is printed.
//
// A block below a line such as "`hello/words.star`:" is a file. A block of language console has
// commands, each after "$ ", and what they print on standard output; if a command fails, what it
// prints on standard error follows. Commands are those of flytestar, and python, which runs a file
// in a container. A "…" stands for any text in a line, and alone in a line for any lines. UPDATE=1
// writes what is printed into the documents.
func TestDocuments(t *testing.T) {
	if what := missing(); len(what) > 0 {
		t.Skipf("needs what flytestar doctor asks for: %v", what)
	}
	for _, name := range append([]string{"README.md"}, pages...) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("..", "..", name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			d := document{dir: t.TempDir(), strict: name != "README.md"}
			if err := os.CopyFS(filepath.Join(d.dir, "examples"), os.DirFS("../../examples")); err != nil {
				t.Fatal(err)
			}
			got := d.run(t, string(data))
			if got == string(data) || os.Getenv("UPDATE") == "" {
				return
			}
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A document is run in a directory that has the examples and the document's own files.
type document struct {
	dir    string
	strict bool // every block must be a file or commands
}

var (
	blocks   = regexp.MustCompile("(?ms)^(?:`([^`\n]+)`:\n\n)?```([a-z]*)\n(.*?)^```$")
	wildcard = regexp.MustCompile(`(?m)^…\n|…`)
)

// run does what each block says, and returns the document with what was printed.
func (d document) run(t *testing.T, page string) string {
	t.Helper()
	ran := 0
	page = blocks.ReplaceAllStringFunc(page, func(block string) string {
		m := blocks.FindStringSubmatch(block)
		switch file, language, content := m[1], m[2], m[3]; {
		case language == "console":
			ran++
			return strings.Replace(block, content, d.console(t, content), 1)
		case file != "":
			path := filepath.Join(d.dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		case d.strict:
			t.Errorf("this block is neither a file nor commands:\n%s", block)
		}
		return block
	})
	if ran == 0 {
		t.Error("the document has no commands")
	}
	return page
}

// console runs the commands of a block. Where a command prints what the block says, the block's
// words stay.
func (d document) console(t *testing.T, block string) string {
	t.Helper()
	var b strings.Builder
	for _, part := range strings.Split("\n"+block, "\n$ ")[1:] {
		command, want, _ := strings.Cut(part, "\n")
		got := d.command(t, command)
		if want = strings.TrimSuffix(want, "\n"); matches(want, strings.TrimSuffix(got, "\n")) {
			got = want
		} else if os.Getenv("UPDATE") == "" {
			t.Errorf("$ %s\nprints\n%s\nbut the document shows\n%s", command, got, want)
		}
		fmt.Fprintf(&b, "$ %s\n", command)
		if got = strings.TrimSuffix(got, "\n"); got != "" {
			fmt.Fprintln(&b, got)
		}
	}
	return b.String()
}

// matches reports whether text is what a block shows, in which "…" stands for anything.
func matches(shown, text string) bool {
	var b strings.Builder
	rest := shown
	for _, at := range wildcard.FindAllStringIndex(shown, -1) {
		cut := at[0] - (len(shown) - len(rest))
		b.WriteString(regexp.QuoteMeta(rest[:cut]))
		if shown[at[0]:at[1]] == "…" {
			b.WriteString(".*")
		} else {
			b.WriteString(`(?:.*\n)*`)
		}
		rest = shown[at[1]:]
	}
	return regexp.MustCompile("^" + b.String() + regexp.QuoteMeta(rest) + "$").MatchString(text)
}

// command runs one command through a shell and returns what it prints.
func (d document) command(t *testing.T, command string) string {
	t.Helper()
	verb, rest, _ := strings.Cut(command, " ")
	switch verb {
	case "python":
		if err := os.WriteFile(filepath.Join(d.dir, "python.star"), []byte(pythonRunner), 0o644); err != nil {
			t.Fatal(err)
		}
		command = "flytestar run python.star python --file " + rest
	case "flytestar", "cat", "sed":
	default:
		t.Fatalf("can't run %q: documents show flytestar and python", command)
	}
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "FLYTESTAR_HOME="+shared.home)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if verb == "python" {
			t.Errorf("%s: %v\n%s", command, err, stderr.String())
		}
		return stdout.String() + stderr.String()
	}
	return stdout.String()
}

// pythonRunner runs the documents' Python programs, those that import flyte among them.
const pythonRunner = `
env = task_environment(name = "python", image = image.from_debian_base().with_pip_packages("flyte==2.12.1"))
python = task(command = ["python3", "{{.inputs.file}}"], env = env, inputs = {"file": File}, output = str, stdout = "output")
`
