package debian

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/sync/errgroup"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
)

// maxIndex bounds an uncompressed package index; sid's has 60 MB.
const maxIndex = 1 << 30

// archive is what the sources of one suite have for one architecture. Its
// stanzas are parsed when they are asked for: a closure needs 200 of 63,000.
type archive struct {
	codename string
	arch     string
	date     time.Time // of the suite's own Release
	sources  []Source  // with codenames for suites
	byName   map[string][]stanza
	provided map[string][]string // virtual name to packages
	core     []string            // Essential, or of Priority required
}

// stanza is a package's paragraph in an index, unparsed.
type stanza struct {
	text   string
	source int // in archive.sources
}

// candidate is a package that could be in a closure.
type candidate struct {
	Package
	core      bool
	depends   [][]relation // Pre-Depends too
	conflicts [][]relation // Breaks too
	provides  [][]relation
}

// archive returns the archive of a suite, reading its indices the first time.
func (d *Debian) archive(ctx context.Context, suite, arch string, watch exec.Watch) (*archive, error) {
	if suite == "" {
		var err error
		if suite, err = d.defaultSuite(ctx); err != nil {
			return nil, err
		}
	}
	sources, err := d.Sources.forSuite(suite)
	if err != nil {
		return nil, err
	}
	return d.shelf(sources[0].Suite + " " + arch).take(func() (*archive, error) {
		step(watch, "debian "+sources[0].Suite+": package index", 0, 0)
		return d.readArchive(ctx, sources, arch)
	})
}

// shelf has an archive once it was read; who wants it meanwhile waits.
type shelf struct {
	mu      sync.Mutex
	archive *archive
}

func (d *Debian) shelf(key string) *shelf {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shelves == nil {
		d.shelves = map[string]*shelf{}
	}
	if d.shelves[key] == nil {
		d.shelves[key] = &shelf{}
	}
	return d.shelves[key]
}

func (s *shelf) take(read func() (*archive, error)) (*archive, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.archive != nil {
		return s.archive, nil
	}
	a, err := read()
	if err == nil {
		s.archive = a
	}
	return a, err
}

// readArchive reads the indices of all sources at once.
func (d *Debian) readArchive(ctx context.Context, sources []Source, arch string) (*archive, error) {
	a := &archive{arch: arch, sources: slices.Clone(sources), byName: map[string][]stanza{}, provided: map[string][]string{}}
	scans := make([]*scan, len(sources))
	g, gctx := errgroup.WithContext(ctx)
	for i, src := range sources {
		g.Go(func() error {
			r, err := d.release(gctx, src)
			if err != nil {
				return err
			}
			if !strings.Contains(src.Suite, "/") {
				a.sources[i].Suite = r.codename
			}
			if i == 0 {
				a.codename, a.date = r.codename, r.date
			}
			scans[i], err = d.scanRelease(gctx, r, arch, i)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, s := range scans {
		a.merge(s)
	}
	return a, nil
}

func (a *archive) merge(s *scan) {
	for _, f := range s.found {
		a.byName[f.name] = append(a.byName[f.name], f.stanza)
		if f.core {
			a.core = append(a.core, f.name)
		}
		for _, virtual := range f.provides {
			if !slices.Contains(a.provided[virtual], f.name) {
				a.provided[virtual] = append(a.provided[virtual], f.name)
			}
		}
	}
}

// scanRelease reads the indices that r has for arch.
func (d *Debian) scanRelease(ctx context.Context, r *release, arch string, source int) (*scan, error) {
	s := &scan{source: source}
	arches := []string{arch}
	if !r.allInArch {
		arches = append(arches, "all")
	}
	for _, arch := range arches {
		name, file, err := r.index(arch)
		if err != nil {
			return nil, err
		}
		cached, err := d.fetchFile(ctx, r.source, r.indexPath(name, file), file.sha256, file.size, func(int64) {})
		if err != nil {
			return nil, err
		}
		text, err := readCompressed(cached, path.Ext(name), maxIndex)
		if err != nil {
			return nil, errorf(diag.System, "%s %s: %s: %w", r.source.URI, r.source.Suite, name, err)
		}
		s.add(text)
	}
	return s, nil
}

// readCompressed returns the content of a compressed file.
func readCompressed(name, ext string, limit int64) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	r, err := decompress(f, ext)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var b strings.Builder
	if info, err := f.Stat(); err == nil {
		b.Grow(int(min(6*info.Size(), limit))) // indices shrink to a fifth
	}
	if n, err := io.Copy(&b, io.LimitReader(r, limit+1)); err != nil || n > limit {
		return "", fmt.Errorf("decompress: too big, or broken: %v", err)
	}
	return b.String(), nil
}

// decompress reads r by a file name's extension; "" and ".tar" are plain.
func decompress(r io.Reader, ext string) (io.ReadCloser, error) {
	r = bufio.NewReaderSize(r, 256<<10) // xz reads single bytes
	switch ext {
	case "", ".tar":
		return io.NopCloser(r), nil
	case ".gz":
		return gzip.NewReader(r)
	case ".xz":
		z, err := xz.NewReader(r)
		return io.NopCloser(z), err
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("unknown compression %q", ext)
}

// scan is the first, quick pass over an index: names only.
type scan struct {
	source int
	found  []found
}

type found struct {
	stanza
	name     string
	core     bool
	provides []string // virtual names
}

// add splits an index into its stanzas. Stanzas without a valid name are left out.
func (s *scan) add(text string) {
	for text != "" {
		end := strings.Index(text, "\n\n")
		if end < 0 {
			end = len(text)
		}
		f := found{stanza: stanza{text[:end], s.source}}
		for rest := f.text; rest != ""; {
			var line string
			line, rest, _ = strings.Cut(rest, "\n")
			f.line(line)
		}
		if validName(f.name) {
			s.found = append(s.found, f)
		}
		text = strings.TrimLeft(text[end:], "\n")
	}
}

// line notes what a field says, if it is one of the four that a scan needs.
func (f *found) line(line string) {
	if line == "" || (line[0] != 'P' && line[0] != 'E') {
		return
	}
	switch name, value, _ := strings.Cut(line, ": "); name {
	case "Package":
		f.name = value
	case "Essential":
		f.core = f.core || value == "yes"
	case "Priority":
		f.core = f.core || value == "required"
	case "Provides":
		for _, p := range strings.Split(value, ",") {
			p, _, _ = strings.Cut(strings.TrimSpace(p), " ")
			f.provides = append(f.provides, p)
		}
	}
}

// candidate returns the newest version of a package, or nil if there is none.
func (a *archive) candidate(name string) (*candidate, error) {
	var best *candidate
	for _, s := range a.byName[name] {
		c, err := a.parse(s)
		if err != nil {
			return nil, errorf(diag.System, "%s %s: the index entry of %s: %w", a.sources[s.source].URI, a.sources[s.source].Suite, name, err)
		}
		if c.Arch != "all" && c.Arch != a.arch {
			continue
		}
		if best == nil {
			best = c
			continue
		}
		order, err := compareVersions(c.Version, best.Version)
		if err != nil {
			return nil, errorf(diag.System, "%s: %w", name, err)
		}
		if order > 0 {
			best = c
		}
	}
	return best, nil
}

// parse parses a stanza, and refuses one with a path or hash that can't be used.
func (a *archive) parse(s stanza) (*candidate, error) {
	paragraphs, err := parseControl([]byte(s.text))
	if err != nil {
		return nil, err
	}
	p := paragraphs[0]
	c := &candidate{
		Package: Package{
			Name: p.get("Package"), Version: p.get("Version"), Arch: p.get("Architecture"),
			Suite: a.sources[s.source].Suite, Filename: p.get("Filename"), SHA256: p.get("SHA256"),
		},
		core: p.get("Essential") == "yes" || p.get("Priority") == "required",
	}
	if c.Size, err = strconv.ParseInt(p.get("Size"), 10, 64); err != nil {
		return nil, err
	}
	if err := c.Package.check(); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		to   *[][]relation
	}{{"Pre-Depends", &c.depends}, {"Depends", &c.depends}, {"Conflicts", &c.conflicts}, {"Breaks", &c.conflicts}, {"Provides", &c.provides}} {
		groups, err := parseRelations(p.get(f.name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		*f.to = append(*f.to, groups...)
	}
	return c, nil
}

// check refuses what can't be a package: its fields become paths and URLs.
func (p Package) check() error {
	switch {
	case !validName(p.Name):
		return fmt.Errorf("%.60q is no package name", p.Name)
	case p.Version == "" || strings.ContainsAny(p.Version, " \n/"):
		return fmt.Errorf("%.60q is no version", p.Version)
	case !validName(p.Arch):
		return fmt.Errorf("%.60q is no architecture", p.Arch)
	case p.Filename == "" || path.Clean("/"+p.Filename) != "/"+strings.TrimPrefix(p.Filename, "./"):
		return fmt.Errorf("%.200q is no path in an archive", p.Filename)
	case !isSHA256(p.SHA256) || p.Size <= 0:
		return fmt.Errorf("%s has no valid SHA256 and size", p.Name)
	}
	return nil
}
