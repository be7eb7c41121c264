package builtins

import (
	"regexp"
	"strconv"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/site"
	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/plan"
)

// The methods of images that add steps. spec.md, "image".

// withPipPackages implements .with_pip_packages.
func (i *Image) withPipPackages(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	s, err := packageSource(th, fn, nil, kwargs)
	if err != nil {
		return nil, err
	}
	return i.withNames(th, fn, plan.StepPip, args, s)
}

// withAptPackages implements .with_apt_packages.
func (i *Image) withAptPackages(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if _, err := loading(th, fn); err != nil {
		return nil, err
	}
	if err := unpack.Args(fn, nil, kwargs); err != nil {
		return nil, err
	}
	return i.withNames(th, fn, plan.StepApt, args, plan.Step{})
}

// withRequirements implements .with_requirements.
func (i *Image) withRequirements(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var file string
	s, err := packageSource(th, fn, args, kwargs, "file", &file)
	if err != nil {
		return nil, err
	}
	s.Kind = plan.StepRequirements
	if s.Src, err = workspacePath(th, fn, file); err != nil {
		return nil, unpack.About(fn, err)
	}
	return i.extend(th, s), nil
}

// packageSource unpacks the arguments that say where Python packages come from, after others.
func packageSource(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple, further ...any) (plan.Step, error) {
	var s plan.Step
	var extra unpack.Strings
	if _, err := loading(th, fn); err != nil {
		return s, err
	}
	pairs := append(further, "index_url??", &s.IndexURL, "extra_index_urls?", &extra, "pre?", &s.Pre)
	if err := unpack.Args(fn, args, kwargs, pairs...); err != nil {
		return s, err
	}
	s.ExtraIndexURLs = extra
	for _, url := range append(extra[:len(extra):len(extra)], s.IndexURL) {
		if url != "" && !urlRE().MatchString(url) {
			return s, errorf("%s: %q is no index URL", fn, url).WithHint("write https://…")
		}
	}
	return s, nil
}

// urlRE matches URLs of package indexes.
var urlRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(https?|file)://[^\s]+$`) })

// withNames adds packages that are given as arguments.
func (i *Image) withNames(th *starlark.Thread, fn string, kind plan.StepKind, args starlark.Tuple, s plan.Step) (starlark.Value, error) {
	names := make([]string, len(args))
	for n, v := range args {
		if _, ok := v.(*starlark.List); ok {
			return nil, errorf("%s takes packages, got a list", fn).WithHint("write %s(*packages)", fn)
		}
		var err error
		if names[n], err = unpack.Text(v); err != nil {
			return nil, unpack.About(fn, err)
		}
	}
	if len(names) == 0 {
		return nil, errorf("%s: no packages", fn).WithHint("leave the call out")
	}
	extended, err := i.withPackages(th, kind, names, s)
	if err != nil {
		return nil, unpack.About(fn, err)
	}
	return extended, nil
}

// withPackages adds packages. It returns i itself if there are none.
func (i *Image) withPackages(th *starlark.Thread, kind plan.StepKind, names []string, s plan.Step) (*Image, error) {
	check := checkRequirement
	if kind == plan.StepApt {
		check = checkAptPackage
	}
	for _, name := range names {
		if err := check(name); err != nil {
			return nil, err
		}
	}
	s.Kind, s.Packages = kind, names
	return i.extendIf(th, len(names) > 0, s), nil
}

// withCommands implements .with_commands.
func (i *Image) withCommands(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var commands unpack.Strings
	s := plan.Step{Kind: plan.StepCommands}
	if _, err := loading(th, fn); err != nil {
		return nil, err
	}
	if err := unpack.Args(fn, args, kwargs, "commands", &commands, "network?", &s.Network); err != nil {
		return nil, err
	}
	if s.Commands = commands; len(commands) == 0 {
		return nil, errorf("%s: no commands", fn).WithHint("leave the call out")
	}
	return i.extend(th, s), nil
}

// withEnvVars implements .with_env_vars.
func (i *Image) withEnvVars(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var env unpack.EnvVars
	if _, err := loading(th, fn); err != nil {
		return nil, err
	}
	if err := unpack.Args(fn, args, kwargs, "vars", &env); err != nil {
		return nil, err
	}
	return i.extendIf(th, len(env) > 0, plan.Step{Kind: plan.StepEnv, EnvVars: env}), nil
}

// withSourceFile implements .with_source_file.
func (i *Image) withSourceFile(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var src, dst string
	if _, err := loading(th, fn); err != nil {
		return nil, err
	}
	if err := unpack.Args(fn, args, kwargs, "src", &src, "dst", &dst); err != nil {
		return nil, err
	}
	if strings.HasSuffix(src, "/") {
		return nil, errorf("%s: %q is a folder", fn, src).WithHint("use with_source_folder")
	}
	extended, err := i.withSource(th, plan.StepFile, src, dst, nil)
	if err != nil {
		return nil, unpack.About(fn, err)
	}
	return extended, nil
}

// withSourceFolder implements .with_source_folder.
func (i *Image) withSourceFolder(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var src, dst string
	var ignore unpack.Strings
	if _, err := loading(th, fn); err != nil {
		return nil, err
	}
	if err := unpack.Args(fn, args, kwargs, "src", &src, "dst", &dst, "ignore?", &ignore); err != nil {
		return nil, err
	}
	extended, err := i.withSource(th, plan.StepFolder, src, dst, ignore)
	if err != nil {
		return nil, unpack.About(fn, err)
	}
	return extended, nil
}

// withSource adds a file or folder of the workspace.
func (i *Image) withSource(th *starlark.Thread, kind plan.StepKind, src, dst string, ignore []string) (*Image, error) {
	s := plan.Step{Kind: kind, Ignore: ignore}
	var err error
	if s.Src, err = workspacePath(th, "image", src); err != nil {
		return nil, unpack.About("src", err)
	}
	if s.Dst, err = cleanDst(dst, true); err != nil {
		return nil, unpack.About("dst", err)
	}
	if s.Src == "." && kind == plan.StepFile {
		return nil, errorf("src: %q is a folder", src).WithHint("use with_source_folder")
	}
	return i.extend(th, s), nil
}

// withWorkdir implements .with_workdir.
func (i *Image) withWorkdir(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return i.withOne(th, fn, plan.StepWorkdir, "dir", args, kwargs)
}

// withUser implements .with_user.
func (i *Image) withUser(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return i.withOne(th, fn, plan.StepUser, "name", args, kwargs)
}

func (i *Image) withOne(th *starlark.Thread, fn string, kind plan.StepKind, param string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if _, err := loading(th, fn); err != nil {
		return nil, err
	}
	if err := unpack.Args(fn, args, kwargs, param, &v); err != nil {
		return nil, err
	}
	name, err := checkNamed(kind, v)
	if err != nil {
		return nil, unpack.About(fn, err)
	}
	return i.extend(th, plan.Step{Kind: kind, Name: name}), nil
}

// userRE matches users: a name, "uid" or "uid:gid".
var userRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([a-z_][a-z0-9_-]*|[0-9]{1,10}(:[0-9]{1,10})?)$`) })

// checkNamed checks the argument of a step of kind workdir or user.
func checkNamed(kind plan.StepKind, v starlark.Value) (string, error) {
	name, ok := starlark.AsString(v)
	if !ok {
		return "", errorf("want a string, got %s", v.Type()).WithHint("write %q", v.String())
	}
	if kind == plan.StepWorkdir {
		dir, err := cleanDst(name, false)
		if err != nil {
			return "", err
		}
		if dir != "/" {
			dir = strings.TrimSuffix(dir, "/")
		}
		return dir, nil
	}
	if !userRE().MatchString(name) {
		return "", errorf("%q is no user", name).WithHint(`write a name, "uid" or "uid:gid"`)
	}
	return name, checkIDs(name)
}

// maxID is the greatest id of a user or group in a container.
const maxID = 65535

// checkIDs refuses a user of ids that containers don't have.
func checkIDs(user string) error {
	for id := range strings.SplitSeq(user, ":") {
		if n, err := strconv.Atoi(id); err == nil && n > maxID {
			return errorf("user %q: ids in containers go up to %d", user, maxID)
		}
	}
	return nil
}

// clone implements .clone.
func (i *Image) clone(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	if _, err := loading(th, fn); err != nil {
		return nil, err
	}
	if err := unpack.Args(fn, args, kwargs, "name??", &name); err != nil {
		return nil, err
	}
	if name != "" && !plan.ValidName(name) {
		return nil, errorf("%s: %q can't name an image", fn, name).WithHint("names match %s", plan.NamePattern)
	}
	return &Image{parent: i, name: name, site: site.Of(th), steps: i.steps + 1}, nil
}
