package image

import (
	"os"
	"path/filepath"
	"sync"

	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/internal/durable"
	"github.com/flytestar/flytestar/internal/home"
)

// store is what the builder keeps under the home:
//
//	images/                 an OCI image layout: oci-layout, index.json, blobs/sha256/
//	resolved/HEX.json       which image was built for a declared digest
//	index/KIND/KEY.json     what was made for a key: layers, bases, pip resolutions, …
//	cache/                  downloads and wheels, by content
//	locks/                  a lock file for each key that something was ever made for
//	tmp/images/NAME/        scratch of a living process, which has locked it
//
// Files appear by rename, complete and synced: a builder that is killed at any moment leaves a
// store that can be read.
//
// Nothing is written before begin: looking at images has no effects.
type store struct {
	home    home.Dir
	unswept func(error) // see Options
	layout  *oci.Layout
	memo    *memo.Memo

	mu  sync.Mutex // guards dir until begin is done
	dir *durable.Scratch
}

func newStore(dir home.Dir, unswept func(error)) *store {
	return &store{
		unswept: unswept,
		home:    dir,
		layout:  &oci.Layout{Dir: dir.Images(), Trees: filepath.Join(dir.Index(), "trees"), Lock: filepath.Join(dir.Locks(), "index.json")},
		memo:    &memo.Memo{Index: dir.Index(), Locks: dir.Locks()},
	}
}

// scratch is this builder's scratch directory. It is there once begin is done.
func (s *store) scratch() *durable.Scratch { return s.layout.Scratch }

// begin makes what is missing below home, and sweeps the scratch directories of dead processes.
func (s *store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir != nil {
		return nil
	}
	for _, d := range []string{s.home.Images(), s.home.Resolved(), s.home.Index(), s.home.Cache("wheels"), s.home.Locks()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	dir, err := durable.OpenScratch(s.home.BuilderScratch())
	if err != nil {
		return err
	}
	if err := dir.Unswept(); err != nil && s.unswept != nil {
		s.unswept(err)
	}
	s.layout.Scratch, s.memo.Scratch = dir, dir
	if err := s.layout.Init(); err != nil {
		_ = dir.Close() // why there is no layout is what the user must know
		return err
	}
	s.dir = dir
	return nil
}

// close removes the scratch directory.
func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == nil {
		return nil
	}
	return s.dir.Close()
}
