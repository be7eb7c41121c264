package language_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/flytestar/flytestar/internal/startest"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/language"
	"github.com/flytestar/flytestar/plan"
)

// graphOf loads entry and makes its graph, in this process.
func graphOf(source interp.Source, entry string) (*plan.Graph, error) {
	lang := language.New(interp.Limits{}.Defaults())
	p, err := interp.Loader{Language: lang}.Load(source, entry)
	if err != nil {
		return nil, err
	}
	return p.Graph()
}

// TestFindings loads each chunk of testdata/*.star and compares the findings.
func TestFindings(t *testing.T) {
	files, err := filepath.Glob("testdata/*.star")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, file := range files {
		for _, chunk := range startest.Read(t, file) {
			t.Run(chunk.Name, func(t *testing.T) {
				g, err := graphOf(&chunk, startest.Entry)
				chunk.Match(t, err)
				if err == nil {
					if err := g.Validate(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// dirSource reads modules below a directory.
type dirSource string

func (d dirSource) ReadModule(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), filepath.FromSlash(path)))
}

// TestExamples compares the examples' graphs with testdata/NAME.json; UPDATE=1 writes them.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../examples/*.star")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			g, err := graphOf(dirSource(filepath.Dir(file)), name)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Validate(); err != nil {
				t.Error(err)
			}
			got, err := json.MarshalIndent(g, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".json")
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(golden, append(got, '\n'), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, bytes.TrimSpace(want)) {
				t.Errorf("the graph differs from %s (UPDATE=1 writes it):\n%s", golden, got)
			}
		})
	}
}
