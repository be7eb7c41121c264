package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// stall is how long a server may say nothing, as with Debian's downloads.
const stall = 30 * time.Second

// errLost means that an answer began and didn't end.
var errLost = errors.New("the registry's answer broke off")

// transport returns how registries are asked.
func (b *Builder) transport() http.RoundTripper {
	limit := b.opts.Stall
	if limit == 0 {
		limit = stall
	}
	return &patience{remote.DefaultTransport, limit}
}

// again does something three times at most, until it succeeds. An answer that says no is final.
func again[T any](ctx context.Context, do func() (T, error)) (v T, err error) {
	for try := 0; ; try++ {
		if v, err = do(); err == nil || try == 2 || ctx.Err() != nil || errors.As(err, new(*transport.Error)) {
			return v, err
		}
	}
}

// patience ends requests whose server says nothing for a while, however long the whole answer takes.
type patience struct {
	under http.RoundTripper
	limit time.Duration
}

// silence is the error of a request that was ended.
type silence time.Duration

// Error implements error.
func (s silence) Error() string {
	return fmt.Sprintf("the server said nothing for %s", time.Duration(s))
}

// Timeout and Temporary implement net.Error.
func (silence) Timeout() bool { return true }

// Temporary implements net.Error.
func (silence) Temporary() bool { return true }

// RoundTrip implements [http.RoundTripper].
func (p *patience) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(p.limit, func() { cancel(silence(p.limit)) })
	resp, err := p.under.RoundTrip(req.WithContext(ctx))
	timer.Stop()
	if err != nil {
		defer cancel(nil)
		return nil, whyEnded(ctx, err)
	}
	resp.Body = &watched{resp.Body, ctx, cancel, timer, p.limit}
	return resp, nil
}

// whyEnded returns the silence that has ended a request, or else err.
func whyEnded(ctx context.Context, err error) error {
	var s silence
	if errors.As(context.Cause(ctx), &s) {
		return s
	}
	return err
}

// watched is the body of an answer. Only the time in Read counts.
type watched struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

// Read implements [io.Reader].
func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.limit)
	n, err := w.ReadCloser.Read(p)
	w.timer.Stop()
	if err != nil && err != io.EOF && !errors.Is(err, context.Canceled) || errors.As(context.Cause(w.ctx), new(silence)) {
		err = fmt.Errorf("%w: %w", errLost, whyEnded(w.ctx, err))
	}
	return n, err
}

// Close implements [io.Closer].
func (w *watched) Close() error {
	w.timer.Stop()
	w.cancel(nil)
	return w.ReadCloser.Close()
}
