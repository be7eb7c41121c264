package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Readable returns an error, which names the file, unless name is a regular file that can be
// opened, or a symbolic link to one. It reads nothing of it.
func (r *Reader) Readable(name string) error {
	_, err := remember(r.readable, name, func() (struct{}, error) { return struct{}{}, readable(r.files, name) })
	return err
}

func readable(files fs.FS, name string) error {
	f, err := openRegular(files, name)
	if err != nil {
		return fmt.Errorf("%s can't be read: %w", name, err)
	}
	return f.Close()
}

// openRegular opens a regular file. It looks before it opens, since opening a pipe may wait for the
// pipe's writer. Its errors don't name the file, unless it is a kind of file that isn't read.
func openRegular(files fs.FS, name string) (fs.File, error) {
	info, err := fs.Stat(files, name)
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errIrregular
	}
	f, err := files.Open(name)
	if err != nil {
		return nil, cause(err)
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() { // since it was looked at
		err = errIrregular
	}
	if err != nil {
		f.Close()
		return nil, cause(err)
	}
	return f, nil
}

var (
	errIrregular = errors.New("not a regular file")
	errTooLarge  = errors.New("larger")
)

// ReadFile reads a regular file of at most max bytes. Its errors don't name the file. They match
// fs.ErrNotExist and so on as usual.
func ReadFile(files fs.FS, name string, max int64) ([]byte, error) {
	f, err := openRegular(files, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		return nil, fmt.Errorf("%w than %d bytes", errTooLarge, max)
	}
	return data, cause(err)
}
