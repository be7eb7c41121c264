package archive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/flytestar/flytestar/diag"
)

// Bounds of requests. Downloads is how many files a mirror is asked for at a time.
const (
	attempts  = 4                // of one request
	stall     = 30 * time.Second // without a byte: then a request is given up
	Downloads = 8                // at a time
)

// httpClient returns m.Client, or one with the environment's proxies and this machine's certificate
// authorities. body gives up requests that stall.
func (m *Mirror) httpClient() *http.Client {
	if m.Client != nil {
		return m.Client
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = Downloads
		t.ResponseHeaderTimeout = stall
		t.DisableCompression = true
		m.client = &http.Client{Transport: t}
	}
	return m.client
}

// downloads bounds how many files are fetched at a time.
func (m *Mirror) downloads() *semaphore.Weighted {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.slots == nil {
		m.slots = semaphore.NewWeighted(Downloads)
	}
	return m.slots
}

// open requests a path below src's URI.
func (m *Mirror) open(ctx context.Context, src Source, path string) (*body, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, src.URI+"/"+escape(path), nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	req.Header.Set("User-Agent", "flytestar")
	if password, _ := src.user.Password(); src.user != nil {
		req.SetBasicAuth(src.user.Username(), password)
	}
	resp, err := m.httpClient().Do(req)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		cancel(nil)
		return nil, &statusError{resp.StatusCode, resp.Status}
	}
	b := &body{ReadCloser: resp.Body, ctx: ctx, cancel: cancel}
	b.timer = time.AfterFunc(stall, func() { cancel(errStalled) })
	return b, nil
}

// escape keeps a path's slashes and escapes what a URL can't have ("+" and "~" stay).
func escape(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

var errStalled = fmt.Errorf("nothing came for %v", stall)

// body is a response's body that fails if no byte comes for a while.
type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.timer.Reset(stall)
	if err != nil && err != io.EOF && context.Cause(b.ctx) == errStalled {
		err = errStalled
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// statusError is an answer other than 200.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return "the server answers " + e.text }

// retry calls do until it succeeds, fails for good, or has failed too often.
func (m *Mirror) retry(ctx context.Context, do func() error) error {
	pause := cmp.Or(m.pause, 250*time.Millisecond)
	for n := 1; ; n++ {
		err := do()
		if err == nil || n == attempts || !transient(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 3
	}
}

// transient reports whether a request may succeed when it is made again. So it is after failures of
// the network and the server, and if a body was cut off. A refusal stays, and so does a failure of
// this machine's disk.
func transient(err error) bool {
	if status := (*statusError)(nil); errors.As(err, &status) {
		return status.code >= 500 || status.code == http.StatusTooManyRequests || status.code == http.StatusRequestTimeout
	}
	var file *fs.PathError
	return !errors.As(err, &file) && !errors.Is(err, errHash)
}

// ResolveAgain is a hint: how users get the packages that the mirror has now.
const ResolveAgain = "remove index/closures in flytestar's home directory, so that the base is resolved again"

// explain turns a failed request into an error for the user.
func explain(ctx context.Context, src Source, path string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var known *diag.Error
	if errors.As(err, &known) {
		return err
	}
	e := errorf(diag.System, "fetch %s/%s: %w", src.URI, path, err)
	status, file := (*statusError)(nil), (*fs.PathError)(nil)
	switch {
	case errors.As(err, &file):
		return e.WithHint("the cache's disk is at fault, not the network: is it full, or not writable?")
	case errors.Is(err, errHash):
		return e.WithHint("the mirror, or a proxy before it, serves something else than its signed index names: try again later or another mirror")
	case errors.As(err, &status) && status.code == http.StatusNotFound:
		return e.WithHint("the mirror doesn't have that file any more: " + ResolveAgain + ", or use a snapshot mirror")
	case errors.As(err, &status) && (status.code == http.StatusUnauthorized || status.code == http.StatusForbidden):
		return e.WithHint("the mirror wants credentials: put them into apt's auth.conf, which this user must be able to read, or into the source's URI")
	}
	return e.WithHint("check the network, the proxy variables and the mirror in apt's sources")
}

// fetchSmall returns the content at path, which may have at most limit bytes.
func (m *Mirror) fetchSmall(ctx context.Context, src Source, path string, limit int64) ([]byte, error) {
	var data []byte
	err := m.retry(ctx, func() error {
		body, err := m.open(ctx, src, path)
		if err != nil {
			return err
		}
		defer body.Close()
		data, err = io.ReadAll(io.LimitReader(body, limit+1))
		return err
	})
	if err != nil {
		return nil, explain(ctx, src, path, err)
	}
	if int64(len(data)) > limit {
		return nil, errorf(diag.System, "%s/%s is bigger than %d bytes", src.URI, path, limit)
	}
	return data, nil
}

var errHash = errors.New("size or hash differs from the index")

// fetchFile returns the file in the cache that has the content at path. It downloads what isn't
// there. It hashes a cached file again on each use, since a crash or somebody else may have left
// other content there. It calls got as FetchPackage does.
func (m *Mirror) fetchFile(ctx context.Context, src Source, path, sum string, size int64, got func(n int64)) (string, error) {
	if !isSHA256(sum) || size < 0 {
		return "", errorf(diag.System, "%s has no valid SHA256 and size", path)
	}
	slots := m.downloads()
	if err := slots.Acquire(ctx, 1); err != nil {
		return "", err
	}
	defer slots.Release(1)
	name := filepath.Join(m.Cache, "sha256-"+sum)
	if hashFile(name, size) == sum {
		got(size)
		return name, nil
	}
	if err := os.MkdirAll(m.Cache, 0o755); err != nil {
		return "", errorf(diag.System, "make the package cache: %w", err)
	}
	var counted int64
	err := m.retry(ctx, func() error {
		got(-counted)
		counted = 0
		return m.download(ctx, src, path, name, sum, size, func(n int64) { counted += n; got(n) })
	})
	if err != nil {
		return "", explain(ctx, src, path, err)
	}
	return name, nil
}

// download writes the content at path to name. The file appears whole and verified, or not at all.
func (m *Mirror) download(ctx context.Context, src Source, path, name, sum string, size int64, got func(n int64)) error {
	body, err := m.open(ctx, src, path)
	if err != nil {
		return err
	}
	defer body.Close()
	tmp, err := os.CreateTemp(m.Cache, "download-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(tmp, hash, counter(got)), io.LimitReader(body, size+1))
	switch {
	case err != nil:
		return err
	case n < size:
		return io.ErrUnexpectedEOF
	case n > size || hex.EncodeToString(hash.Sum(nil)) != sum:
		return errHash
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Chmod(tmp.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

// counter is a writer that only tells how much is written.
type counter func(n int64)

func (c counter) Write(p []byte) (int, error) {
	c(int64(len(p)))
	return len(p), nil
}

// hashFile returns the hex SHA256 of a file, or "" if it can't be read or has another size.
func hashFile(name string, size int64) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != size {
		return ""
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return ""
	}
	return hex.EncodeToString(hash.Sum(nil))
}
