package flytestar_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// put makes files in dir. Each is "NAME=CONTENT", "NAME -> TARGET" for a symbolic link, "NAME|" for
// a pipe, "NAME/" for a directory, or "NAME" for an empty file.
func put(t *testing.T, dir string, files ...string) {
	t.Helper()
	for _, f := range files {
		name, content, _ := strings.Cut(f, "=")
		link, target, isLink := strings.Cut(name, " -> ")
		pipe, isPipe := strings.CutSuffix(name, "|")
		path := filepath.Join(dir, strings.TrimSuffix(link, "|"))
		err := os.MkdirAll(filepath.Dir(path), 0o777)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(target, path)
		case isPipe:
			err = syscall.Mkfifo(filepath.Join(dir, pipe), 0o666)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o777)
		default:
			err = os.WriteFile(path, []byte(content), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// layoutFiles returns an OCI image layout in the directory l: an image of one empty layer for this
// machine, with the tag t. change edits what its manifest and configuration say.
func layoutFiles(change *strings.Replacer) []string {
	var files []string
	blob := func(mediaType, text string) string {
		text = change.Replace(text)
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
		files = append(files, "l/blobs/sha256/"+sum+"="+text)
		return fmt.Sprintf(`{"mediaType": "application/vnd.oci.image.%s", "digest": "sha256:%s", "size": %d}`, mediaType, sum, len(text))
	}
	layer := blob("layer.v1.tar", strings.Repeat("\x00", 1024))
	config := blob("config.v1+json", fmt.Sprintf(`{"os": "linux", "architecture": %q, "rootfs": {"diff_ids": ["sha256:00"]}}`, runtime.GOARCH))
	manifest := blob("manifest.v1+json", fmt.Sprintf(`{"config": %s, "layers": [%s]}`, config, layer))
	manifest = strings.TrimSuffix(manifest, "}") + `, "annotations": {"org.opencontainers.image.ref.name": "t"}}`
	return append(files, fmt.Sprintf(`l/index.json={"manifests": [%s]}`, manifest))
}

// unusable is a workflow that a file of its workspace keeps from being built or run.
type unusable struct {
	image, task string   // what its image, or its task, says in source
	files       []string // the workspace's other files
	want        string   // what is found
}

// allUnusable returns them. They are large: as a variable they would be made in each evaluator,
// which is this program as well.
func allUnusable() []unusable {
	return []unusable{
		// Source files.
		{`.with_source_file("x.csv", "/")`, ``, nil, "there is no x.csv in the workspace"},
		{`.with_source_file("d", "/")`, ``, []string{"d/"}, "d isn't a regular file"},
		{`.with_source_file("x", "/")`, ``, []string{"x -> y", "y"}, "x is a symbolic link"},
		{`.with_source_file("x", "/")`, ``, []string{"x|"}, "x isn't a regular file"},
		{`.with_source_file("x", "/a/b").with_source_file("x", "/a")`, ``, []string{"x"}, "/a is a directory of the image"},
		{`.with_source_folder("d", "/d").with_source_file("x", "/d/e")`, ``, []string{"d/e/y", "x"}, "/d/e is a directory of the image"},
		// Source folders.
		{`.with_source_folder("d", "/")`, ``, nil, "there is no d in the workspace"},
		{`.with_source_folder("d", "/")`, ``, []string{"d"}, "d isn't a directory"},
		{`.with_source_folder("d", "/")`, ``, []string{"d/x -> ../main.star"}, "d/x is a symbolic link out of d"},
		{`.with_source_folder("d", "/")`, ``, []string{"d/x|"}, "d/x is neither a file, a directory nor a symbolic link"},
		{`.with_source_folder("d", "/")`, ``, []string{"d/\xff"}, `the name "d/\xff" isn't UTF-8`},
		{`.with_source_folder("d", "/", ignore = ["[x"])`, ``, []string{"d/"}, `pattern "[x": a [ without its ]`},
		{`.with_source_folder("d", "/")`, ``, []string{"d/.dockerignore=a\n[b\n"}, `d/.dockerignore: pattern "[b": syntax error in pattern`},
		{`.with_source_folder("d", "/")`, ``, []string{"d/.dockerignore -> nowhere"}, "d/.dockerignore is a symbolic link to what isn't there"},
		{`.with_source_folder("d", "/")`, ``, []string{"d/.dockerignore|"}, "d/.dockerignore: not a regular file"},
		{`.with_source_folder("d", "/")`, ``, []string{"d/.dockerignore=" + strings.Repeat("x\n", 1<<20)}, "d/.dockerignore: larger than 1048576 bytes"},
		{`.with_source_folder("d", "/a").with_source_folder("e", "/a")`, ``, []string{"d/x/y", "e/x"}, "e/x would replace /a/x, a directory of the image"},
		// Requirements files.
		{`.with_requirements("r.txt")`, ``, nil, "there is no r.txt in the workspace"},
		{`.with_requirements("r.txt")`, ``, []string{"r.txt=-r more.txt"}, "requirements file more.txt, included by r.txt: "},
		{`.with_requirements("r.txt")`, ``, []string{"r.txt=-c ../../pins.txt"}, "leads out of the workspace"},
		{`.with_requirements("r.txt")`, ``, []string{"r.txt=-r https://example.org/r.txt"}, "only files of the workspace can be included"},
		{`.with_requirements("r.txt")`, ``, []string{"r.txt=-r p", "p|"}, "p, included by r.txt: not a regular file"},
		{`.with_requirements("r.txt")`, ``, []string{"r.txt=\xff"}, "not valid UTF-8"},
		{`.with_requirements("r.txt")`, ``, []string{"r.txt=" + strings.Repeat("#", 1<<20+1)}, "larger than 1048576 bytes"},
		{`.with_requirements("r.txt")`, ``, []string{"r.txt=numpy = 1"}, "pinned with =="},
		{`.with_requirements("r.txt")`, ``, []string{"r.txt=-e ./lib", "lib/setup.py"}, `"./lib" is a path in the workspace`},
		{`.with_requirements("r.txt")`, ``, []string{"r.txt=--upgrade"}, "pip has no option --upgrade"},
		{`.with_requirements("r.txt")`, ``, []string{"r.txt=a==1 --hash=sha256:00\nb==2"}, "b has no --hash, though others have"},
		{`.with_requirements("r.txt")`, ``, []string{"r.txt=a>1 --hash=sha256:00"}, "no exact version"},
		// What tasks carry.
		{``, `command = ["true"], include = ["no/such/*.csv"]`, nil, `include "no/such/*.csv": matches no file`},
		{``, `command = ["true"], include = ["d"]`, []string{"d/x"}, "matches only directories"},
		{``, `command = ["true"], include = ["d/*"]`, []string{"d/x -> nowhere"}, "d/x is a symbolic link to what isn't there"},
		{``, `command = ["true"], include = ["d/*"]`, []string{"d/x -> ../e", "e/"}, "d/x is a symbolic link to a directory"},
		{``, `command = ["true"], include = ["d/*"]`, []string{"d/x -> /etc/passwd"}, "d/x can't be read: it leads out of the workspace"},
		{``, `command = ["true"], include = ["d/*"]`, []string{"d/x -> x"}, "d/x can't be read"},
		{``, `command = ["true"], include = ["d/*"]`, []string{"d/x|"}, "d/x is neither a file nor a directory"},
		{``, `command = ["true"], include = ["d/*"]`, []string{"d/\xff"}, `the name "d/\xff" isn't UTF-8`},
		{``, `command = ["true"], include = ["[z-a]"]`, nil, "invalid range z-a in [z-a]"},
		{``, `script = "#!/bin/sh", include = ["a**b"]`, nil, "a ** within a name"},
		// Python tasks.
		{``, `python = "run.py:main"`, nil, "there is no run.py in the workspace"},
		{``, `python = "run.py:main"`, []string{"run.py=def mian(): pass"}, `run.py defines no function "main"`},
		{``, `python = "run.py:main", inputs = {}`, []string{"run.py=" + strings.Repeat("#", 16<<20+1)}, "run.py: larger than 16777216 bytes"},
		{``, `python = "run.py:main"`, []string{"run.py -> other.py", "other.py=def main(): pass"}, "run.py is a symbolic link"},
		{``, `python = "run.py:main"`, []string{"run.py=def main(): pass", ".flytestarignore=[x"}, `.flytestarignore: pattern "[x": a [ without its ]`},
		{``, `python = "run.py:main"`, []string{"run.py=def main(): pass", ".flytestarignore=\xff"}, `.flytestarignore: not valid UTF-8`},
		{``, `command = ["true"], include = ["**"]`, []string{".flytestarignore -> nowhere"}, `.flytestarignore is a symbolic link to what isn't there`},
		{``, `command = ["true"], include = ["d/x"]`, []string{"d/x -> nowhere"}, "d/x is a symbolic link to what isn't there"},
		{``, `command = ["true"], include = ["d/*/*"]`, []string{"d/node_modules/y", "d/.#x -> z"}, "matches no file; d/node_modules is left out, unless a pattern names it"},
		// Files and Dirs of the workspace.
		{``, `command = ["true"], inputs = {"f": input(File, default = file("d/x.csv"))}`, []string{"d/y.csv"}, "there is no d/x.csv in the workspace"},
		{``, `command = ["true"], inputs = {"f": input(File, default = file("d"))}`, []string{"d/"}, "d isn't a regular file"},
		{``, `command = ["true"], inputs = {"f": input(File, default = file("x"))}`, []string{"x -> /etc/passwd"}, "x is a symbolic link"},
		{``, `command = ["true"], inputs = {"f": input(File, default = file("d/passwd"))}`, []string{"d -> /etc"}, "d/passwd can't be read: "},
		{``, `command = ["true"], inputs = {"f": input(File, default = file("x"))}`, []string{"x|"}, "x isn't a regular file"},
		{``, `command = ["true"], inputs = {"r": record(f = input(list[File], default = [file("x")]))}`, nil, "there is no x in the workspace"},
		{``, `command = ["true"], inputs = {"d": input(Dir, default = dir("x"))}`, []string{"x"}, "x isn't a directory"},
		{``, `command = ["true"], inputs = {"d": input(Dir, default = dir("d"))}`, []string{"d/a/x -> ../../y", "y"}, "directory: d/a/x is a symbolic link out of d"},
		{``, `command = ["true"], inputs = {"d": input(Dir, default = dir("d"))}`, []string{"d/x -> nowhere"}, "directory: d/x is a symbolic link to what isn't there"},
		{``, `command = ["true"], inputs = {"d": input(Dir, default = dir("d"))}`, []string{"d/x|"}, "d/x is neither a file, a directory nor a symbolic link"},
		// OCI layouts.
		{`oci:l`, ``, nil, "there is no l in the workspace"},
		{`oci:l`, ``, []string{"l/"}, "there is no l/index.json in the workspace"},
		{`oci:l`, ``, []string{"l/index.json=[]"}, "l has a damaged index"},
		{`oci:l`, ``, []string{`l/index.json={"manifests": [{"digest": "md5:x", "mediaType": "application/vnd.oci.image.manifest.v1+json"}]}`}, `"md5:x" isn't a digest by SHA-256`},
		{`oci:l:u`, ``, layoutFiles(strings.NewReplacer()), `with the tag "u"; its tags are t`},
		{`oci:l`, ``, layoutFiles(strings.NewReplacer(runtime.GOARCH, "mips")), "no image for linux/" + runtime.GOARCH + ", only for linux/mips"},
		{`oci:l`, ``, layoutFiles(strings.NewReplacer(`"diff_ids": ["sha256:00"]`, `"diff_ids": []`)), "the image has 1 layers, but 0 diff ids"},
		{`oci:l`, ``, layoutFiles(strings.NewReplacer(`"size": 1024`, `"size": 1025`)), "has 1024 bytes, not 1025"},
		{`oci:l`, ``, without(layoutFiles(strings.NewReplacer()), "\x00"), "can't be read: "},
		{`oci:l`, ``, without(layoutFiles(strings.NewReplacer()), `{"config"`), "oci:l: l/blobs/sha256/"},
		{`oci:l`, ``, damaged(layoutFiles(strings.NewReplacer()), `{"os"`), "has another content than its name says"},
	}
}

// without leaves out the file whose content begins with some text.
func without(files []string, content string) []string {
	return slices.DeleteFunc(files, func(f string) bool { return strings.Contains(f, "="+content) })
}

// damaged changes that file.
func damaged(files []string, content string) []string {
	for i, f := range files {
		if strings.Contains(f, "="+content) {
			files[i] = f + " "
		}
	}
	return files
}

// TestUnusableFiles: whatever is wrong with a workspace's files, check, plan, build and run find it,
// and nothing has an effect: home stays as it was, which is not there at all.
func TestUnusableFiles(t *testing.T) {
	for _, tt := range allUnusable() {
		t.Run(tt.want, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			put(t, dir, tt.files...)
			home := filepath.Join(t.TempDir(), "home")
			w, err := flytestar.Load(t.Context(), workflowOf(t, dir, tt.image, tt.task), flytestar.Options{Home: home})
			if err != nil {
				t.Fatal(err)
			}
			for _, verb := range []struct {
				name string
				do   func() error
			}{
				{"check", func() error { return w.Check().Err() }},
				{"plan", func() error { _, err := w.Plan(t.Context(), "main"); return err }},
				{"build", func() error { _, err := w.Build(t.Context(), "main"); return err }},
				{"run", func() error { _, err := w.Run(t.Context(), "main", map[string]plan.Value{}); return err }},
			} {
				err := verb.do()
				var list diag.List
				if !errors.As(err, &list) || len(list) != 1 || list[0].Code != "FS112" || !strings.Contains(list[0].Msg, tt.want) || list[0].Pos.Line == 0 {
					t.Errorf("%s%s: %s gives %v, want FS112 with %q", tt.image, tt.task, verb.name, err, tt.want)
					break // the next may build and run
				}
			}
			if _, err := os.Lstat(home); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the home directory is there: %v", err)
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// workflowOf writes a workflow with a task main, and returns its file's name.
func workflowOf(t *testing.T, dir, image, task string) string {
	base := `image.from_debian_base(suite = "bookworm")` + image
	if strings.HasPrefix(image, "oci:") {
		base = fmt.Sprintf("image.from_base(%q)", image)
	}
	if task == "" {
		task = `command = ["true"]`
	}
	put(t, dir, fmt.Sprintf("main.star=env = task_environment(name = \"e\", image = %s)\nmain = task(env = env, %s)\n", base, task))
	return filepath.Join(dir, "main.star")
}

// TestOtherTasksFiles: what is wrong with the files of other tasks doesn't keep a task from being
// planned.
func TestOtherTasksFiles(t *testing.T) {
	w, _ := mustLoad(t, `-- main.star --
env = task_environment(name = "e", image = image.from_scratch())
main = task(env = env, command = ["true"])
bad = task(env = env, command = ["true"], include = ["no/such/*.csv"])
worse = task(env = env, command = ["true"], inputs = {"f": input(File, default = file("nowhere"))})
`)
	if _, err := w.Plan(t.Context(), "main"); err != nil {
		t.Error(err)
	}
	for _, task := range []string{"bad", "worse"} {
		if _, err := w.Plan(t.Context(), task); err == nil {
			t.Errorf("the file of %s that is missing isn't found", task)
		}
	}
}
