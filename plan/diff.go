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

// Diff lists the differences between two graphs. Positions don't count. Order doesn't count either,
// except for an image's steps and a task's inputs.
type Diff struct {
	Old     string   `json:"old"` // entry modules
	New     string   `json:"new"`
	Changes []Change `json:"changes"` // by kind of thing, then by name
}

// Change is one thing that was added, removed or changed.
type Change struct {
	What   Thing         `json:"what"`
	Change ChangeKind    `json:"change"`
	Name   string        `json:"name"`             // for an edge "a -> b"; for an image the environments that have it, joined by ", "
	Pos    diag.Position `json:"pos,omitzero"`     // in the new graph; in the old one if the thing was removed
	Fields []FieldChange `json:"fields,omitempty"` // if the thing was changed
}

// FieldChange is a field that differs. An empty side means that the field is missing there. A step
// of an image is on the side that has it.
type FieldChange struct {
	Field string `json:"field"` // "resources.memory", "inputs.x", "step"
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
}

// Thing is what a change is about.
type Thing string

// The kinds of thing that graphs are compared by, in the order in which changes are listed.
const (
	EnvironmentThing Thing = "environment" // by name
	ImageThing       Thing = "image"       // of environments that both graphs have; compared by what it declares
	DependsOnThing   Thing = "depends_on"
	TaskThing        Thing = "task" // by full name
	CallThing        Thing = "call"
)

var things = []Thing{EnvironmentThing, ImageThing, DependsOnThing, TaskThing, CallThing}

// ChangeKind says what happened to a thing.
type ChangeKind string

// The kinds of change.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// Compare returns the differences between two valid graphs. Apart from sorting, it takes linear
// time.
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

// entry is a thing of a graph in the form in which it is compared.
type entry struct {
	pos  diag.Position
	data reflect.Value // a struct; not valid if the thing is only a name
}

// named returns what a graph has except images, by kind of thing and name. If several have one
// name, which is a finding, the first counts.
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
		c.Sites = nil // the places in source don't count
		add(CallThing, EdgeName(g.FullName(c.Caller), g.FullName(c.Callee)), entry{c.Pos, reflect.ValueOf(c)})
	}
	return all
}

// EdgeName returns the name of an edge in a [Change].
func EdgeName(from, to string) string { return from + " -> " + to }

// compare adds the differences between things of one kind.
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

// images adds the changed images of environments that both graphs have. It groups those that
// changed alike.
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
	changes := map[string]*Change{} // by fields and kind, since images are equal if they declare the same
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

// line is a base or a step of an image. It has the text to show, and all the content except the
// position.
type line struct{ field, text, content string }

// declaration is what an image declares, line by line.
type declaration struct {
	pos   diag.Position
	lines []line
}

// declarations returns a function from images to declarations; NoImage has nil. Each declaration is
// made only once.
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

// Bounds of the text about an image's difference. Many environments may share one large image.
const (
	maxLine  = 1000 // bytes of a line
	maxLines = 100  // on each side
)

func short(s string) string { return text.Clip(s, maxLine) }

// imageChange compares two images, either of which may be nil. It returns nil if they declare the
// same.
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

// sides returns the lines that only one of two images has, each as a field with one side. The lines
// in common at the start and at the end are left out.
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

// some returns the first lines, and a line that says how many more there are.
func some(lines []line) []line {
	if more := len(lines) - maxLines; more > 0 {
		return append(lines[:maxLines:maxLines], line{field: "step", text: "… and " + strconv.Itoa(more) + " more"})
	}
	return lines
}

func content(v any) string {
	text, _ := json.Marshal(v) // strings, lists and maps of strings never fail
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

// apart has the fields that don't count in a comparison. Some refer to other parts of a graph,
// which are compared on their own. The others only give a position.
var apart = map[string]bool{
	"image": true, "env": true, "depends_on": true, "caller": true, "callee": true, "name": true, "global": true, "module": true,
}

// flatten writes the nonzero fields of v into fields, as text for people, under their JSON names.
// It follows the Go types, so it can't forget a new field. It recurses only as deep as the types.
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

// flattenParams writes each parameter under its name. It also writes the order of the names, since
// calls may depend on it.
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

// Union returns the new graph together with what only the old one has. A drawing of their
// difference shows this. The result may be invalid, because its depends_on can be cyclic.
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

// addEnvironments adds the environments of old that g lacks. It returns the index in g of each of
// old's environments.
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

// addTasks adds the tasks of old that g lacks, and returns the index in g of each. envs is the
// result of addEnvironments.
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
