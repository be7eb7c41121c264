package local

import (
	"context"
	"strings"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// maxDirMounts is how many Dirs of an attempt are mounts. Each mount takes a descriptor.
const maxDirMounts = 64

// inputs returns the mounts that make inputs visible, and the files that are to be written besides.
// One mount is the working directory, in which what the attempt carries lies once more. What lies in
// InputsPath and isn't a Dir is in one directory: a File is a link to the store's. So one mount is
// enough, however many there are. The caller calls remove, whatever err is.
func (e *Executor) inputs(ctx context.Context, s *exec.Spec) (mounts []exec.Mount, files []exec.File, remove func() error, err error) {
	artifacts, texts, remove := map[string]plan.Value{}, map[string][]byte{}, func() error { return nil }
	work := exec.Mount{Target: exec.WorkPath, Private: true}
	for _, in := range s.Inputs {
		rel, below := strings.CutPrefix(in.Path, exec.InputsPath+"/")
		_, dir := in.Artifact.(plan.Dir)
		if below && (!dir || len(mounts) >= maxDirMounts) {
			artifacts[rel] = in.Artifact
			continue
		}
		source, err := e.Store.Path(ctx, in.Artifact)
		if err != nil {
			return nil, nil, remove, err
		}
		mounts = append(mounts, exec.Mount{Source: source, Target: in.Path})
		if in.Path == exec.WorkspacePath {
			work.Source = source
		}
		if below {
			artifacts[rel] = nil // where it is mounted
		}
	}
	for _, f := range s.Files {
		if rel, below := strings.CutPrefix(f.Path, exec.InputsPath+"/"); below {
			texts[rel] = f.Data
		} else {
			files = append(files, f)
		}
	}
	mounts = append(mounts, work)
	if len(artifacts)+len(texts) == 0 {
		return mounts, files, remove, nil
	}
	dir, remove, err := e.Store.InputDir(ctx, artifacts, texts)
	return append([]exec.Mount{{Source: dir, Target: exec.InputsPath}}, mounts...), files, remove, err
}
