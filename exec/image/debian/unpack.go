package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/debian/archive"
	"github.com/flytestar/flytestar/exec/image/debian/control"
)

// Build makes the layers of a base, as tars in the directory dir. Bottom first, they are the
// packages, what configuring them changed, and Python's bytecode if there is a Python. The same
// closure gives the same bytes. After an error, nothing is left in dir and nothing still runs.
// Errors are *diag.Error, or ctx's.
func (d *Debian) Build(ctx context.Context, c *Closure, dir string, watch exec.Watch) ([]*Layer, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	packages, shape, err := d.unpack(ctx, c, filepath.Join(dir, "packages.tar"), watch)
	if err != nil {
		return nil, buildError(ctx, err)
	}
	layers, err := d.configure(ctx, c, packages, shape, dir, watch)
	if err != nil {
		os.Remove(packages.Path)
		return nil, buildError(ctx, err)
	}
	return append([]*Layer{packages}, layers...), nil
}

// buildError returns err as an error for the user, unless it is one.
func buildError(ctx context.Context, err error) error {
	known := (*diag.Error)(nil)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.As(err, &known) {
		return err
	}
	return errorf(diag.Build, "debian base: %w", err)
}

// check refuses a closure that can't have come from Resolve: it was read from a file, which may be
// damaged.
func (c *Closure) check() error {
	bad := func(format string, args ...any) error {
		return errorf(diag.Source, "what is remembered of the debian base: "+format, args...).WithHint(archive.ResolveAgain)
	}
	for _, src := range c.Sources {
		if err := src.Check(); err != nil {
			return bad("%w", err)
		}
	}
	if !control.ValidName(c.Arch) || c.Date.IsZero() || len(c.Packages) == 0 {
		return bad("it has no architecture, date or packages")
	}
	for i, p := range c.Packages {
		if err := p.Check(); err != nil {
			return bad("%w", err)
		}
		if i > 0 && c.Packages[i-1].Name >= p.Name {
			return bad("its packages aren't in order: %s", p.Name)
		}
	}
	return nil
}

// unpack writes the packages' layer and returns what lies in it.
func (d *Debian) unpack(ctx context.Context, c *Closure, name string, watch exec.Watch) (*Layer, *tree, error) {
	w, err := createLayer(name, c.Date)
	if err != nil {
		return nil, nil, err
	}
	t := newTree(w)
	layer, err := d.fill(ctx, t, c, watch)
	if err != nil {
		w.discard()
		return nil, nil, err
	}
	return layer, t, nil
}

func (d *Debian) fill(ctx context.Context, t *tree, c *Closure, watch exec.Watch) (*Layer, error) {
	if err := mergeUsr(t, c.Arch); err != nil {
		return nil, err
	}
	db := &database{triggers: map[string][]string{}}
	if err := d.addPackages(ctx, t, db, c, watch); err != nil {
		return nil, err
	}
	if err := db.write(t, c.Arch); err != nil {
		return nil, err
	}
	if err := t.file("etc/apt/sources.list.d/debian.sources", 0o644, c.aptSources()); err != nil {
		return nil, err
	}
	return t.w.finish()
}

// mergeUsr adds the links of a merged /usr, which must be there before any package. A package that
// has the same links (base-files, since trixie) is fine.
func mergeUsr(t *tree, arch string) error {
	names := []string{"bin", "lib", "sbin"}
	if dir := map[string]string{"amd64": "lib64", "loong64": "lib64", "ppc64el": "lib64", "mips64el": "lib64"}[arch]; dir != "" {
		names = append(names, dir)
	}
	for _, name := range names {
		if err := t.link(name, "usr/"+name); err != nil {
			return err
		}
		if err := t.parents("the base", "usr/"+name); err != nil {
			return err
		}
	}
	return nil
}

// aptSources returns the file that says where apt in the base finds more packages.
func (c *Closure) aptSources() []byte {
	var b bytes.Buffer
	for i, src := range c.Sources {
		if i > 0 {
			b.WriteByte('\n')
		}
		var p control.Paragraph
		p.Add("Types", "deb")
		p.Add("URIs", src.URI)
		p.Add("Suites", src.Suite)
		p.Add("Components", "main")
		p.Add("Signed-By", archive.Keyring)
		if src.NoValidUntil {
			p.Add("Check-Valid-Until", "no")
		}
		p.Write(&b)
	}
	return b.Bytes()
}

// parcel is a package that goes into the layer.
type parcel struct {
	archive.Package
	deb   string        // in the cache
	data  string        // its data archive, decompressed, in a temporary file
	ready chan struct{} // closed once data is there
}

// addPackages downloads, decompresses and merges the packages. Downloads run in parallel. Each
// package is decompressed, in parallel too, once it is there, and merged in order after that.
func (d *Debian) addPackages(ctx context.Context, t *tree, db *database, c *Closure, watch exec.Watch) error {
	tmp, err := os.MkdirTemp(filepath.Dir(t.w.file.Name()), "unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	parcels := make([]*parcel, len(c.Packages))
	for i, p := range c.Packages {
		parcels[i] = &parcel{Package: p, data: filepath.Join(tmp, p.Name), ready: make(chan struct{})}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.prepare(ctx, c, parcels, watch) })
	g.Go(func() error { return merge(ctx, t, db, parcels) })
	return g.Wait()
}

// prepare fetches and decompresses all parcels. The biggest come first, so that the merge doesn't
// wait for a big one at the end.
func (d *Debian) prepare(ctx context.Context, c *Closure, parcels []*parcel, watch exec.Watch) error {
	var total int64
	for _, p := range parcels {
		total += p.Size
	}
	got := progress(watch, "debian "+c.Suite+": packages", total)
	order := slices.Clone(parcels)
	slices.SortStableFunc(order, func(a, b *parcel) int { return int(b.Size - a.Size) })
	cpus := semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(archive.Downloads + runtime.GOMAXPROCS(0))
	for _, p := range order {
		g.Go(func() error {
			var err error
			if p.deb, err = d.FetchPackage(ctx, c.Sources, p.Package, got); err != nil {
				return err
			}
			if err := cpus.Acquire(ctx, 1); err != nil {
				return err
			}
			defer cpus.Release(1)
			if err := decompressData(p.deb, p.data); err != nil {
				return err
			}
			close(p.ready)
			return nil
		})
	}
	return g.Wait()
}

// progress reports bytes as they come, some times a second.
func progress(watch exec.Watch, what string, total int64) func(n int64) {
	step(watch, what, 0, total)
	var done atomic.Int64
	var mu sync.Mutex
	last := time.Now()
	return func(n int64) {
		sum := done.Add(n)
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) > 100*time.Millisecond || sum == total {
			last = time.Now()
			step(watch, what, sum, total)
		}
	}
}

// decompressData writes a .deb's data archive to a file, plain.
func decompressData(deb, name string) error {
	return readMember(deb, "data.tar", func(r io.Reader) error {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		n, err := io.Copy(f, io.LimitReader(r, maxData))
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(deb), err)
		}
		if n == maxData {
			return fmt.Errorf("%s: its data is bigger than %d bytes", filepath.Base(deb), int64(maxData))
		}
		return nil
	})
}

// merge adds the parcels to the tree. base-files comes first, since it has the owners and modes of
// directories; the others follow by name.
func merge(ctx context.Context, t *tree, db *database, parcels []*parcel) error {
	order := slices.Clone(parcels)
	slices.SortStableFunc(order, func(a, b *parcel) int { return rank(a) - rank(b) })
	for _, p := range order {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ready:
		}
		if err := mergePackage(t, db, p); err != nil {
			return fmt.Errorf("package %s: %w", p.Name, err)
		}
		os.Remove(p.data)
	}
	return nil
}

func rank(p *parcel) int {
	if p.Name == "base-files" {
		return 0
	}
	return 1
}

func mergePackage(t *tree, db *database, p *parcel) error {
	rec, err := newRecord(p.deb, p.Package)
	if err != nil {
		return err
	}
	f, err := os.Open(p.data)
	if err != nil {
		return err
	}
	defer f.Close()
	tr := tar.NewReader(f)
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := mergeEntry(t, rec, p.Name, hdr, tr); err != nil {
			return err
		}
	}
	return db.add(rec)
}

// accounts are base-passwd's masters, with the places where its preinst would have put them.
// Packages that are configured before base-passwd need the names.
var accounts = map[string]string{
	"usr/share/base-passwd/passwd.master": "etc/passwd",
	"usr/share/base-passwd/group.master":  "etc/group",
}

func mergeEntry(t *tree, rec *record, pkg string, hdr *tar.Header, content io.Reader) error {
	content, done := rec.note(hdr, content)
	if target := accounts[strings.TrimPrefix(hdr.Name, "./")]; target != "" && pkg == "base-passwd" {
		data, err := io.ReadAll(io.LimitReader(content, 1<<20))
		if err != nil {
			return err
		}
		if err := t.file(target, 0o644, data); err != nil {
			return err
		}
		content = bytes.NewReader(data)
	}
	if err := t.add(pkg, hdr, content); err != nil {
		return err
	}
	done()
	return nil
}
