package exec

import (
	"time"

	"github.com/flytestar/flytestar/plan"
)

// Watch is told what happens in a build or a run. It may be nil. It is called from several
// goroutines and must return quickly.
type Watch func(Event)

// Event is one thing that happened. Only the fields of its kind are set.
type Event struct {
	Time       time.Time     `json:"time"`
	Kind       EventKind     `json:"kind"`
	Image      string        `json:"image,omitempty"`  // an image's environments, joined by ","
	Step       string        `json:"step,omitempty"`   // image: what is being done, e.g. "pip pytest"
	Bytes      int64         `json:"bytes,omitempty"`  // image: of the step, so far
	Total      int64         `json:"total,omitempty"`  // image: of the step, 0 where unknown
	Digest     plan.Digest   `json:"digest,omitempty"` // image.done
	Action     string        `json:"action,omitempty"`
	Parent     string        `json:"parent,omitempty"`
	Task       string        `json:"task,omitempty"`
	plan.Label               // of the action's call
	Number     int           `json:"attempt,omitempty"`
	Line       string        `json:"line,omitempty"` // action.log: one line or more, with newlines between
	Error      *plan.Failure `json:"error,omitempty"`
	Msg        string        `json:"message,omitempty"`
}

// EventKind tells events apart.
type EventKind string

// The kinds of event.
const (
	ImageStep     EventKind = "image.step"     // a step of an image has begun, or made progress
	ImageHit      EventKind = "image.hit"      // an image was there
	ImageDone     EventKind = "image.done"     // an image was built
	ImageFailed   EventKind = "image.failed"   // an image couldn't be built
	ActionQueued  EventKind = "action.queued"  // waits for a slot
	ActionStarted EventKind = "action.started" // an orchestrator's body, or an attempt's process, has started
	ActionLog     EventKind = "action.log"     // lines that the attempt wrote
	ActionRetried EventKind = "action.retried" // an attempt failed and another will follow
	ActionHit     EventKind = "action.hit"     // a recorded outcome answers it; it doesn't run
	ActionDone    EventKind = "action.done"
	ActionFailed  EventKind = "action.failed"
	Warning       EventKind = "warning" // Msg has something the user must be told
	Note          EventKind = "note"    // Msg has something that only those want to know who ask
)
