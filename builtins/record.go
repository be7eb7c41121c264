package builtins

import "github.com/flytestar/flytestar/plan"

// records has the names of record types: of the globals that are bound to them. A type is copied
// wherever it is used, but its copies share its fields, so the first field stands for the type.
type records map[*plan.Field]string

// add notes that a global is bound to a type.
func (r records) add(t plan.Type, name string) {
	if t.Kind != plan.KindRecord {
		return
	}
	if first := &t.Fields[0]; r[first] == "" {
		r[first] = name
	}
}

// name gives the records in the types of these parameters their names.
func (r records) name(params []plan.Param, done map[*plan.Field]bool) {
	for i := range params {
		r.nameType(&params[i].Type, done)
	}
}

// nameType gives the records in t their names. done has those whose fields it has been to.
func (r records) nameType(t *plan.Type, done map[*plan.Field]bool) {
	if t.Elem != nil {
		r.nameType(t.Elem, done)
	}
	for i := range t.Members {
		r.nameType(&t.Members[i], done)
	}
	if t.Kind != plan.KindRecord {
		return
	}
	first := &t.Fields[0]
	if n := r[first]; n != "" { // a class of a Python file has its own
		t.Name = n
	}
	if done[first] {
		return
	}
	done[first] = true
	for i := range t.Fields {
		r.nameType(&t.Fields[i].Type, done)
	}
}
