package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flytestar/flytestar/internal/text"
)

// This file describes the parts of a graph for people: in plans, drawings and differences.

// Lines describes the image: its base, then one line for each step. It leaves out credentials in
// URLs.
func (i *Image) Lines() []string {
	lines := make([]string, 0, 1+len(i.Steps))
	lines = append(lines, i.Base.String())
	for n := range i.Steps {
		lines = append(lines, i.Steps[n].String())
	}
	return lines
}

// String describes the base on one line: "debian bookworm with python".
func (b Base) String() string {
	switch b.Kind {
	case BaseDebian:
		s := strings.TrimSpace("debian " + b.Suite)
		if b.Python {
			s += " with python"
		}
		return s
	case BaseRef:
		return "from " + text.Redact(b.Ref)
	}
	return "from scratch"
}

// String describes the step on one line: "pip numpy pandas (pre-releases)".
func (s *Step) String() string {
	what, notes := "", []string(nil)
	switch s.Kind {
	case StepPip, StepApt:
		what = strings.Join(s.Packages, " ")
	case StepRequirements:
		what = s.Src
	case StepCommands:
		what = strings.Join(s.Commands, " && ")
	case StepEnv:
		what = strings.Join(assignments(s.EnvVars), " ")
	case StepFile, StepFolder:
		what = s.Src + " -> " + s.Dst
	default:
		what = s.Name
	}
	if s.IndexURL != "" {
		notes = append(notes, "index "+s.IndexURL)
	}
	if len(s.ExtraIndexURLs) > 0 {
		notes = append(notes, "extra index "+strings.Join(s.ExtraIndexURLs, " "))
	}
	if s.Pre {
		notes = append(notes, "pre-releases")
	}
	if s.Network {
		notes = append(notes, "network")
	}
	if len(s.Ignore) > 0 {
		notes = append(notes, "without "+strings.Join(s.Ignore, " "))
	}
	if len(notes) > 0 {
		what += " (" + strings.Join(notes, ", ") + ")"
	}
	return strings.TrimSpace(string(s.Kind) + " " + text.Redact(what))
}

// assignments returns variables as NAME=VALUE, sorted. It quotes values that would otherwise run
// together.
func assignments(vars map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		v := vars[k]
		if strings.ContainsAny(v, " \"\n\r\t") {
			v = strconv.Quote(v)
		}
		out = append(out, k+"="+v)
	}
	return out
}

// Signature returns a task's inputs and result: "(x: str, n: int = 3) -> File".
func (t *Task) Signature() string {
	params := make([]string, len(t.Inputs))
	for i := range t.Inputs {
		params[i] = t.Inputs[i].Name + ": " + t.Inputs[i].form()
	}
	return "(" + strings.Join(params, ", ") + ") -> " + t.Result()
}

// Takes says what a task is called with: "its inputs are (x: str, n: int = 3)".
func (t *Task) Takes() string {
	if len(t.Inputs) == 0 {
		return "it has no inputs"
	}
	inputs, _, _ := strings.Cut(t.Signature(), " -> ")
	return "its inputs are " + inputs
}

// form returns a parameter's type and default: "int = 3".
func (p *Param) form() string {
	if p.Default == nil {
		return p.Type.String()
	}
	return p.Type.String() + " = " + Literal(p.Default)
}

// Literal returns an encoded value as the command line takes it: JSON, without the marks that tell
// structs from dicts. A File or Dir is shown by its path
// in the workspace or its name.
func Literal(encoded []byte) string {
	v, err := UnmarshalValue(encoded)
	if err != nil {
		return string(encoded)
	}
	var b strings.Builder
	literal(&b, v)
	return b.String()
}

func literal(b *strings.Builder, v Value) {
	switch v := v.(type) {
	case []Value:
		b.WriteString("[")
		for i, x := range v {
			separate(b, i)
			literal(b, x)
		}
		b.WriteString("]")
	case Struct:
		literal(b, map[string]Value(v))
	case map[string]Value:
		b.WriteString("{")
		for i, k := range slices.Sorted(maps.Keys(v)) {
			separate(b, i)
			literal(b, k)
			b.WriteString(": ")
			literal(b, v[k])
		}
		b.WriteString("}")
	case File:
		b.WriteString(cmp.Or(v.Workspace, v.Name))
	case Dir:
		b.WriteString(cmp.Or(v.Workspace, v.Name))
	default:
		data, err := MarshalValue(v)
		if err != nil {
			data = []byte(err.Error())
		}
		b.Write(data)
	}
}

func separate(b *strings.Builder, i int) {
	if i > 0 {
		b.WriteString(", ")
	}
}

// Records returns the records with names that the task takes and returns, each once.
func (t *Task) Records() []Type {
	var found []Type
	seen := map[string]bool{}
	var look func(Type)
	look = func(t Type) {
		if t.Elem != nil {
			look(*t.Elem)
		}
		for _, m := range t.Members {
			look(m)
		}
		if t.Name == "" || seen[t.Name] {
			return
		}
		seen[t.Name] = true
		found = append(found, t)
		for _, f := range t.Fields {
			look(f.Type)
		}
	}
	for _, params := range [][]Param{t.Inputs, t.Outputs} {
		for _, p := range params {
			look(p.Type)
		}
	}
	return found
}

// Result returns what a call of the task returns: "list[str]", "struct(a = int, b = File)", "None".
func (t *Task) Result() string {
	switch {
	case len(t.Outputs) == 0:
		return string(KindNone)
	case t.Single:
		return t.Outputs[0].Type.String()
	}
	fields := make([]string, len(t.Outputs))
	for i, p := range t.Outputs {
		fields[i] = p.Name + " = " + p.Type.String()
	}
	return "struct(" + strings.Join(fields, ", ") + ")"
}

// String describes the body on one line: "python af2/msa/run.py:run_msa". A script is described by
// its first line.
func (b *Body) String() string {
	switch b.Kind {
	case BodyStarlark:
		return "orchestrator"
	case BodyPython:
		return "python " + b.File + ":" + b.Function
	case BodyCommand:
		return "command " + strings.Join(b.Command, " ")
	case BodyScript:
		first, _, _ := strings.Cut(b.Script, "\n")
		return "script " + first
	}
	return string(b.Kind)
}

// String describes the resources: "2 cpu, 1.5Gi memory". It is empty if nothing is limited.
func (r Resources) String() string {
	var parts []string
	if r.MilliCPU > 0 {
		parts = append(parts, strconv.FormatFloat(float64(r.MilliCPU)/1000, 'g', -1, 64)+" cpu")
	}
	if r.GPU > 0 {
		parts = append(parts, strconv.Itoa(r.GPU)+" gpu")
	}
	for _, size := range []struct {
		bytes int64
		of    string
	}{{r.Memory, "memory"}, {r.Disk, "disk"}, {r.Shm, "shm"}} {
		if size.bytes > 0 {
			parts = append(parts, Units(size.bytes)+" "+size.of)
		}
	}
	return strings.Join(parts, ", ")
}

// Units writes an exact number of bytes, as resources take it: "1536Mi", "1000".
func Units(bytes int64) string {
	units := []string{"", "Ki", "Mi", "Gi", "Ti"}
	n := 0
	for ; n < len(units)-1 && bytes != 0 && bytes%1024 == 0; n++ {
		bytes /= 1024
	}
	return strconv.FormatInt(bytes, 10) + units[n]
}

// Rough writes a rough number of bytes, for people: "57 MB".
func Rough(bytes int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	n, size := 0, float64(bytes)
	for ; n < len(units)-1 && size >= 999.5; n++ {
		size /= 1000
	}
	if n == 0 || size >= 9.95 {
		return fmt.Sprintf("%.0f %s", size, units[n])
	}
	return fmt.Sprintf("%.1f %s", size, units[n])
}

// Duration writes a timeout as tasks take it: "1h30m".
func Duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
