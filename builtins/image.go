package builtins

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/site"
	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/internal/ociref"
	"github.com/flytestar/flytestar/plan"
)

// Image is an image as declared: a base, or an extension of its parent. It is
// immutable. spec.md, "image".
type Image struct {
	parent *Image
	base   plan.Base // of an image without a parent
	step   plan.Step // what it adds to its parent; without a kind for a clone
	name   string
	site   site.Site
	steps  int // its own and its parents'
	layers int // how many of them make layers
}

// maxSteps bounds the steps of an image, all of which a graph lists.
const maxSteps = 1000

var _ starlark.HasAttrs = (*Image)(nil)

// String returns "<image NAME>".
func (i *Image) String() string {
	if i.name != "" {
		return "<image " + i.name + ">"
	}
	return "<image>"
}

// Type returns "image".
func (i *Image) Type() string { return "image" }

// Freeze does nothing: images are immutable.
func (i *Image) Freeze() {}

// Truth returns true.
func (i *Image) Truth() starlark.Bool { return true }

// Hash fails: images are unhashable.
func (i *Image) Hash() (uint32, error) { return 0, errorf("unhashable: image") }

// Attr returns the method with that name.
func (i *Image) Attr(name string) (starlark.Value, error) {
	if m, ok := imageMethods()[name]; ok {
		return m.bind(name, i), nil
	}
	return nil, nil
}

// AttrNames implements starlark.HasAttrs.
func (i *Image) AttrNames() []string { return sortedKeys(imageMethods()) }

// Plan returns the image as plain data, with positions from sources.
func (i *Image) Plan(sources *site.Sources) plan.Image {
	out := plan.Image{Name: i.name, Pos: sources.Method(i.site)}
	for ; i.parent != nil; i = i.parent {
		if i.step.Kind != "" {
			s := i.step
			s.Pos = sources.Method(i.site)
			out.Steps = append(out.Steps, s)
		}
	}
	slices.Reverse(out.Steps)
	out.Base = i.base
	out.Base.Pos = sources.Start(i.site)
	return out
}

// extend returns the image that adds a step to i.
func (i *Image) extend(th *starlark.Thread, s plan.Step) *Image {
	out := &Image{parent: i, step: s, site: site.Of(th), steps: i.steps + 1, layers: i.layers}
	if s.Kind.MakesLayer() {
		out.layers++
	}
	return out
}

// imageMethods returns the methods of images.
func imageMethods() map[string]method[*Image] {
	return map[string]method[*Image]{
		"clone":              (*Image).clone,
		"with_apt_packages":  (*Image).withAptPackages,
		"with_commands":      (*Image).withCommands,
		"with_env_vars":      (*Image).withEnvVars,
		"with_pip_packages":  (*Image).withPipPackages,
		"with_requirements":  (*Image).withRequirements,
		"with_source_file":   (*Image).withSourceFile,
		"with_source_folder": (*Image).withSourceFolder,
		"with_user":          (*Image).withUser,
		"with_workdir":       (*Image).withWorkdir,
	}
}

// imageConstructor is the predeclared image: a function that has the bases as attributes.
type imageConstructor struct {
	*starlark.Builtin
	bases map[string]*starlark.Builtin
}

var _ starlark.HasAttrs = (*imageConstructor)(nil)

func newImageConstructor() *imageConstructor {
	return &imageConstructor{
		Builtin: starlark.NewBuiltin("image", newImage),
		bases: map[string]*starlark.Builtin{
			"from_base":        starlark.NewBuiltin("image.from_base", fromBase),
			"from_debian_base": starlark.NewBuiltin("image.from_debian_base", fromDebianBase),
			"from_scratch":     starlark.NewBuiltin("image.from_scratch", fromScratch),
		},
	}
}

// Attr implements starlark.HasAttrs.
func (c *imageConstructor) Attr(name string) (starlark.Value, error) {
	if f, ok := c.bases[name]; ok {
		return f, nil
	}
	if _, ok := imageMethods()[name]; ok {
		return nil, errorf("%s is a method of an image, and this is the constructor", name).
			WithHint("write image.from_debian_base().%s(...)", name)
	}
	return nil, nil
}

// AttrNames implements starlark.HasAttrs.
func (c *imageConstructor) AttrNames() []string { return sortedKeys(c.bases) }

// newImage implements image(...). spec.md, "image".
func newImage(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var base, workdir, user starlark.Value
	var apt, pip, commands unpack.Strings
	var env unpack.EnvVars
	var files *starlark.Dict
	if _, err := loading(th, "image"); err != nil {
		return nil, err
	}
	err := unpack.Args("image", args, kwargs, "base??", &base, "apt?", &apt, "pip?", &pip, "commands?", &commands,
		"env_vars?", &env, "files?", &files, "workdir??", &workdir, "user??", &user)
	if err != nil {
		return nil, err
	}
	i, err := baseImage(th, base)
	if err != nil {
		return nil, unpack.About("image: argument base", err)
	}
	steps := []func(*Image) (*Image, error){
		func(i *Image) (*Image, error) { return i.withPackages(th, plan.StepApt, apt, plan.Step{}) },
		func(i *Image) (*Image, error) { return i.withPackages(th, plan.StepPip, pip, plan.Step{}) },
		func(i *Image) (*Image, error) {
			return i.extendIf(th, len(commands) > 0, plan.Step{Kind: plan.StepCommands, Commands: commands}), nil
		},
		func(i *Image) (*Image, error) {
			return i.extendIf(th, len(env) > 0, plan.Step{Kind: plan.StepEnv, EnvVars: env}), nil
		},
		func(i *Image) (*Image, error) { return i.withFiles(th, files) },
		func(i *Image) (*Image, error) { return i.withNamed(th, plan.StepWorkdir, workdir) },
		func(i *Image) (*Image, error) { return i.withNamed(th, plan.StepUser, user) },
	}
	for _, step := range steps {
		if i, err = step(i); err != nil {
			return nil, unpack.About("image", err)
		}
	}
	return i, nil
}

// baseImage returns the image for the argument of image(base=) or task_environment(image=).
func baseImage(th *starlark.Thread, v starlark.Value) (*Image, error) {
	switch v := v.(type) {
	case nil:
		return &Image{base: plan.Base{Kind: plan.BaseDebian, Python: true}, site: site.Of(th)}, nil
	case *Image:
		const merge = "give one step more packages or commands"
		if v.steps > maxSteps {
			return nil, errorf("the image has more than %d steps", maxSteps).WithHint(merge)
		}
		if v.layers > plan.MaxLayers {
			return nil, errorf("the image has %d steps that make layers; an image can have %d layers", v.layers, plan.MaxLayers).WithHint(merge)
		}
		return v, nil
	case starlark.String:
		base, err := refBase(th, string(v))
		if err != nil {
			return nil, err
		}
		return &Image{base: base, site: site.Of(th)}, nil
	}
	return nil, errorf("want an image or the string for image.from_base, got %s", v.Type()).
		WithHint("write image.from_debian_base()")
}

// extendIf returns i itself if there is nothing to add.
func (i *Image) extendIf(th *starlark.Thread, cond bool, s plan.Step) *Image {
	if !cond {
		return i
	}
	return i.extend(th, s)
}

func (i *Image) withFiles(th *starlark.Thread, files *starlark.Dict) (*Image, error) {
	if files == nil {
		return i, nil
	}
	for k, v := range files.Entries() {
		src, ok := starlark.AsString(k)
		dst, ok2 := starlark.AsString(v)
		if !ok || !ok2 {
			return nil, errorf("argument files: want a dict of source paths to destinations, got %s: %s", k, v)
		}
		kind := plan.StepFile
		if strings.HasSuffix(src, "/") {
			kind = plan.StepFolder
		}
		var err error
		if i, err = i.withSource(th, kind, src, dst, nil); err != nil {
			return nil, unpack.About("argument files", err)
		}
	}
	return i, nil
}

func (i *Image) withNamed(th *starlark.Thread, kind plan.StepKind, v starlark.Value) (*Image, error) {
	if v == nil {
		return i, nil
	}
	name, err := checkNamed(kind, v)
	if err != nil {
		return nil, unpack.About("argument "+string(kind), err)
	}
	return i.extend(th, plan.Step{Kind: kind, Name: name}), nil
}

// suiteRE matches the code names of releases.
var suiteRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9-]*$`) })

// fromDebianBase implements image.from_debian_base. spec.md, "image".
func fromDebianBase(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	suite, python := "", true
	if _, err := loading(th, b.Name()); err != nil {
		return nil, err
	}
	if err := unpack.Args(b.Name(), args, kwargs, "suite??", &suite, "python?", &python); err != nil {
		return nil, err
	}
	if suite != "" && !suiteRE().MatchString(suite) {
		return nil, errorf("%s: %q can't name a suite", b.Name(), suite).WithHint("write a release's code name, in small letters")
	}
	return &Image{base: plan.Base{Kind: plan.BaseDebian, Suite: suite, Python: python}, site: site.Of(th)}, nil
}

// fromBase implements image.from_base. spec.md, "image".
func fromBase(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var ref string
	if _, err := loading(th, b.Name()); err != nil {
		return nil, err
	}
	if err := unpack.Args(b.Name(), args, kwargs, "ref", &ref); err != nil {
		return nil, err
	}
	base, err := refBase(th, ref)
	if err != nil {
		return nil, unpack.About(b.Name(), err)
	}
	return &Image{base: base, site: site.Of(th)}, nil
}

// fromScratch implements image.from_scratch. spec.md, "image".
func fromScratch(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if _, err := loading(th, b.Name()); err != nil {
		return nil, err
	}
	if err := unpack.Args(b.Name(), args, kwargs); err != nil {
		return nil, err
	}
	return &Image{base: plan.Base{Kind: plan.BaseScratch}, site: site.Of(th)}, nil
}

// refBase returns the base for a registry reference or "oci:DIR[:TAG]", with DIR as a path of the
// workspace. Whether it is a reference at all is one of the checks.
func refBase(th *starlark.Thread, ref string) (plan.Base, error) {
	base := plan.Base{Kind: plan.BaseRef, Ref: ref}
	dir, tag, ok := ociref.CutLayout(ref)
	if !ok {
		return base, nil
	}
	dir, err := workspacePath(th, "image.from_base", dir)
	base.Ref = ociref.FromLayout(dir, tag)
	return base, err
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
