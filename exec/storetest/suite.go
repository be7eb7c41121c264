package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// Run is the suite that every Store passes. open returns a store that is empty.
func Run(t *testing.T, open func(t *testing.T) exec.Store) {
	for _, tt := range []struct {
		name string
		run  func(*testing.T, exec.Store)
	}{
		{"File", file},
		{"Dir", dir},
		{"Links", links},
		{"Known", known},
		{"Executable", executable},
		{"Names", oddNames},
		{"Refused", refused},
		{"Missing", missing},
		{"Forged", forged},
		{"Cancelled", cancelled},
		{"ReaderFails", readerFails},
		{"Concurrent", concurrent},
		{"Large", large},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

// digests of what the suite keeps. They are the same in every store, for ever.
const (
	emptyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of nothing, and so of an empty Dir
	helloDigest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	treeDigest  = "sha256:8176b80f42d3746899e431f26917638646e2eace81a8e1bbf1a83d8619a4da33"
)

// tree is a Dir that has something of everything, in no order.
func tree() []exec.Entry {
	return []exec.Entry{
		File("b/data", "hello"), Program("b/run", "hello"), Directory("empty/deeper"), File("a", ""), File("b-c", "2"),
		File("<&>\u2028\x01\"\\", "odd"), Directory("b"), File("é", "composed"), File("e\u0301", "decomposed"),
	}
}

// listing is what tree comes to, in the order of a manifest.
func listing() []exec.Member {
	digest := func(content string) plan.Digest {
		return plan.DigestOf([]byte(content))
	}
	return []exec.Member{
		{Path: "<&>\u2028\x01\"\\", Digest: digest("odd"), Size: 3},
		{Path: "a", Digest: emptyDigest},
		{Path: "b", Dir: true},
		{Path: "b-c", Digest: digest("2"), Size: 1},
		{Path: "b/data", Digest: helloDigest, Size: 5},
		{Path: "b/run", Executable: true, Digest: helloDigest, Size: 5},
		{Path: "empty", Dir: true},
		{Path: "empty/deeper", Dir: true},
		{Path: "e\u0301", Digest: digest("decomposed"), Size: 10},
		{Path: "é", Digest: digest("composed"), Size: 8},
	}
}

func file(t *testing.T, s exec.Store) {
	for content, want := range map[string]plan.File{
		"":      {Name: "empty", Digest: emptyDigest},
		"hello": {Name: "a b.txt", Digest: helloDigest, Size: 5},
	} {
		for range 2 { // the second time it is there
			if got := put(t, s, want.Name, content); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		want.Name = "another name"
		if got := read(t, s, want); got != content {
			t.Errorf("read %q, want %q", got, content)
		}
	}
}

func dir(t *testing.T, s exec.Store) {
	d := putDir(t, s, tree())
	if d.Name != "dir" || d.Size != 32 {
		t.Errorf("got %+v", d)
	}
	if diff := cmp.Diff(listing(), list(t, s, d)); diff != "" {
		t.Errorf("want, got: %s", diff)
	}
	for _, m := range list(t, s, d) {
		if !m.Dir {
			if got := read(t, s, m.File()); int64(len(got)) != m.Size {
				t.Errorf("%s: read %q", m.Path, got)
			}
		}
	}
	empty := putDir(t, s, nil)
	if want := (plan.Dir{Name: "dir", Digest: emptyDigest}); empty != want || len(list(t, s, empty)) != 0 {
		t.Errorf("empty: got %+v, want %+v", empty, want)
	}
	for range s.List(t.Context(), d) {
		break // whoever has seen enough may stop
	}
}

// known: a Dir's digest is that of its tree, in whatever store and order.
func known(t *testing.T, s exec.Store) {
	entries := tree()
	for i := range entries {
		if d := putDir(t, s, append(entries[i:len(entries):len(entries)], entries[:i]...)); d.Digest != treeDigest {
			t.Errorf("in another order: got %s, want %s", d.Digest, treeDigest)
		}
	}
	if d := putDir(t, s, append(entries, Directory("empty"), Directory("b"))); d.Digest != treeDigest {
		t.Errorf("with directories that needn't be there: got %s, want %s", d.Digest, treeDigest)
	}
	if d := putDir(t, s, append(entries, Directory("b/new"))); d.Digest == treeDigest {
		t.Error("an empty directory doesn't count")
	}
}

// executable: the bit is kept, counts, and doesn't keep a file from being opened.
func executable(t *testing.T, s exec.Store) {
	plain, program := putDir(t, s, []exec.Entry{File("x", "#!")}), putDir(t, s, []exec.Entry{Program("x", "#!")})
	if plain.Digest == program.Digest {
		t.Error("the executable bit doesn't count")
	}
	if m := list(t, s, plain); len(m) != 1 || m[0].Executable {
		t.Errorf("got %+v", m)
	}
	only := putDir(t, s, []exec.Entry{Program("y", "only as a program")})
	m := list(t, s, only)
	if len(m) != 1 || !m[0].Executable || read(t, s, m[0].File()) != "only as a program" {
		t.Errorf("got %+v", m)
	}
}

func oddNames(t *testing.T, s exec.Store) {
	for _, name := range []string{
		" ", "with space", "new\nline", "tab\t", "-rf", "--", "~", ".hidden", "...", "back\\slash", "c:", "a*?[b]", "%2e%2e", "é", "e\u0301", "\u202e",
		"CON", "\x7f", strings.Repeat("x", 255), strings.Repeat("é", 127),
	} {
		if got := put(t, s, name, "x").Name; got != name {
			t.Errorf("file %q is named %q", name, got)
		}
		entries := []exec.Entry{File(name, "1"), Program("in/"+name, "22"), Directory("deep/" + name)}
		got := map[string]string{}
		for _, m := range list(t, s, putDir(t, s, entries)) {
			got[m.Path] = fmt.Sprint(m.Dir, m.Executable, m.Size)
		}
		want := map[string]string{
			name: "false false 1", "in": "true false 0", "in/" + name: "false true 2", "deep": "true false 0", "deep/" + name: "true false 0",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: want, got: %s", name, diff)
		}
	}
}

// refused: a tree or name that can't be kept is an error before anything is read.
func refused(t *testing.T, s exec.Store) {
	for _, name := range []string{"", ".", "..", "a/b", "/", "a\x00", "\xff", strings.Repeat("x", 256)} {
		r := &unread{t: t}
		if f, err := s.PutFile(t.Context(), name, r); err == nil {
			t.Errorf("a file named %q is kept: %+v", name, f)
		}
		if d, err := s.PutDir(t.Context(), name, []exec.Entry{r.entry("x")}); err == nil {
			t.Errorf("a directory named %q is kept: %+v", name, d)
		}
	}
	r := &unread{t: t}
	for _, paths := range []string{
		"", ".", "..", "../x", "a/../../x", "a/..", "a/../b", "/x", "a//b", "./a", "a/", "a\x00", "\xff", "a/\xc3(/b", strings.Repeat("x", 256),
		strings.Repeat("a/", 2048) + "a", "a|a", "a|a/b", "a/b|a", "a|a/b/c", "a/b/c|x|a/b", "a|a:dir", "a:dir|a", "a/b|a/b",
	} {
		var entries []exec.Entry
		for p := range strings.SplitSeq(paths, "|") {
			if d, ok := strings.CutSuffix(p, ":dir"); ok {
				entries = append(entries, Directory(d))
			} else {
				entries = append(entries, r.entry(p))
			}
		}
		if d, err := s.PutDir(t.Context(), "d", entries); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the tree %q: got %+v, %v", paths, d, err)
		}
	}
	if _, err := s.PutDir(t.Context(), "d", []exec.Entry{Directory("../x")}); err == nil {
		t.Error("a directory outside is kept")
	}
	for _, l := range []exec.Entry{Link("l", "../x"), Link("l", "/etc"), Link("l", "nothing"), Link("l", "l"), Link("x/l", "../../x"), Link("", "x")} {
		if d, err := s.PutDir(t.Context(), "d", []exec.Entry{r.entry("x/y"), l}); err == nil {
			t.Errorf("a link from %s to %s: got %+v", l.Path, l.Link, d)
		}
	}
}

// links: those that stay within a Dir are kept, as they are written.
func links(t *testing.T, s exec.Store) {
	d := putDir(t, s, []exec.Entry{File("v1/a", "hello"), Link("latest", "v1/a"), Link("v1/up", "../latest"), Link("dir", "v1")})
	want := []exec.Member{
		{Path: "dir", Link: "v1"}, {Path: "latest", Link: "v1/a"}, {Path: "v1", Dir: true},
		{Path: "v1/a", Digest: helloDigest, Size: 5}, {Path: "v1/up", Link: "../latest"},
	}
	if diff := cmp.Diff(want, list(t, s, d)); diff != "" || d.Size != 5 {
		t.Errorf("size %d; want, got: %s", d.Size, diff)
	}
}

// unread fails the test if it is opened or read.
type unread struct{ t *testing.T }

func (u *unread) Read([]byte) (int, error) {
	u.t.Error("what must be refused is read")
	return 0, io.EOF
}

func (u *unread) entry(path string) exec.Entry {
	return exec.Entry{Path: path, Open: func() (io.ReadCloser, error) {
		u.t.Errorf("%q is opened, though the tree must be refused", path)
		return nil, errors.New("refuse this tree")
	}}
}

// missing: what isn't there is fs.ErrNotExist, and what isn't a digest is another error.
func missing(t *testing.T, s exec.Store) {
	put(t, s, "x", "x")
	gone := plan.Digest("sha256:" + strings.Repeat("a", 64))
	if err := openError(t.Context(), s, plan.File{Name: "x", Digest: gone}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening what isn't there: %v", err)
	}
	if err := listError(t.Context(), s, plan.Dir{Name: "x", Digest: gone}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("listing what isn't there: %v", err)
	}
	for _, digest := range []plan.Digest{
		"", "sha256:", "sha256:../../../../etc/passwd", gone + "a", gone[len("sha256:"):],
		plan.Digest("sha256:" + strings.Repeat("A", 64)), plan.Digest("sha512:" + strings.Repeat("a", 64)),
	} {
		if err := openError(t.Context(), s, plan.File{Name: "x", Digest: digest}); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opening %q: %v; want it refused", digest, err)
		}
		if err := listError(t.Context(), s, plan.Dir{Name: "x", Digest: digest}); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("listing %q: %v; want it refused", digest, err)
		}
	}
}

// forged: an artifact of another size than the store has isn't read without an error.
func forged(t *testing.T, s exec.Store) {
	f := put(t, s, "x", "hello")
	d := putDir(t, s, tree())
	for _, by := range []int64{-1, 1} {
		other := f
		other.Size += by
		if err := openError(t.Context(), s, other); err == nil {
			t.Errorf("a file of %d bytes is read as one of %d", f.Size, other.Size)
		}
		wrong := d
		wrong.Size += by
		if err := listError(t.Context(), s, wrong); err == nil {
			t.Errorf("a directory of %d bytes is read as one of %d", d.Size, wrong.Size)
		}
	}
}

// cancelled: each method returns the context's error, and what wasn't finished isn't there.
func cancelled(t *testing.T, s exec.Store) {
	kept, d := put(t, s, "x", "kept"), putDir(t, s, tree())
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Open(ctx, kept)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = s.PutFile(ctx, "x", io.MultiReader(strings.NewReader("half"), readerFunc(func(p []byte) (int, error) {
		cancel()
		return copy(p, "more"), nil // it would never end
	})))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while a file is put: %v", err)
	}
	if data, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("reading after cancellation: %q, %v", data, err)
	}
	if f, err := s.PutFile(ctx, "x", strings.NewReader("new")); !errors.Is(err, context.Canceled) {
		t.Errorf("putting a file after cancellation: %+v, %v", f, err)
	}
	if d, err := s.PutDir(ctx, "x", []exec.Entry{File("x", "new")}); !errors.Is(err, context.Canceled) {
		t.Errorf("putting a directory after cancellation: %+v, %v", d, err)
	}
	if err := openError(ctx, s, kept); !errors.Is(err, context.Canceled) {
		t.Errorf("opening after cancellation: %v", err)
	}
	if err := listError(ctx, s, d); !errors.Is(err, context.Canceled) {
		t.Errorf("listing after cancellation: %v", err)
	}
	absent(t, s, "half", "halfmore", "new")
}

// readerFails: the store has nothing of what it couldn't read to its end.
func readerFails(t *testing.T, s exec.Store) {
	broken := errors.New("the disk is broken")
	half := func() io.Reader {
		return io.MultiReader(strings.NewReader("half"), readerFunc(func([]byte) (int, error) { return 0, broken }))
	}
	if f, err := s.PutFile(t.Context(), "x", half()); !errors.Is(err, broken) {
		t.Errorf("putting a file: %+v, %v", f, err)
	}
	for name, open := range map[string]func() (io.ReadCloser, error){
		"reading": func() (io.ReadCloser, error) { return io.NopCloser(half()), nil },
		"opening": func() (io.ReadCloser, error) { return nil, broken },
	} {
		tree := []exec.Entry{File("a", "whole"), {Path: "b", Open: open}, File("c", "never read")}
		if d, err := s.PutDir(t.Context(), "x", tree); !errors.Is(err, broken) {
			t.Errorf("%s fails: %+v, %v", name, d, err)
		}
	}
	absent(t, s, "half", "never read")
	if got := read(t, s, put(t, s, "x", "half")); got != "half" {
		t.Errorf("afterwards: read %q", got)
	}
}

// absent fails if the store has a file of one of these contents.
func absent(t *testing.T, s exec.Store, contents ...string) {
	t.Helper()
	for _, content := range contents {
		f := plan.File{Name: "x", Digest: plan.DigestOf([]byte(content)), Size: int64(len(content))}
		if err := openError(t.Context(), s, f); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the store has %q, or another error: %v", content, err)
		}
	}
}

// concurrent: the same content comes from many at once, and is whole for whoever has put it.
func concurrent(t *testing.T, s exec.Store) {
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			content := strings.Repeat(fmt.Sprint(i%4), 100_000)
			f, err := s.PutFile(t.Context(), "f", strings.NewReader(content))
			if err != nil {
				t.Error(err)
				return
			}
			d, err := s.PutDir(t.Context(), "d", []exec.Entry{File("a/same", "same"), Program("b", content)})
			if err != nil {
				t.Error(err)
				return
			}
			var got []string
			for m, err := range s.List(t.Context(), d) {
				if err != nil {
					t.Error(err)
				}
				got = append(got, m.Path)
			}
			if strings.Join(got, " ") != "a a/same b" {
				t.Errorf("listed %q", got)
			}
			if data, err := readAll(t.Context(), s, f); err != nil || string(data) != content {
				t.Errorf("read %d bytes, %v", len(data), err)
			}
		})
	}
	wg.Wait()
}

// large: a file larger than a store may hold in memory goes through it, in and out.
func large(t *testing.T, s exec.Store) {
	if _, ok := s.(*Memory); ok {
		t.Skip("this store keeps everything in memory")
	}
	const size, most = 192 << 20, 48 << 20
	m := newMeter()
	f, err := s.PutFile(t.Context(), "large", m.watch(io.LimitReader(sparse{}, size)))
	if err != nil || f.Size != size {
		t.Fatalf("got %+v, %v", f, err)
	}
	r, err := s.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, m.watch(r)); err != nil || n != size {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if m.most > most {
		t.Errorf("%d bytes of memory for a file of %d", m.most, size)
	}
}

// sparse is an endless stream of zeros, with a one now and then.
type sparse struct{}

func (sparse) Read(p []byte) (int, error) {
	clear(p)
	if len(p) > 0 {
		p[0] = 1
	}
	return len(p), nil
}

// meter measures how much the heap has grown at most while readers are read.
type meter struct {
	before, most uint64
	count        int64
}

func newMeter() *meter {
	runtime.GC()
	return &meter{before: heap()}
}

// watch returns a reader of r that measures every 4 MiB.
func (m *meter) watch(r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		if before := m.count; (before+int64(n))>>22 > before>>22 {
			m.most = max(m.most, heap()-min(heap(), m.before))
		}
		m.count += int64(n)
		return n, err
	})
}

func heap() uint64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// put keeps a file that must be kept.
func put(t *testing.T, s exec.Store, name, content string) plan.File {
	t.Helper()
	f, err := s.PutFile(t.Context(), name, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// putDir keeps a tree that must be kept.
func putDir(t *testing.T, s exec.Store, tree []exec.Entry) plan.Dir {
	t.Helper()
	d, err := s.PutDir(t.Context(), "dir", tree)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// read returns the content of a file that the store must have.
func read(t *testing.T, s exec.Store, f plan.File) string {
	t.Helper()
	data, err := readAll(t.Context(), s, f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func readAll(ctx context.Context, s exec.Store, f plan.File) ([]byte, error) {
	r, err := s.Open(ctx, f)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = io.Copy(&b, r)
	return b.Bytes(), errors.Join(err, r.Close())
}

// openError is the error of opening a file and reading it to its end.
func openError(ctx context.Context, s exec.Store, f plan.File) error {
	_, err := readAll(ctx, s, f)
	return err
}

// list returns the members of a Dir that the store must have.
func list(t *testing.T, s exec.Store, d plan.Dir) []exec.Member {
	t.Helper()
	var members []exec.Member
	for m, err := range s.List(t.Context(), d) {
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, m)
	}
	return members
}

// listError is the error of listing a Dir to its end.
func listError(ctx context.Context, s exec.Store, d plan.Dir) error {
	for _, err := range s.List(ctx, d) {
		if err != nil {
			return err
		}
	}
	return nil
}
