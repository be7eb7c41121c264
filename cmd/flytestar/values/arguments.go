// Package values reads and writes values on the command line: [Parse] reads a task's inputs from the
// words after TASK, and a [Printer] prints its result.
package values

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// arguments reads a task's inputs from the words after TASK:
//
//	--name VALUE   --name=VALUE   --flag   --no-flag   @inputs.json
//
// The type of an input decides how its value is read (spec.md, "Inputs on the command line"). A
// File or Dir becomes a [flytestar.Path].
type arguments struct {
	task   string // full name, for messages
	params []plan.Param
	own    *pflag.FlagSet // flytestar's flags, to tell a misplaced flag from a misspelt input
	values map[string]plan.Value
	flag   string // a bool's, if it was the last argument and had no value
}

// ErrHelp says that the user asked for the task's help.
var ErrHelp = fmt.Errorf("help asked for")

// Parse returns the inputs by name, or [ErrHelp]. It leaves out inputs that args don't name:
// the engine fills in defaults.
func Parse(g *plan.Graph, task int, args []string, own *pflag.FlagSet) (map[string]plan.Value, error) {
	a := &arguments{g.FullName(task), g.Tasks[task].Inputs, own, map[string]plan.Value{}, ""}
	for len(args) > 0 {
		used, err := a.parseOne(args)
		if err != nil {
			return nil, err
		}
		args = args[used:]
	}
	return a.values, nil
}

// parseOne reads the first argument, and the next one if that is its value. It returns the number
// of arguments it used.
func (a *arguments) parseOne(args []string) (int, error) {
	arg := args[0]
	if arg == "--help" || arg == "-h" {
		return 0, ErrHelp
	}
	if file, ok := strings.CutPrefix(arg, "@"); ok {
		return 1, a.readAll(file)
	}
	flag, ok := strings.CutPrefix(arg, "--")
	if !ok || flag == "" {
		return 0, a.unexpected(arg)
	}
	name, text, hasText := strings.Cut(flag, "=")
	a.flag = ""
	param, negated := a.find(name)
	switch {
	case param == nil:
		return 0, a.unknown(name)
	case negated && hasText:
		return 0, a.usage("--%s takes no value", name)
	case negated:
		return 1, a.set(param, false)
	case !hasText && param.Type.Kind == plan.KindBool:
		a.flag = name
		return 1, a.set(param, true)
	case !hasText && len(args) == 1:
		return 0, a.usage("--%s lacks its value, %s", name, article(param.Type))
	}
	used := 1
	if !hasText {
		text, used = args[1], 2
	}
	v, err := fromText(text, param.Type)
	if err != nil {
		return 0, a.usage("--%s: %v", name, err)
	}
	return used, a.set(param, v)
}

// find returns the input that a flag names. "-" and "_" count as the same. negated says that the
// flag is the --no- form of a bool.
func (a *arguments) find(flag string) (p *plan.Param, negated bool) {
	byName := func(name string) *plan.Param {
		for i := range a.params {
			if strings.ReplaceAll(a.params[i].Name, "-", "_") == name {
				return &a.params[i]
			}
		}
		return nil
	}
	name := strings.ReplaceAll(flag, "-", "_")
	if p := byName(name); p != nil {
		return p, false
	}
	if rest, ok := strings.CutPrefix(name, "no_"); ok {
		if p := byName(rest); p != nil && p.Type.Kind == plan.KindBool {
			return p, true
		}
	}
	return nil, false
}

func (a *arguments) set(p *plan.Param, v plan.Value) error {
	if _, twice := a.values[p.Name]; twice {
		return a.usage("input %q is given twice", p.Name)
	}
	a.values[p.Name] = v
	return nil
}

// readAll reads inputs by name from a file with a JSON object.
func (a *arguments) readAll(file string) error {
	raw, err := readJSON(file)
	if err != nil {
		return a.usage("@%s: %v", file, err)
	}
	object, ok := raw.(map[string]any)
	if !ok {
		return a.usage("@%s: want a JSON object with inputs by name, got %s", file, jsonKind(raw))
	}
	for _, name := range sortedKeys(object) {
		p, _ := a.find(name)
		if p == nil || p.Name != name {
			return a.unknown(name)
		}
		v, err := fromJSON(object[name], p.Type)
		if err != nil {
			return a.usage("@%s: %s: %v", file, name, err)
		}
		if err := a.set(p, v); err != nil {
			return err
		}
	}
	return nil
}

func (a *arguments) usage(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, diag.Usage, format, args...)
}

// unknown returns the error for a flag that names no input.
func (a *arguments) unknown(name string) error {
	err := a.usage("task %q has no input %q", a.task, name)
	if a.own != nil && a.own.Lookup(name) != nil {
		return err.WithHint("--%s is a flag of flytestar: those come before FILE", name)
	}
	names := make([]string, len(a.params))
	for i, p := range a.params {
		names[i] = p.Name
	}
	if s := diag.Suggest(name, names); s != "" {
		return err.WithHint("did you mean --%s?", s)
	}
	if len(names) == 0 {
		return err.WithHint("it has none")
	}
	return err.WithHint("its inputs are %s", strings.Join(names, ", "))
}

// unexpected returns the error for an argument that isn't one. After a flag it may be meant as the
// flag's value.
func (a *arguments) unexpected(arg string) error {
	err := a.usage("unexpected argument %q", arg)
	switch {
	case a.flag != "" && (arg == "true" || arg == "false"):
		form := a.flag
		if arg == "false" {
			form = "no-" + a.flag
		}
		return err.WithHint("write --%s or --%s=%s", form, a.flag, arg)
	case a.flag != "":
		return err.WithHint("--%s takes no value: write --%s or --no-%s", a.flag, a.flag, a.flag)
	case len(a.params) == 0:
		return err.WithHint("the task has no inputs")
	}
	name := a.params[0].Name
	if a.params[0].Type.Kind == plan.KindBool {
		return err.WithHint("inputs are given by name, as --%s or --no-%s", name, name)
	}
	return err.WithHint("inputs are given by name, as --%s VALUE", name)
}

// article returns "a str", "an int" and so on.
func article(t plan.Type) string {
	s := t.String()
	if strings.ContainsRune("aeiou", rune(s[0])) {
		return "an " + s
	}
	return "a " + s
}

// fromText reads an argument as a value of type t.
func fromText(s string, t plan.Type) (plan.Value, error) {
	switch t.Kind {
	case plan.KindStr:
		if !utf8.ValidString(s) {
			return nil, fmt.Errorf("not valid UTF-8")
		}
		return s, nil
	case plan.KindInt:
		i, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("want an int of 64 bits, got %q", s)
		}
		return i, nil
	case plan.KindFloat:
		return float(s)
	case plan.KindBool:
		if s != "true" && s != "false" {
			return nil, fmt.Errorf("want true or false, got %q", s)
		}
		return s == "true", nil
	case plan.KindFile, plan.KindDir:
		return flytestar.Path(s), nil
	case plan.KindOptional:
		if s == "null" && t.Elem.Kind != plan.KindStr {
			return nil, nil
		}
		return fromText(s, *t.Elem)
	case plan.KindEnum:
		return fromEnum(s, t)
	case plan.KindUnion:
		return fromUnion(s, t)
	}
	return fromJSONText(s, t)
}

// float reads a decimal number. Without a point or an exponent it is an int, which a float may not
// be able to hold exactly.
func float(s string) (plan.Value, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return plan.Conform(i, plan.Type{Kind: plan.KindFloat})
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || strings.ContainsAny(s, "_xX") {
		return nil, fmt.Errorf("want a finite float in decimal, got %q", s)
	}
	return f, nil
}

// fromJSONText reads a value of a type that has no plain form. The text is JSON, or @FILE with JSON
// in it.
func fromJSONText(s string, t plan.Type) (plan.Value, error) {
	var raw any
	var err error
	if file, ok := strings.CutPrefix(s, "@"); ok {
		raw, err = readJSON(file)
	} else {
		raw, err = plan.DecodeJSON([]byte(s), plan.MaxDepth)
	}
	if err != nil {
		return nil, fmt.Errorf("want %s as JSON, or @FILE with it: %w", t, err)
	}
	return fromJSON(raw, t)
}

// fromJSON returns a result of decodeJSON as a value of type t. A string is a path where a File or
// Dir is declared; an object is a struct where a record is declared. Anything that doesn't fit is
// passed on unchanged, and plan.Conform refuses it.
func fromJSON(raw any, t plan.Type) (plan.Value, error) {
	if t.Kind == plan.KindOptional {
		if raw == nil {
			return nil, nil
		}
		return fromJSON(raw, *t.Elem)
	}
	if t.Kind == plan.KindUnion {
		t = member(raw, t)
	}
	switch x := raw.(type) {
	case json.Number:
		return fromNumber(x.String())
	case string:
		if t.Kind == plan.KindFile || t.Kind == plan.KindDir {
			return flytestar.Path(x), nil
		}
		return x, nil
	case []any:
		return fromArray(x, elemType(t, plan.KindList))
	case map[string]any:
		return fromObject(x, t)
	}
	return raw, nil // nil, bool
}

func fromNumber(s string) (plan.Value, error) {
	if strings.ContainsAny(s, ".eE") {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, fmt.Errorf("number %s is out of range", s)
		}
		return f, nil
	}
	i, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("int %s doesn't fit 64 bits", s)
	}
	return i, nil
}

func fromArray(x []any, elem plan.Type) (plan.Value, error) {
	list := make([]plan.Value, len(x))
	for i, e := range x {
		v, err := fromJSON(e, elem)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		list[i] = v
	}
	return list, nil
}

func fromObject(x map[string]any, t plan.Type) (plan.Value, error) {
	fields := map[string]plan.Type{}
	for _, f := range t.Fields {
		fields[f.Name] = f.Type
	}
	dict := make(map[string]plan.Value, len(x))
	for _, k := range sortedKeys(x) {
		elem, isField := fields[k]
		if !isField {
			elem = elemType(t, plan.KindDict)
		}
		v, err := fromJSON(x[k], elem)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", k, err)
		}
		dict[k] = v
	}
	if t.Kind == plan.KindRecord {
		return plan.Struct(dict), nil
	}
	return dict, nil
}

// elemType returns the type of t's elements if t is of that kind, else any.
func elemType(t plan.Type, kind plan.Kind) plan.Type {
	if t.Kind == kind {
		return *t.Elem
	}
	return plan.Type{Kind: plan.KindAny}
}

// maxInputFile is how much of @FILE is read. An encoded value may not have more.
const maxInputFile = plan.MaxValue

func readJSON(file string) (any, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxInputFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxInputFile {
		return nil, fmt.Errorf("more than %d bytes", maxInputFile)
	}
	return plan.DecodeJSON(data, plan.MaxDepth)
}

func jsonKind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a bool"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case []any:
		return "an array"
	}
	return "an object"
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
