package plan

import (
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/text"
)

// Diff is what differs between two graphs. Where things stand doesn't count, nor does
// their order, but for an image's steps and a task's inputs.
type Diff struct {
	Old     string   `json:"old"` // entry modules
	New     string   `json:"new"`
	Changes []Change `json:"changes"` // by kind of thing, then by name
}

// Change is one thing that was added, removed or changed.
type Change struct {
	What   Thing         `json:"what"`
	Change ChangeKind    `json:"change"`
	Name   string        `json:"name"`             // of an edge: "a -> b"; of an image: the environments that have it, joined by ", "
	Pos    diag.Position `json:"pos,omitzero"`     // in the new graph; of what was removed, in the old one
	Fields []FieldChange `json:"fields,omitempty"` // of what was changed
}

// FieldChange is a field that differs. An empty side has no such field; a step of an image
// stands on the side that has it.
type FieldChange struct {
	Field string `json:"field"` // "resources.memory", "inputs.x", "step"
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
}

// Thing is what a change is about.
type Thing string

// The things that graphs are compared by, in the order in which changes are listed.
const (
	EnvironmentThing Thing = "environment" // by name
	ImageThing       Thing = "image"       // of environments that both graphs have, by what it declares
	DependsOnThing   Thing = "depends_on"
	TaskThing        Thing = "task" // by full name
	CallThing        Thing = "call"
)

var things = []Thing{EnvironmentThing, ImageThing, DependsOnThing, TaskThing, CallThing}

// ChangeKind says what became of a thing.
type ChangeKind string

// The kinds of change.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// Compare returns what differs between two graphs. Both are valid. It is linear in their
// size, but for sorting.
func Compare(old, new *Graph) *Diff {
	d := &Diff{Old: old.Entry, New: new.Entry, Changes: []Change{}}
	a, b := old.named(), new.named()
	for _, what := range things {
		d.compare(what, a[what], b[what])
	}
	d.images(old, new)
	slices.SortStableFunc(d.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(slices.Index(things, a.What), slices.Index(things, b.What)), cmp.Compare(a.Name, b.Name))
	})
	return d
}

// entry is a thing of a graph, as it is compared.
type entry struct {
	pos  diag.Position
	data reflect.Value // a struct; not valid: the name is all
}

// named returns what a graph has, but images, by kind of thing and name. Of several with one name, which is a
// finding, the first counts.
func (g *Graph) named() map[Thing]map[string]entry {
	all := map[Thing]map[string]entry{}
	for _, what := range things {
		all[what] = map[string]entry{}
	}
	add := func(what Thing, name string, e entry) {
		if _, ok := all[what][name]; !ok {
			all[what][name] = e
		}
	}
	for i := range g.Environments {
		e := &g.Environments[i]
		add(EnvironmentThing, e.Name, entry{e.Pos, reflect.ValueOf(*e)})
		for _, d := range e.DependsOn {
			add(DependsOnThing, EdgeName(e.Name, g.Environments[d].Name), entry{pos: e.DependsOnPos})
		}
	}
	for i := range g.Tasks {
		add(TaskThing, g.FullName(i), entry{g.Tasks[i].Pos, reflect.ValueOf(g.Tasks[i])})
	}
	for i := range g.Calls {
		c := g.Calls[i]
		c.Sites = nil // where it is made
		add(CallThing, EdgeName(g.FullName(c.Caller), g.FullName(c.Callee)), entry{c.Pos, reflect.ValueOf(c)})
	}
	return all
}

// EdgeName is how an edge is named in a [Change].
func EdgeName(from, to string) string { return from + " -> " + to }

// compare adds what differs between things of one kind.
func (d *Diff) compare(what Thing, old, new map[string]entry) {
	for name, e := range old {
		if _, ok := new[name]; !ok {
			d.Changes = append(d.Changes, Change{What: what, Change: Removed, Name: name, Pos: e.pos})
		}
	}
	for name, e := range new {
		was, ok := old[name]
		if !ok {
			d.Changes = append(d.Changes, Change{What: what, Change: Added, Name: name, Pos: e.pos})
		} else if fields := changedFields(was.data, e.data); len(fields) > 0 {
			d.Changes = append(d.Changes, Change{What: what, Change: Changed, Name: name, Pos: e.pos, Fields: fields})
		}
	}
}

// images adds the images that environments of both graphs have changed, those that changed alike together.
func (d *Diff) images(old, new *Graph) {
	type pair struct{ old, new int }
	before := map[string]int{}
	for i := len(old.Environments) - 1; i >= 0; i-- {
		before[old.Environments[i].Name] = old.Environments[i].Image
	}
	users := map[pair][]string{}
	seen := map[string]bool{}
	for i := range new.Environments {
		e := &new.Environments[i]
		was, ok := before[e.Name]
		if ok && !seen[e.Name] {
			seen[e.Name] = true
			users[pair{was, e.Image}] = append(users[pair{was, e.Image}], e.Name)
		}
	}
	wasDeclared, isDeclared := old.declarations(), new.declarations()
	changes := map[string]*Change{} // by fields and kind: images are what they declare
	for _, p := range slices.SortedFunc(maps.Keys(users), func(a, b pair) int { return cmp.Or(a.new-b.new, a.old-b.old) }) {
		c := imageChange(wasDeclared(p.old), isDeclared(p.new))
		if c == nil {
			continue
		}
		key := string(c.Change) + content(c.Fields)
		if same, ok := changes[key]; ok {
			same.Name += ", " + strings.Join(users[p], ", ")
			continue
		}
		c.Name = strings.Join(users[p], ", ")
		changes[key] = c
	}
	for _, c := range changes {
		names := strings.Split(c.Name, ", ")
		slices.Sort(names)
		c.Name = strings.Join(names, ", ")
		d.Changes = append(d.Changes, *c)
	}
}

// line is a base or a step of an image: how it is shown, and all that it says but where it stands.
type line struct{ field, text, content string }

// declaration is what an image says, line by line.
type declaration struct {
	pos   diag.Position
	lines []line
}

// declarations returns a function that returns images' declarations, nil for NoImage. Each is made once.
func (g *Graph) declarations() func(int) *declaration {
	known := map[int]*declaration{NoImage: nil}
	return func(i int) *declaration {
		d, ok := known[i]
		if !ok {
			d = g.Images[i].declaration()
			known[i] = d
		}
		return d
	}
}

func (i *Image) declaration() *declaration {
	base := i.Base
	base.Pos = diag.Position{}
	d := &declaration{i.Pos, []line{{"base", short(base.String()), content(base)}}}
	for _, step := range i.Steps {
		step.Pos = diag.Position{}
		d.lines = append(d.lines, line{"step", short(step.String()), content(step)})
	}
	return d
}

// Bounds of what is said of an image's difference: many environments may have one large image.
const (
	maxLine  = 1000 // bytes of a line
	maxLines = 100  // on each side
)

func short(s string) string { return text.Clip(s, maxLine) }

// imageChange compares two images, which may be nil; nil if they declare the same.
func imageChange(old, new *declaration) *Change {
	switch {
	case old == nil && new == nil:
		return nil
	case old == nil:
		return &Change{What: ImageThing, Change: Added, Pos: new.pos, Fields: sides(nil, new.lines)}
	case new == nil:
		return &Change{What: ImageThing, Change: Removed, Pos: old.pos, Fields: sides(old.lines, nil)}
	}
	if fields := sides(old.lines, new.lines); len(fields) > 0 {
		return &Change{What: ImageThing, Change: Changed, Pos: new.pos, Fields: fields}
	}
	return nil
}

// sides returns the lines that only one of two images has, as fields with one side. What both begin and end with is left out.
func sides(old, new []line) []FieldChange {
	start := 0
	for start < len(old) && start < len(new) && old[start] == new[start] {
		start++
	}
	end := 0
	for end < len(old)-start && end < len(new)-start && old[len(old)-1-end] == new[len(new)-1-end] {
		end++
	}
	var fields []FieldChange
	for _, l := range some(old[start : len(old)-end]) {
		fields = append(fields, FieldChange{Field: l.field, Old: l.text})
	}
	for _, l := range some(new[start : len(new)-end]) {
		fields = append(fields, FieldChange{Field: l.field, New: l.text})
	}
	return fields
}

// some returns the first lines, and one that says how many more there are.
func some(lines []line) []line {
	if more := len(lines) - maxLines; more > 0 {
		return append(lines[:maxLines:maxLines], line{field: "step", text: "… and " + strconv.Itoa(more) + " more"})
	}
	return lines
}

func content(v any) string {
	text, _ := json.Marshal(v) // strings, lists and maps of strings, which never fail
	return string(text)
}

// changedFields returns the fields in which two structs differ, by name.
func changedFields(old, new reflect.Value) []FieldChange {
	if !old.IsValid() || !new.IsValid() {
		return nil
	}
	a, b := map[string]string{}, map[string]string{}
	flatten(a, "", old)
	flatten(b, "", new)
	var changes []FieldChange
	for name, was := range a {
		if b[name] != was {
			changes = append(changes, FieldChange{name, was, b[name]})
		}
	}
	for name, is := range b {
		if _, ok := a[name]; !ok {
			changes = append(changes, FieldChange{Field: name, New: is})
		}
	}
	slices.SortFunc(changes, func(a, b FieldChange) int { return cmp.Compare(a.Field, b.Field) })
	return changes
}

// apart are the fields that refer to other parts of a graph, which are compared by themselves, and
// those that only say where something stands.
var apart = map[string]bool{
	"image": true, "env": true, "depends_on": true, "caller": true, "callee": true, "name": true, "global": true, "module": true,
}

// flatten writes the fields of v that aren't zero into fields, as text for people, by the names that they
// have in JSON. It goes by their types, and so forgets none that is new. Its depth is that of the types.
func flatten(fields map[string]string, name string, v reflect.Value) {
	if v.IsZero() {
		return
	}
	switch x := v.Interface().(type) {
	case diag.Position:
	case Type:
		fields[name] = x.String()
	case Resources:
		fields[name] = x.String()
	case *Resources:
		fields[name] = x.String()
	case time.Duration:
		fields[name] = Duration(x)
	case []Param:
		flattenParams(fields, name, x)
	default:
		flattenOther(fields, name, v)
	}
}

func flattenOther(fields map[string]string, name string, v reflect.Value) {
	t := v.Type()
	switch {
	case t.Kind() == reflect.Struct:
		for i := range v.NumField() {
			tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			switch {
			case name != "":
				flatten(fields, name+"."+tag, v.Field(i))
			case !apart[tag]:
				flatten(fields, tag, v.Field(i))
			}
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			flatten(fields, name+"."+strconv.Itoa(i), v.Index(i))
		}
	case t.Kind() == reflect.String:
		fields[name] = v.String()
	default:
		fields[name] = content(v.Interface())
	}
}

// flattenParams writes each parameter by its name, and the names' order, since calls may go by it.
func flattenParams(fields map[string]string, name string, params []Param) {
	var order []string
	for i := range params {
		p := &params[i]
		order = append(order, p.Name)
		fields[name+"."+p.Name] = p.form()
		if p.Doc != "" {
			fields[name+"."+p.Name+".doc"] = p.Doc
		}
	}
	fields[name] = strings.Join(order, ", ")
}

// Union returns the new graph, and on top of it what only the old one has: what a drawing of
// their difference shows. It needn't be valid, since its depends_on can be cyclic.
func Union(old, new *Graph) *Graph {
	u := *new
	u.Images, u.Environments = slices.Clone(u.Images), slices.Clone(u.Environments)
	u.Tasks, u.Calls, u.Sites = slices.Clone(u.Tasks), slices.Clone(u.Calls), nil
	for i := range u.Calls {
		u.Calls[i].Sites = nil
	}
	envs := u.addEnvironments(old)
	tasks := u.addTasks(old, envs)
	type edge struct{ from, to int }
	known := map[edge]bool{}
	for i, e := range u.Environments {
		for _, d := range e.DependsOn {
			known[edge{i, d}] = true
		}
	}
	for i, e := range old.Environments {
		u := &u.Environments[envs[i]]
		u.DependsOn = slices.Clone(u.DependsOn)
		for _, d := range e.DependsOn {
			if to := (edge{envs[i], envs[d]}); !known[to] {
				known[to] = true
				u.DependsOn = append(u.DependsOn, to.to)
			}
		}
	}
	clear(known)
	for _, c := range u.Calls {
		known[edge{c.Caller, c.Callee}] = true
	}
	for _, c := range old.Calls {
		c.Caller, c.Callee, c.Sites = tasks[c.Caller], tasks[c.Callee], nil
		if !known[edge{c.Caller, c.Callee}] {
			known[edge{c.Caller, c.Callee}] = true
			u.Calls = append(u.Calls, c)
		}
	}
	return &u
}

// addEnvironments adds those of old that g lacks, and returns where each of old's is in g.
func (g *Graph) addEnvironments(old *Graph) []int {
	index := map[string]int{}
	for i := range g.Environments {
		index[g.Environments[i].Name] = i
	}
	at := make([]int, len(old.Environments))
	for i, e := range old.Environments {
		n, ok := index[e.Name]
		if !ok {
			if e.Image != NoImage {
				g.Images = append(g.Images, old.Images[e.Image])
				e.Image = len(g.Images) - 1
			}
			n = len(g.Environments)
			e.DependsOn = nil // the caller adds them
			g.Environments = append(g.Environments, e)
			index[e.Name] = n
		}
		at[i] = n
	}
	return at
}

// addTasks likewise; envs is what addEnvironments returned.
func (g *Graph) addTasks(old *Graph, envs []int) []int {
	index := map[string]int{}
	for i := range g.Tasks {
		index[g.FullName(i)] = i
	}
	at := make([]int, len(old.Tasks))
	for i, t := range old.Tasks {
		n, ok := index[old.FullName(i)]
		if !ok {
			n = len(g.Tasks)
			t.Env = envs[t.Env]
			g.Tasks = append(g.Tasks, t)
			index[old.FullName(i)] = n
		}
		at[i] = n
	}
	return at
}
