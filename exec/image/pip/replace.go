package pip

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/exec/image/process"
)

// replace removes from the image's own virtual environment the packages that a call has in another
// version, as a layer below the call's wheels. Packages that lie elsewhere are only hidden.
func (inst *Installer) replace(ctx context.Context, c *call, ext *Extension) error {
	if !c.py.extends() {
		return nil
	}
	brought := map[string]bool{}
	for _, b := range c.py.Brings {
		name, _, _ := strings.Cut(b, "==")
		brought[name] = true
	}
	var names []string
	for _, d := range c.pinned.Packages {
		if brought[d.Name] && !inst.replaced[d.Name] {
			names = append(names, d.Name)
			inst.replaced[d.Name] = true
		}
	}
	if len(names) == 0 {
		return nil
	}
	l, err := inst.removal(ctx, c, names)
	if err == nil {
		ext.Layers = append(ext.Layers, Titled{l, "without " + strings.Join(names, " ")})
	}
	return err
}

// removal returns a layer that removes packages of the image before the first step.
func (inst *Installer) removal(ctx context.Context, c *call, names []string) (oci.Layer, error) {
	k := memo.NewKey("removal 1").List(oci.DiffIDs(inst.under.Layers)).List(names)
	return inst.layer(ctx, k, func() (oci.Layer, error) {
		files, err := inst.filesOf(ctx, c, names)
		if err != nil {
			return oci.Layer{}, err
		}
		f, err := inst.Layout.Forest(inst.under.Layers)
		if err != nil {
			return oci.Layer{}, err
		}
		return inst.Layout.WriteLayer(ctx, func(w *oci.LayerWriter) error {
			for _, name := range files {
				if err := whiteout(w, f, strings.TrimPrefix(name, "/")); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// whiteout says that a path of the image is gone.
func whiteout(w *oci.LayerWriter, f oci.Forest, name string) error {
	names, dirs := f.Parents(name)
	for i, n := range names {
		if err := w.AddDir(n, dirs[i]); err != nil {
			return err
		}
	}
	hdr := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(path.Dir(name), ".wh."+path.Base(name)), Mode: 0o644, ModTime: oci.FileTime}
	return w.Add(hdr, nil)
}

// filesOf lists the files of packages in the virtual environment of the image before the first step.
// It leaves out what lies below a directory that it lists.
func (inst *Installer) filesOf(ctx context.Context, c *call, names []string) ([]string, error) {
	var out bytes.Buffer
	err := inst.Build.Run(ctx, &exec.Container{
		Name: "files", Layers: inst.Layout.Open(inst.under.Layers), Env: slices.Clone(inst.under.Environ), Stdout: &out,
		Args: append([]string{c.py.Command, "-c", filesScript}, names...),
	})
	var failed *process.Failed
	if errors.As(err, &failed) {
		return nil, failed.At(diag.Position{}, "listing the files of "+strings.Join(names, ", "))
	}
	if err != nil {
		return nil, err
	}
	var all []string
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		return nil, fmt.Errorf("the files of %s: %w", strings.Join(names, ", "), err)
	}
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return !strings.HasPrefix(name, "/"+venvDir+"/") || path.Clean(name) != name || listedAbove(all, name)
	}), nil
}

// listedAbove reports whether a directory above name is in a sorted list.
func listedAbove(list []string, name string) bool {
	for dir := path.Dir(name); dir != "/" && dir != "."; dir = path.Dir(dir) {
		if _, ok := slices.BinarySearch(list, dir); ok {
			return true
		}
	}
	return false
}
