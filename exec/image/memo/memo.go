// Package memo remembers what was made of which parts, so that the same thing is made once: for all
// images, goroutines and processes.
//
//   - [Key] hashes everything that something is made of (key.go).
//   - [Made] returns what was made for a key. If nothing was, it makes it.
//   - [Recall] only reads what was made, and [Memo.Remember] only writes it.
//
// A memory is a JSON file, INDEX/KIND/KEY.json. If one is removed, its thing is made again.
package memo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/flytestar/flytestar/internal/durable"
)

// Memo is a store of memories.
type Memo struct {
	Index   string           // directory of the memories
	Locks   string           // directory with a lock file for each key that something was ever made for
	Scratch *durable.Scratch // where files are written before they appear
	Looking bool             // make nothing: Made fails with ErrUnmade instead
	Waiting func()           // if set, Made calls it before it waits for somebody else who makes the thing
}

// Look returns a memo that only looks at what is there.
func (m *Memo) Look() *Memo { return &Memo{Index: m.Index, Looking: true} }

// ErrUnmade means that nothing was made for a key, and that the memo only looks. The error is an
// [*Unmade].
var ErrUnmade = errors.New("not made yet")

// Unmade names the kind of thing that is missing.
type Unmade struct{ Kind string }

// Error implements error.
func (u *Unmade) Error() string { return u.Kind + ": " + ErrUnmade.Error() }

// Unwrap returns ErrUnmade.
func (u *Unmade) Unwrap() error { return ErrUnmade }

// Made returns what was made for a key. If nothing was, or if valid says that it is of no use any
// more, Made calls maker: once, however many goroutines and processes ask.
func Made[T any](ctx context.Context, m *Memo, kind string, k *Key, valid func(T) bool, maker func() (T, error)) (v T, err error) {
	path := m.path(kind, k.Hex())
	v, ok, err := ReadFile(path, valid)
	if ok || err != nil {
		return v, err
	}
	if m.Looking {
		return v, &Unmade{kind}
	}
	lock, err := m.lock(ctx, filepath.Join(m.Locks, kind+"-"+k.Hex()))
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if v, ok, err = ReadFile(path, valid); ok || err != nil {
		return v, err
	}
	if v, err = maker(); err != nil {
		return v, err
	}
	return v, m.WriteFile(path, v)
}

func (m *Memo) lock(ctx context.Context, path string) (*durable.Lock, error) {
	lock, err := durable.TryLock(path)
	if !errors.Is(err, durable.ErrLocked) {
		return lock, err
	}
	if m.Waiting != nil {
		m.Waiting()
	}
	return durable.WaitLock(ctx, path)
}

func (m *Memo) path(kind, key string) string { return filepath.Join(m.Index, kind, key+".json") }

// Keys lists the keys for which something of a kind is remembered.
func (m *Memo) Keys(kind string) ([]string, error) {
	list, err := os.ReadDir(filepath.Join(m.Index, kind))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	keys := make([]string, 0, len(list))
	for _, e := range list {
		if key, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// Recall returns what is remembered for a key; false if nothing is.
func Recall[T any](m *Memo, kind, key string) (T, bool, error) {
	return ReadFile[T](m.path(kind, key), nil)
}

// Remember writes v for [Recall].
func (m *Memo) Remember(kind, key string, v any) error { return m.WriteFile(m.path(kind, key), v) }

// ReadFile reads what [Memo.WriteFile] wrote. It returns false if there is no such file, or if
// valid refuses its content.
func ReadFile[T any](path string, valid func(T) bool) (T, bool, error) {
	var v T
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return v, false, nil
	}
	if err != nil {
		return v, false, err
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, false, fmt.Errorf("%s is damaged, remove it: %w", path, err)
	}
	return v, valid == nil || valid(v), nil
}

// WriteFile writes v as JSON, whole or not at all.
func (m *Memo) WriteFile(path string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return m.Scratch.WriteFile(path, data, 0o644)
}
