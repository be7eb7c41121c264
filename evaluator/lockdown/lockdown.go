// Package lockdown takes from a process everything that evaluation doesn't need.
//
//   - The parent starts the process as one of [Users], with [Attributes].
//   - The process calls [CloseInherited] and then [Enter], before it gets any source.
//   - What is in force is a [State], made of layers: limits of resources, privileges, landlock, and
//     a filter of system calls. A machine may lack some of them; [State.Demand] insists on all.
package lockdown

import (
	"slices"
	"strings"

	"github.com/flytestar/flytestar/diag"
)

// State is how far a process is locked down.
type State struct {
	Level  Level   `json:"level"`
	Layers []Layer `json:"layers"` // in the order in which they took effect, including the missing ones
}

// Level is how much of the lockdown is in force.
type Level string

// The levels of lockdown.
const (
	Full    Level = "full"    // every layer
	Partial Level = "partial" // some
	None    Level = "none"
)

// Layer is a layer of the lockdown.
type Layer struct {
	Name    string `json:"name"`              // one of layerNames
	Detail  string `json:"detail,omitempty"`  // which form of it is in force: "version 7"
	Missing string `json:"missing,omitempty"` // why it isn't in force; empty if it is
}

// layerNames are the layers of a full lockdown.
var layerNames = []string{"limits", "privileges", "landlock", "seccomp"}

// Of returns the lockdown with these layers. A layer that isn't among them is missing.
func Of(layers []Layer) State {
	inForce := 0
	for _, name := range layerNames {
		if slices.ContainsFunc(layers, func(l Layer) bool { return l.Name == name && l.Missing == "" }) {
			inForce++
		}
	}
	level := Partial
	switch inForce {
	case len(layerNames):
		level = Full
	case 0:
		level = None
	}
	return State{Level: level, Layers: layers}
}

// String returns "full: limits (…), landlock (version 7), …".
func (l State) String() string {
	layers := make([]string, len(l.Layers))
	for i := range l.Layers {
		layers[i] = l.Layers[i].String()
	}
	return string(l.Level) + ": " + strings.Join(layers, ", ")
}

// Missing lists the layers that aren't in force, each with why.
func (l State) Missing() []string {
	var missing []string
	for _, layer := range l.Layers {
		if layer.Missing != "" {
			missing = append(missing, layer.String())
		}
	}
	return missing
}

// Demand returns an error unless the lockdown is full.
func (l State) Demand() error {
	if l.Level == Full {
		return nil
	}
	return diag.Errorf(diag.Position{}, diag.System, "the evaluator's sandbox is %s: %s", l.Level, strings.Join(l.Missing(), "; ")).
		WithHint("a full one needs Linux 5.13 or later with landlock and seccomp; go on without --require-sandbox only with files of people whom you trust")
}

// String returns "landlock (version 7)" or "landlock is missing: why".
func (l Layer) String() string {
	switch {
	case l.Missing != "":
		return l.Name + " is missing: " + l.Missing
	case l.Detail != "":
		return l.Name + " (" + l.Detail + ")"
	}
	return l.Name
}

// layer returns a layer that took effect, or one that is missing if err is set.
func layer(name, detail string, err error) Layer {
	if err != nil {
		return Layer{Name: name, Missing: err.Error()}
	}
	return Layer{Name: name, Detail: detail}
}
