package flytestar_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/internal/startest"
)

// workspace has files by path, and which of them to load.
type workspace struct {
	files   map[string][]byte
	entries []string
}

// workspaces returns the examples, and the test files of the language, by name.
func workspaces(t *testing.T) map[string]workspace {
	t.Helper()
	all := map[string]workspace{}
	examples := workspace{files: map[string][]byte{}}
	err := filepath.WalkDir("examples", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel := strings.TrimPrefix(name, "examples/")
		examples.files[rel] = data
		if strings.HasSuffix(rel, ".star") && !strings.Contains(rel, "/") {
			examples.entries = append(examples.entries, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	all["examples"] = examples
	for _, pattern := range []string{"language/testdata/*.star", "interp/testdata/*.star"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			for _, chunk := range startest.Read(t, file) {
				all[chunk.Name] = workspace{chunk.Files, []string{startest.Entry}}
			}
		}
	}
	return all
}

// TestWarm loads each of them twice: the second time modules come from what was
// kept of the first, and the graph or the findings are the same.
func TestWarm(t *testing.T) {
	var kept atomic.Int64
	t.Run("workspaces", func(t *testing.T) {
		for name, w := range workspaces(t) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				kept.Add(int64(warm(t, w)))
			})
		}
	})
	if n := kept.Load(); n < 20 {
		t.Errorf("only %d modules were kept", n)
	}
}

// warm loads a workspace twice and returns how many modules were kept.
func warm(t *testing.T, w workspace) int {
	t.Helper()
	padding := "\n#" + strings.Repeat("x", 16<<10) // so that modules are large enough to be kept
	dir := t.TempDir()
	for file, data := range w.files {
		file = filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".star") {
			data = append(data[:len(data):len(data)], padding...)
		}
		if err := os.WriteFile(file, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(dir, "home")
	for _, entry := range w.entries {
		if cold, warm := loaded(t, dir, home, entry), loaded(t, dir, home, entry); cold != warm {
			t.Errorf("%s: cold\n%s\nwarm\n%s", entry, cold, warm)
		}
	}
	files, err := filepath.Glob(filepath.Join(home, "programs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// loaded loads a file and describes all that comes of it.
func loaded(t *testing.T, dir, home, entry string) string {
	t.Helper()
	var notices []string
	w, err := flytestar.Load(t.Context(), filepath.Join(dir, entry), flytestar.Options{
		Workspace: dir, Home: home, Notice: func(text string) { notices = append(notices, text) },
	})
	if err != nil {
		return fmt.Sprint(notices, err)
	}
	graph, err := json.Marshal(w.Graph())
	findings := w.Check()
	if e := w.Close(); err != nil || e != nil {
		t.Fatal(err, e)
	}
	return fmt.Sprint(notices, string(graph), findings)
}
