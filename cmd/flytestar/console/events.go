package console

import (
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/exec"
)

// Events writes events as NDJSON.
type Events struct {
	mu  sync.Mutex
	f   *os.File
	enc *json.Encoder
	err error
}

// NewEvents makes the file at path, or empties it. If the file can't be written, that is a *diag.Error
// of class Usage. The caller closes the events.
func NewEvents(path string) (*Events, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, diag.Errorf(diag.Position{}, diag.Usage, "--events: %w", err)
	}
	enc := json.NewEncoder(f)
	enc.SetEscapeHTML(false)
	return &Events{f: f, enc: enc}, nil
}

// Watch writes an event. It is an exec.Watch.
func (e *Events) Watch(ev exec.Event) { e.write(ev) }

// Locked writes the first event: the evaluator has started, and how far it is locked down.
func (e *Events) Locked(l lockdown.State) {
	e.write(struct {
		Time    time.Time      `json:"time"`
		Kind    exec.EventKind `json:"kind"`
		Sandbox lockdown.State `json:"sandbox"`
	}{time.Now(), "evaluator.started", l})
}

func (e *Events) write(event any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.enc.Encode(event); err != nil && e.err == nil {
		e.err = err
	}
}

// Close returns the first error of writing, a *diag.Error of class System.
func (e *Events) Close() error {
	if err := e.f.Close(); e.err == nil {
		e.err = err
	}
	if e.err == nil {
		return nil
	}
	return diag.Errorf(diag.Position{}, diag.System, "--events: not every event was written: %w", e.err)
}
