package archive

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
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
	"github.com/flytestar/flytestar/exec/image/debian/control"
)

// maxIndex bounds an uncompressed package index, in bytes. That of sid has 60 MB.
const maxIndex = 1 << 30

// Suite is what the sources of one suite have for one architecture. It parses stanzas when they are
// asked for: a base needs 200 of 63,000.
type Suite struct {
	Codename string
	Arch     string
	Date     time.Time // of the suite's own Release
	Sources  []Source  // with codenames for suites
	byName   map[string][]stanza
	provided map[string][]string // virtual name to packages
	core     []string            // Essential, or of Priority required
}

// stanza is a package's paragraph in an index, unparsed.
type stanza struct {
	text   string
	source int // in Suite.Sources
}

// Candidate is a package with what it needs and excludes.
type Candidate struct {
	Package
	Core      bool                 // Essential, or of Priority required
	Depends   [][]control.Relation // Pre-Depends too
	Conflicts [][]control.Relation // Breaks too
	Provides  [][]control.Relation
}

// NewSuite returns a suite without packages.
func NewSuite(arch string, sources []Source) *Suite {
	return &Suite{Arch: arch, Sources: slices.Clone(sources), byName: map[string][]stanza{}, provided: map[string][]string{}}
}

// Suite returns a suite for an architecture. The first call reads its indices. An empty name means
// this machine's own suite if the sources have it, else their newest.
func (m *Mirror) Suite(ctx context.Context, name, arch string, watch exec.Watch) (*Suite, error) {
	if name == "" {
		var err error
		if name, err = m.defaultSuite(ctx); err != nil {
			return nil, err
		}
	}
	sources, err := m.Sources.forSuite(name)
	if err != nil {
		return nil, err
	}
	return m.shelf(sources[0].Suite + " " + arch).take(func() (*Suite, error) {
		step(watch, "debian "+sources[0].Suite+": package index", 0)
		return m.readSuite(ctx, sources, arch)
	})
}

// shelf has a suite once that was read. Whoever wants it while it is read waits.
type shelf struct {
	mu    sync.Mutex
	suite *Suite
}

func (m *Mirror) shelf(key string) *shelf {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shelves == nil {
		m.shelves = map[string]*shelf{}
	}
	if m.shelves[key] == nil {
		m.shelves[key] = &shelf{}
	}
	return m.shelves[key]
}

func (s *shelf) take(read func() (*Suite, error)) (*Suite, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.suite != nil {
		return s.suite, nil
	}
	a, err := read()
	if err == nil {
		s.suite = a
	}
	return a, err
}

// readSuite reads the indices of all sources at once.
func (m *Mirror) readSuite(ctx context.Context, sources []Source, arch string) (*Suite, error) {
	a := NewSuite(arch, sources)
	scans := make([]*scan, len(sources))
	g, gctx := errgroup.WithContext(ctx)
	for i, src := range sources {
		g.Go(func() error {
			r, err := m.release(gctx, src)
			if err != nil {
				return err
			}
			if !strings.Contains(src.Suite, "/") {
				a.Sources[i].Suite = r.codename
			}
			if i == 0 {
				a.Codename, a.Date = r.codename, r.date
			}
			scans[i], err = m.scanRelease(gctx, r, arch, i)
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

// Core lists the packages that are Essential or of Priority required, by name.
func (a *Suite) Core() []string {
	core := slices.Clone(a.core)
	slices.Sort(core)
	return slices.Compact(core)
}

// Providers lists the packages that provide a name, sorted by their own names.
func (a *Suite) Providers(name string) []string {
	providers := slices.Clone(a.provided[name])
	slices.Sort(providers)
	return providers
}

// Names lists all packages, in no order.
func (a *Suite) Names() []string { return slices.Collect(maps.Keys(a.byName)) }

// Add adds the packages of an index. source is the index's source, by number in Sources.
func (a *Suite) Add(source int, index string) {
	s := &scan{source: source}
	s.add(index)
	a.merge(s)
}

func (a *Suite) merge(s *scan) {
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
func (m *Mirror) scanRelease(ctx context.Context, r *release, arch string, source int) (*scan, error) {
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
		cached, err := m.fetchFile(ctx, r.source, r.indexPath(name, file), file.sha256, file.size, func(int64) {})
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
	r, err := Decompress(f, ext)
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

// Decompress decompresses r as the extension of its file's name says; "" and ".tar" are plain.
func Decompress(r io.Reader, ext string) (io.ReadCloser, error) {
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

// scan is a first, quick pass over an index: it reads only names.
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

// add splits an index into its stanzas. It leaves out stanzas without a valid name.
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
		if control.ValidName(f.name) {
			s.found = append(s.found, f)
		}
		text = strings.TrimLeft(text[end:], "\n")
	}
}

// line takes up a field if it is one of the four that a scan needs.
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

// Candidate returns the newest version of a package, or nil if there is none.
func (a *Suite) Candidate(name string) (*Candidate, error) {
	var best *Candidate
	for _, s := range a.byName[name] {
		c, err := a.parse(s)
		if err != nil {
			return nil, errorf(diag.System, "%s %s: the index entry of %s: %w", a.Sources[s.source].URI, a.Sources[s.source].Suite, name, err)
		}
		if c.Arch != "all" && c.Arch != a.Arch {
			continue
		}
		if best == nil {
			best = c
			continue
		}
		order, err := control.CompareVersions(c.Version, best.Version)
		if err != nil {
			return nil, errorf(diag.System, "%s: %w", name, err)
		}
		if order > 0 {
			best = c
		}
	}
	return best, nil
}

// parse parses a stanza. It refuses one with a path or hash that can't be used.
func (a *Suite) parse(s stanza) (*Candidate, error) {
	paragraphs, err := control.Parse([]byte(s.text))
	if err != nil {
		return nil, err
	}
	p := paragraphs[0]
	c := &Candidate{
		Package: Package{
			Name: p.Get("Package"), Version: p.Get("Version"), Arch: p.Get("Architecture"),
			Suite: a.Sources[s.source].Suite, Filename: p.Get("Filename"), SHA256: p.Get("SHA256"),
		},
		Core: p.Get("Essential") == "yes" || p.Get("Priority") == "required",
	}
	if c.Size, err = strconv.ParseInt(p.Get("Size"), 10, 64); err != nil {
		return nil, err
	}
	if err := c.Package.Check(); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		to   *[][]control.Relation
	}{{"Pre-Depends", &c.Depends}, {"Depends", &c.Depends}, {"Conflicts", &c.Conflicts}, {"Breaks", &c.Conflicts}, {"Provides", &c.Provides}} {
		groups, err := control.ParseRelations(p.Get(f.name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		*f.to = append(*f.to, groups...)
	}
	return c, nil
}
