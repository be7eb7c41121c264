package memo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flytestar/flytestar/internal/durable"
)

func TestMadeOnce(t *testing.T) {
	m := newMemo(t)
	var runs atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			got, err := Made(t.Context(), m, "test", NewKey("key"), nil, func() (int, error) {
				time.Sleep(20 * time.Millisecond)
				return int(runs.Add(1)), nil
			})
			if got != 1 || err != nil {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
	all.Wait()
	if n := runs.Load(); n != 1 {
		t.Errorf("made %d times", n)
	}
	if _, err := Made(t.Context(), m, "test", NewKey("other"), nil, func() (int, error) { return 0, os.ErrInvalid }); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("a failure: %v", err)
	}
	if got, err := Made(t.Context(), m, "test", NewKey("other"), nil, func() (int, error) { return 5, nil }); got != 5 || err != nil {
		t.Errorf("after a failure: %d, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	lock, err := durable.WaitLock(t.Context(), filepath.Join(m.Locks, "test-"+NewKey("held").Hex()))
	must(t, err)
	defer lock.Unlock()
	waits := 0
	m.Waiting = func() { waits++ }
	if _, err := Made(ctx, m, "test", NewKey("held"), nil, func() (int, error) { return 0, nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for another's lock: %v", err)
	}
	if _, err := Made(t.Context(), m, "test", NewKey("free"), nil, func() (int, error) { return 0, nil }); err != nil || waits != 1 {
		t.Errorf("it said %d times that it waits, want once; %v", waits, err)
	}
}

// TestLook: a walk that only looks makes nothing, and says what kind of thing isn't there.
func TestLook(t *testing.T) {
	m := newMemo(t)
	make := func() (int, error) { return 7, nil }
	_, err := Made(t.Context(), m.Look(), "test", NewKey("a"), nil, make)
	var u *Unmade
	if !errors.As(err, &u) || u.Kind != "test" || !errors.Is(err, ErrUnmade) {
		t.Errorf("looking at nothing: %v", err)
	}
	if left, err := os.ReadDir(m.Locks); err != nil || len(left) > 0 {
		t.Errorf("looking wrote %v, %v", left, err)
	}
	_, err = Made(t.Context(), m, "test", NewKey("a"), nil, make)
	must(t, err)
	if got, err := Made(t.Context(), m.Look(), "test", NewKey("a"), nil, make); got != 7 || err != nil {
		t.Errorf("looking at what was made: %d, %v", got, err)
	}
	if _, err := Made(t.Context(), m.Look(), "test", NewKey("a"), func(v int) bool { return v != 7 }, make); !errors.Is(err, ErrUnmade) {
		t.Errorf("looking at what is no longer of use: %v", err)
	}
}

func TestKeysOfKind(t *testing.T) {
	m := newMemo(t)
	if keys, err := m.Keys("some/kind"); len(keys) > 0 || err != nil {
		t.Errorf("of nothing: %v, %v", keys, err)
	}
	must(t, errors.Join(m.Remember("some/kind", "b", 1), m.Remember("some/kind", "a", 2), m.Remember("some", "c", 3)))
	if keys, err := m.Keys("some/kind"); !slices.Equal(keys, []string{"a", "b"}) || err != nil {
		t.Errorf("got %v, %v", keys, err)
	}
	if v, ok, err := Recall[int](m, "some/kind", "a"); v != 2 || !ok || err != nil {
		t.Errorf("recalled %d, %v, %v", v, ok, err)
	}
}

func newMemo(t *testing.T) *Memo {
	home := t.TempDir()
	scratch, err := durable.OpenScratch(filepath.Join(home, "tmp"))
	must(t, err)
	t.Cleanup(func() { must(t, scratch.Close()) })
	m := &Memo{Index: filepath.Join(home, "index"), Locks: filepath.Join(home, "locks"), Scratch: scratch}
	must(t, os.Mkdir(m.Locks, 0o755))
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
