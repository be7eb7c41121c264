package evaluator

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// This file holds the directory of compiled modules, and of graphs (kept.go).
// Only the parent touches it, and a module comes from a process that has run none. An entry
// is a file: a line, a checksum, the module. Whoever can write there could
// make a module mean something else, so nobody but its owner may.

// cache is a directory of compiled modules.
type cache struct {
	root   *os.Root
	notice func(text string)
}

// Bounds of the directory. The entries that weren't used for longest go.
const (
	maxEntries = 500
	maxCached  = 256 << 20 // bytes
	maxEntry   = 32 << 20  // bytes
)

// cacheHeader is an entry's first line.
const cacheHeader = "flytestar module\n"

// Files that are being written begin with this. One that is older than
// abandoned belongs to a process that was killed.
const (
	unfinished = ".new-"
	abandoned  = time.Hour
)

// touched is how old the time of use of an entry may be.
const touched = time.Hour

// openCache opens a cache, and makes its directory if there is none. notice is
// told what goes wrong later: none of it keeps a module from loading.
func openCache(dir string, notice func(string)) (*cache, error) {
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
	return &cache{root, notice}, nil
}

// private reports whether others than this process's user have access.
func private(info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
		return errors.New("it belongs to another user")
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("others have access to it (its mode is %#o; make it 0700)", mode)
	}
	return nil
}

// cacheKey is what an entry is found by: a digest of all that decides it.
type cacheKey [sha256.Size]byte

func (k cacheKey) file() string { return hex.EncodeToString(k[:]) }

// checksum is over a module and its key, so that an entry can't stand for another.
func (k cacheKey) checksum(module []byte) []byte {
	h := sha256.New()
	h.Write(k[:])
	h.Write(module)
	return h.Sum(nil)
}

// get returns a compiled module, or nil if it isn't there. One that is damaged is removed.
func (c *cache) get(key cacheKey) []byte {
	data, err := c.read(key.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		head, module := data[:min(len(data), len(cacheHeader))], []byte(nil)
		if string(head) == cacheHeader && len(data) >= len(cacheHeader)+sha256.Size {
			module = data[len(cacheHeader)+sha256.Size:]
			if bytes.Equal(key.checksum(module), data[len(cacheHeader):len(cacheHeader)+sha256.Size]) {
				return module
			}
		}
		err = errors.New("it is damaged")
	}
	if e := c.root.Remove(key.file()); e != nil {
		err = fmt.Errorf("%w, and can't be removed: %w", err, e)
	}
	c.notice(fmt.Sprintf("a compiled module isn't used: %v", err))
	return nil
}

// read returns the content of an entry, and notes that it is used.
func (c *cache) read(name string) ([]byte, error) {
	f, err := c.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxEntry {
		return nil, errors.New("it is no file of a compiled module's size")
	}
	if err := private(info); err != nil {
		return nil, err
	}
	if now := time.Now(); now.Sub(info.ModTime()) > touched {
		// Without it the entry goes earlier than it need.
		_ = c.root.Chtimes(name, now, now)
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}

// put keeps a compiled module.
func (c *cache) put(key cacheKey, module []byte) error {
	data := slices.Concat([]byte(cacheHeader), key.checksum(module), module)
	if len(data) > maxEntry {
		return nil
	}
	temporary := unfinished + rand.Text()
	f, err := c.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = c.root.Rename(temporary, key.file())
	}
	if err != nil {
		_ = c.root.Remove(temporary) // else prune does
	}
	return err
}

// prune removes what killed processes have left, and what is over the bounds.
func (c *cache) prune() error {
	dir, err := c.root.Open(".")
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
		if strings.HasPrefix(f.Name(), unfinished) && time.Since(f.ModTime()) < abandoned {
			continue
		}
		entries, size = entries+1, size+f.Size()
		if !strings.HasPrefix(f.Name(), unfinished) && entries <= maxEntries && size <= maxCached {
			continue
		}
		// Another process may have been faster.
		if err := c.root.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
