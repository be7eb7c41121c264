package interp

// Layer is one layer of the evaluator's lockdown.
type Layer struct {
	Name    string `json:"name"`              // "limits", "landlock", "seccomp"
	Missing string `json:"missing,omitempty"` // why it isn't in force; empty if it is
}

// String returns "landlock" or "landlock is missing: why".
func (l Layer) String() string {
	if l.Missing == "" {
		return l.Name
	}
	return l.Name + " is missing: " + l.Missing
}

// layer returns a layer that took effect unless err is set.
func layer(name string, err error) Layer {
	if err != nil {
		return Layer{Name: name, Missing: err.Error()}
	}
	return Layer{Name: name}
}
