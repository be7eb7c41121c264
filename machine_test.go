package flytestar_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/exectest"
	"github.com/flytestar/flytestar/exec/storetest"
	"github.com/flytestar/flytestar/plan"
)

// shelf is a Builder whose images are all there.
type shelf struct{ built []string }

func (s *shelf) State(_ context.Context, img plan.BuildImage) (plan.BuildImage, error) {
	img.State, img.Digest, img.Why = plan.ImageHit, img.Declared, "it is on the shelf"
	return img, nil
}
func (s *shelf) Size(plan.BuildImage) (int64, error) { return 7, nil }
func (s *shelf) Build(_ context.Context, img plan.BuildImage, _ exec.Watch) (plan.Digest, error) {
	s.built = append(s.built, img.Environments...)
	return plan.Digest(string(img.Declared)), nil
}
func (s *shelf) Image(context.Context, plan.Digest) (*exec.Image, error) { return nil, os.ErrNotExist }
func (s *shelf) Close() error                                            { panic("its owner closes it") }

// TestOwnMachine: whoever embeds flytestar brings a builder, an executor and a store, and then
// nothing of this machine is used but the directory for logs. So no root is needed either.
func TestOwnMachine(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "wf.star")
	err := os.WriteFile(file, []byte(`
env = task_environment(name = "e", image = image.from_scratch())
echo = task(command = ["echo", "{{.inputs.text}}"], env = env, inputs = {"text": str}, output = str, timeout = "1m")
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	store, builder := new(storetest.Memory), new(shelf)
	home := filepath.Join(dir, "home")
	opts := flytestar.Options{
		Home: home, Builder: builder, Store: store,
		Executor: &exectest.Fake{Store: store, Tasks: map[string]func(context.Context, *exectest.Task) exec.Exit{
			"e.echo": func(_ context.Context, t *exectest.Task) exec.Exit {
				t.Output("output", t.Args[1]+"\n")
				return exec.Exit{}
			},
		}},
	}
	w, err := flytestar.Load(t.Context(), file, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p, err := w.Plan(t.Context(), "echo")
	if err != nil || len(p.Images) != 1 || p.Images[0].Why != "it is on the shelf" {
		t.Errorf("plan: %+v, %v", p, err)
	}
	if sizes, err := w.Sizes(); err != nil || sizes[0] != 7 {
		t.Errorf("sizes: %v, %v", sizes, err)
	}
	v, err := w.Run(t.Context(), "echo", map[string]plan.Value{"text": "hello"})
	if err != nil || v != "hello" || len(builder.built) != 1 {
		t.Errorf("got %v, %v; built for %q", v, err, builder.built)
	}
	entries, err := os.ReadDir(home)
	if err != nil || len(entries) != 1 || entries[0].Name() != "runs" {
		t.Errorf("the home directory has %v, %v", entries, err)
	}
	if path, err := w.Path(plan.File{Name: "x"}); err == nil {
		t.Errorf("a store in memory has the path %s", path)
	}
	opts.Executor = nil
	if _, err := flytestar.Load(t.Context(), file, opts); err == nil {
		t.Error("a store without an executor that reads it is taken")
	}
}
