package compiled

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/flytestar/flytestar/internal/durable"
)

// directory holds the entries: each is a file that has a line, a checksum and the content. Whoever
// can write there can make a module mean something else, so only its owner may.
type directory struct {
	root   *os.Root
	notice func(text string)
}

// Bounds of the directory. The entries that were unused for longest go first.
const (
	maxEntries = 500
	maxCached  = 256 << 20 // bytes
	maxEntry   = 32 << 20  // bytes
)

// header is an entry's first line.
const header = "flytestar module\n"

// touched is how far behind an entry's time of use may be.
const touched = time.Hour

// openDirectory opens a directory and makes it if it doesn't exist. notice is told what goes wrong
// later; modules load all the same.
func openDirectory(dir string, notice func(string)) (*directory, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil {
		err = private(info)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return &directory{root, notice}, nil
}

// private returns an error if anybody but this process's user has access.
func private(info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
		return errors.New("it belongs to another user")
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("others have access to it (its mode is %#o; make it 0700)", mode)
	}
	return nil
}

// key identifies an entry: a digest of everything that decides its content.
type key [sha256.Size]byte

func (k key) file() string { return hex.EncodeToString(k[:]) }

// checksum covers the content and the key, so that one entry can't stand for another.
func (k key) checksum(module []byte) []byte {
	h := sha256.New()
	h.Write(k[:])
	h.Write(module)
	return h.Sum(nil)
}

// get returns an entry's content, or nil if there is no such entry. It removes a damaged one.
func (d *directory) get(k key) []byte {
	data, err := d.read(k.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		head, module := data[:min(len(data), len(header))], []byte(nil)
		if string(head) == header && len(data) >= len(header)+sha256.Size {
			module = data[len(header)+sha256.Size:]
			if bytes.Equal(k.checksum(module), data[len(header):len(header)+sha256.Size]) {
				return module
			}
		}
		err = errors.New("it is damaged")
	}
	if e := d.root.Remove(k.file()); e != nil {
		err = fmt.Errorf("%w, and can't be removed: %w", err, e)
	}
	d.notice(fmt.Sprintf("a compiled module isn't used: %v", err))
	return nil
}

// read returns what an entry's file has, and notes that it was used.
func (d *directory) read(name string) ([]byte, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxEntry {
		return nil, errors.New("it isn't a file of a compiled module's size")
	}
	if err := private(info); err != nil {
		return nil, err
	}
	if now := time.Now(); now.Sub(info.ModTime()) > touched {
		// If this fails, the entry goes earlier than it should.
		_ = d.root.Chtimes(name, now, now)
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}

// put keeps content, unless it is too large.
func (d *directory) put(k key, module []byte) error {
	data := slices.Concat([]byte(header), k.checksum(module), module)
	if len(data) > maxEntry {
		return nil
	}
	f, err := durable.CreateIn(d.root, ".")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Replace(k.file(), 0o600) // its checksum tells if a crash damages it
	}
	return errors.Join(err, f.Close())
}

// prune removes what killed processes left behind, and what exceeds the bounds.
func (d *directory) prune() error {
	if _, err := durable.SweepFiles(d.root.Name()); err != nil {
		return err
	}
	dir, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	files, err := dir.Readdir(-1)
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return cmp.Compare(b.ModTime().UnixNano(), a.ModTime().UnixNano()) })
	entries, size := 0, int64(0)
	for _, f := range files {
		if len(f.Name()) != hex.EncodedLen(sha256.Size) {
			continue // another process is writing it
		}
		entries, size = entries+1, size+f.Size()
		if entries <= maxEntries && size <= maxCached {
			continue
		}
		// Another process may have been faster.
		if err := d.root.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
