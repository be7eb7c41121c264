package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/flytestar/flytestar/plan"
)

// buildForever builds images of a growing number of layers and says so on standard output, until it
// is killed.
func buildForever(home, workspace string) error {
	root, err := os.OpenRoot(workspace)
	if err != nil {
		return err
	}
	b, err := NewBuilder(Options{Home: home, Workspace: root})
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		if _, err := b.Build(context.Background(), numbered(n), nil); err != nil {
			return err
		}
		fmt.Println("built", n)
	}
}

// numbered is an image of a layer that number n has for its own.
func numbered(n int) plan.BuildImage {
	return onNothing(plan.Step{Kind: plan.StepFile, Src: "big", Dst: fmt.Sprintf("/big-%d", n)})
}

// startProcess starts a process that builds forever in b's home, and returns when
// it has built its first images.
func startProcess(t *testing.T, b *Builder, workspace string, images int) *osexec.Cmd {
	t.Helper()
	cmd := osexec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FLYTESTAR_TEST_SECOND="+b.opts.Home, "FLYTESTAR_TEST_WORKSPACE="+workspace)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for range images {
		if !lines.Scan() {
			t.Fatalf("the process ended: %v", cmd.Wait())
		}
	}
	go func() { // the pipe must not fill
		for lines.Scan() {
		}
	}()
	return cmd
}

// TestKill kills processes in the midst of building: what index.json lists stays readable,
// and what they left is swept.
func TestKill(t *testing.T) {
	workspace := t.TempDir()
	must(t, os.WriteFile(filepath.Join(workspace, "big"), sample(4<<20), 0o644))
	b := newBuilder(t, nil)
	for round := range 4 {
		cmd := startProcess(t, b, workspace, 1)
		time.Sleep(time.Duration(round) * 7 * time.Millisecond)
		must(t, cmd.Process.Kill())
		cmd.Wait()
		p, err := layout.FromPath(b.Layout())
		must(t, err)
		index, err := p.ImageIndex()
		must(t, err)
		must(t, validate.Index(index))
		must(t, os.RemoveAll(filepath.Join(b.opts.Home, "resolved"))) // so that the next one builds
	}
	again, err := NewBuilder(Options{Home: b.opts.Home})
	must(t, err)
	defer again.Close()
	must(t, again.store.begin())
	left, err := filepath.Glob(filepath.Join(b.opts.Home, "tmp", "images", "*"))
	must(t, err)
	if len(left) != 2 { // the two builders' directories
		t.Errorf("in tmp: %v", left)
	}
}

// TestProcesses lets two processes and this one build the same images at once.
func TestProcesses(t *testing.T) {
	workspace := t.TempDir()
	must(t, os.WriteFile(filepath.Join(workspace, "big"), sample(1<<20), 0o644))
	b := newBuilder(t, nil)
	root, err := os.OpenRoot(workspace)
	must(t, err)
	defer root.Close()
	b.opts.Workspace = root
	first, second := startProcess(t, b, workspace, 1), startProcess(t, b, workspace, 1)
	for n := range 30 {
		built(t, b, numbered(n))
	}
	for _, cmd := range []*osexec.Cmd{first, second} {
		must(t, cmd.Process.Kill())
		cmd.Wait()
	}
}

func TestIndexNames(t *testing.T) {
	b := newBuilder(t, nil)
	img := onNothing(plan.Step{Kind: plan.StepUser, Name: "1"})
	built(t, b, img)
	must(t, os.RemoveAll(filepath.Join(b.opts.Home, "resolved")))
	built(t, b, img)
	built(t, b, onNothing(plan.Step{Kind: plan.StepUser, Name: "2"}))
	p, err := layout.FromPath(b.Layout())
	must(t, err)
	index, err := p.ImageIndex()
	must(t, err)
	m, err := index.IndexManifest()
	must(t, err)
	if len(m.Manifests) != 2 || m.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != img.Declared.Hex()[:12] {
		t.Errorf("index.json lists %+v", m.Manifests)
	}
}

func TestDamage(t *testing.T) {
	b := newBuilder(t, nil)
	img := onNothing(plan.Step{Kind: plan.StepUser, Name: "1"})
	built(t, b, img)
	path, err := b.recordPath(img.Declared, img.Platform)
	must(t, err)
	must(t, os.WriteFile(path, []byte("{"), 0o644))
	if _, err := b.State(t.Context(), img); err == nil || !strings.Contains(err.Error(), "is damaged, remove it") {
		t.Errorf("a damaged record: %v", err)
	}
}

func BenchmarkNothingToDo(b *testing.B) {
	builder := newBuilder(b, map[string]string{"a": "a"})
	img := onNothing(plan.Step{Kind: plan.StepFile, Src: "a", Dst: "/a"})
	built(b, builder, img)
	for b.Loop() {
		again, err := NewBuilder(Options{Home: builder.opts.Home})
		must(b, err)
		_, err = again.Build(b.Context(), img, nil)
		must(b, errors.Join(err, again.Close()))
	}
}
