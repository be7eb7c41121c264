"""Runs one function of a workflow's Python file.

The engine leaves what to call in /var/flytestar/call.json: the file, the module
that it is, the directory where that module's package begins, the function, the
inputs (with tags for what JSON has no word for) and the output's
type. What the function returns goes to /var/outputs/flytestar.json as
{"value": ...}, with each File and Dir beside it as an entry that the value
names; an exception as {"error": ..., "type": its class}, after its traceback on
stderr, and with {"missing": ...} if a module couldn't be imported.

The user's files come before the standard library on sys.path, as in any Python
program, and may be called traceback.py or enum.py. So what this file needs is
imported before they are there; what only some tasks need, since every import
costs each task a millisecond or more, comes from standard().
"""

import os
import sys


def divide():
    """Returns the directories of sys.path that are the user's, and the others."""
    said = os.environ.get("PYTHONPATH")
    users = [os.path.abspath(p) for p in said.split(os.pathsep)] if said else []
    own = os.path.dirname(os.path.abspath(__file__))
    return [p for p in users if p in sys.path], [p for p in sys.path if p not in users and p != own]


BEFORE = set(sys.modules)
USERS, STANDARD = divide()
sys.path = list(STANDARD)

import importlib
import importlib.util
import json
import math
import stat
import types

HIDING = set()  # names of modules that the user's directories have
ASIDE = {}  # modules of the standard library with such a name, which the user's code doesn't get
KNOWN = {}  # what standard() has imported

CALL = "/var/flytestar/call.json"
OUTPUTS = "/var/outputs"
RESULT = "flytestar.json"
WORKSPACE = "/workspace"
MAX_DEPTH = 64
MAX_ERROR = 8192


class Mismatch(Exception):
    """The function returned what its output's type doesn't admit."""


class Unfit(Exception):
    """An input can't become what the function's annotation says."""


def main():
    with open(CALL, encoding="utf-8") as f:
        call = json.load(f)
    prepare(call)
    try:
        result = {"value": run(call)}
    except Mismatch as e:
        result = {"error": clip("%s returned what doesn't fit its output: %s" % (call["function"], e))}
    except Unfit as e:
        result = {"error": clip(str(e)), "type": clip(type(e.__cause__ or e).__name__)}
    except BaseException as e:  # CancelledError, SystemExit and others aren't Exceptions
        result = report(e)
    path = os.path.join(OUTPUTS, RESULT)
    with open(path + ".tmp", "w", encoding="utf-8", newline="") as f:
        json.dump(result, f, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    os.rename(path + ".tmp", path)


def run(call):
    function = load(call["file"], call["module"], call["function"])
    hints = annotations(function)
    inputs = {name: decode(v) for name, v in call["inputs"].items()}
    value = function(**{name: fit(v, hints[name], name) if name in hints else v for name, v in inputs.items()})
    if hasattr(type(value), "__await__"):
        value = standard("asyncio").run(finish(value))
    if isinstance(value, (types.GeneratorType, types.AsyncGeneratorType)):
        raise Mismatch("it is a generator, whose values nobody asks for: return a list of them")
    if call["tuple"] and isinstance(value, tuple) and not hasattr(value, "_fields"):
        value = by_name(value, call["output"]["fields"])
    return Encoder().encode(value, call["output"], "")


def by_name(values, outputs):
    """Returns a tuple of outputs as a dict."""
    names = [f["name"] for f in outputs]
    if len(values) != len(names):
        raise Mismatch("want %d outputs (%s), got a tuple of %d" % (len(names), ", ".join(names), len(values)))
    return dict(zip(names, values))


async def finish(value):
    return await value


def prepare(call):
    """Puts the user's directories on sys.path."""
    first = list(dict.fromkeys([call["root"], WORKSPACE] + USERS))
    last = os.path.dirname(call["file"])  # for a module of a package that imports its neighbours by their bare names
    sys.path[:] = first + STANDARD + ([] if last in first else [last])
    sys.argv = [call["file"]]
    globals().pop("__file__", None)  # else multiprocessing runs this file in its children
    HIDING.update(shadowing(first) - {call["module"]})  # nobody imports a script by its name
    set_aside(ASIDE, HIDING)


def shadowing(dirs):
    """Returns the names of the modules that lie in directories."""
    names = set()
    for d in dirs:
        try:
            entries = os.listdir(d)
        except OSError:
            continue
        names.update(e[:-3] for e in entries if e.endswith(".py"))
        names.update(e for e in entries if os.path.isfile(os.path.join(d, e, "__init__.py")))
    return names


def set_aside(where, names):
    """Takes modules out of sys.modules whose names files of the user's have."""
    for name in list(sys.modules):
        if name not in BEFORE and name.partition(".")[0] in names:
            where[name] = sys.modules.pop(name)


def standard(name):
    """Imports a module of the standard library, not one of the user's with its name."""
    if name in KNOWN:
        return KNOWN[name]
    users, path = {}, list(sys.path)
    set_aside(users, HIDING)
    sys.modules.update(ASIDE)
    sys.path[:] = STANDARD
    try:
        KNOWN[name] = importlib.import_module(name)
    finally:
        sys.path[:] = path
        set_aside(ASIDE, {n.partition(".")[0] for n in users})
        sys.modules.update(users)
    return KNOWN[name]


def load(path, name, function):
    """Returns the function, from its file imported as the module of that name."""
    module = load_module(path, name)
    if not callable(getattr(module, function, None)):
        raise AttributeError("%s has no function %r" % (os.path.relpath(path, WORKSPACE), function))
    return getattr(module, function)


def load_module(path, name):
    parent, _, leaf = name.rpartition(".")
    if parent:
        above = importlib.import_module(parent)
        if os.path.dirname(path) not in getattr(above, "__path__", []):
            raise ImportError("the package %r isn't the workspace's: it was imported from %s" % (parent, getattr(above, "__file__", None)))
        if name in sys.modules:  # the package imports it itself
            return sys.modules[name]
    elif name in sys.modules:  # a file of the name of one that is in use, such as types.py
        name = "task_" + name
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if parent:
        setattr(above, leaf, module)
    return module


def decode(v):
    """Returns an input as the function is given it."""
    if isinstance(v, list):
        return [decode(x) for x in v]
    if not isinstance(v, dict):
        return v
    ((tag, held),) = v.items()
    if tag == "$path":
        return standard("pathlib").Path(held)
    members = {k: decode(x) for k, x in held.items()}
    return types.SimpleNamespace(**members) if tag == "$struct" else members


SIMPLE = {str, int, float, bool, list, type(None), "str", "int", "float", "bool", "list", "None", "Path"}


def annotations(function):
    """Returns the annotations of the function's parameters, unless all of them are simple: looking
    at the others takes time, and a module that not every task imports."""
    try:
        raw = getattr(function, "__annotations__", None) or {}
        if all(hint.__hash__ and hint in SIMPLE or getattr(hint, "__name__", "") == "Path" for hint in raw.values()):
            return {}
        typing = standard("typing")
        if not hasattr(typing, "get_origin"):  # before Python 3.8
            return {}
        try:
            return typing.get_type_hints(function)
        except Exception:  # a name that only type checkers import, say
            return {name: hint for name, hint in raw.items() if not isinstance(hint, str)}
    except Exception:  # an object that isn't a function, or annotations that can't be evaluated
        return {}


def fit(v, hint, place):
    """Returns an input as its annotation wants it: as an instance of a class, or of an Enum."""
    typing = standard("typing")
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if v is None:
        return v
    if origin is typing.Union or origin is getattr(types, "UnionType", Unfit):
        return fit_union(v, args, place)
    kind = origin or hint
    if not isinstance(kind, type):
        return v
    if isinstance(v, types.SimpleNamespace):
        return build(kind, vars(v), place)
    if isinstance(v, list):
        if kind is tuple and len(args) == len(v) and Ellipsis not in args:
            return tuple(fit(x, a, "%s[%d]" % (place, i)) for i, (x, a) in enumerate(zip(v, args)))
        items = [fit(x, args[0], "%s[%d]" % (place, i)) for i, x in enumerate(v)] if args else v
        return kind(items) if kind in (tuple, set, frozenset) else items
    if isinstance(v, dict) and typing_class(kind):
        return build(kind, v, place)
    if isinstance(v, dict):
        return {k: fit(x, args[1], "%s[%r]" % (place, k)) for k, x in v.items()} if len(args) == 2 else v
    if hasattr(kind, "__members__"):
        return made(place, hint, kind, v)
    return v


def fit_union(v, hints, place):
    """Returns an input as the first member of a union that it can be."""
    if any(hint is type(v) for hint in hints):
        return v
    for hint in hints:
        if isinstance(v, types.SimpleNamespace) and not covers(hint, vars(v)):
            continue
        try:
            fitted = fit(v, hint, place)
        except Unfit:
            continue
        if type(fitted) is not type(v):
            return fitted
    return v


def covers(kind, members):
    """Reports whether a class has fields of these names."""
    names = field_names(kind)
    return names is not None and set(members) <= set(names)


def field_names(kind):
    """Returns the names of a class's fields, or None if it isn't a class with fields."""
    for attribute in ("__dataclass_fields__", "model_fields", "__fields__", "_fields"):
        names = getattr(kind, attribute, None)
        if names is not None:
            return list(names)
    if hasattr(kind, "__attrs_attrs__"):
        return [a.name for a in kind.__attrs_attrs__]
    return list(kind.__annotations__) if typing_class(kind) else None


def typing_class(kind):
    """Reports whether a class is a TypedDict."""
    return type(kind).__name__ == "_TypedDictMeta"


def build(kind, members, place):
    """Returns an instance of a class from a record's members."""
    for validate in ("model_validate", "parse_obj"):  # pydantic's, which look at the members' types themselves
        if hasattr(kind, validate):
            return made(place, kind, getattr(kind, validate), tree(members))
    if issubclass(kind, dict) and not typing_class(kind):
        return dict(members)
    names = field_names(kind)
    if names is None:
        return types.SimpleNamespace(**members)
    unknown = sorted(set(members) - set(names))
    if unknown:
        raise Unfit("input %s doesn't fit %s: the class has no field %r" % (place, kind.__name__, unknown[0]))
    try:
        hints = standard("typing").get_type_hints(kind)
    except Exception:
        hints = {}
    held = {k: fit(x, hints[k], "%s.%s" % (place, k)) if k in hints else x for k, x in members.items()}
    return held if typing_class(kind) else made(place, kind, kind, **held)


def made(place, hint, make, *args, **kwargs):
    """Calls a class. Its exception is about the input."""
    try:
        return make(*args, **kwargs)
    except Exception as e:
        raise Unfit("input %s doesn't fit %s: %s: %s" % (place, getattr(hint, "__name__", hint), type(e).__name__, e)) from e


def tree(v):
    """Returns a value with records as dicts."""
    if isinstance(v, types.SimpleNamespace):
        v = vars(v)
    if isinstance(v, dict):
        return {k: tree(x) for k, x in v.items()}
    return [tree(x) for x in v] if isinstance(v, list) else v


def report(e):
    """Writes an exception's traceback, and returns what the result file says of it."""
    result = {"error": type(e).__name__, "type": clip(type(e).__name__)}
    try:
        traceback = standard("traceback")
        tb = below(e.__traceback__)
        log("".join(traceback.format_exception(type(e), e, tb)))
        result["error"] = clip(summary(traceback, e, tb))
    except Exception as again:  # memory is short, say
        log("%s, whose traceback can't be shown: %s\n" % (type(e).__name__, type(again).__name__))
    if isinstance(e, ImportError) and isinstance(e.name, str):
        result["missing"] = clip(e.name)
    return result


def below(tb):
    """Returns a traceback from the first frame of the workspace on, or else without this file's."""
    within = tb
    while within and not within.tb_frame.f_code.co_filename.startswith(WORKSPACE + "/"):
        within = within.tb_next
    while tb and tb.tb_frame.f_code.co_filename == main.__code__.co_filename:
        tb = tb.tb_next
    return within or tb


def summary(traceback, e, tb):
    """Returns an exception as one line: itself, where in the workspace, what it groups, its cause."""
    text = line(traceback, e)
    own = [f for f in traceback.extract_tb(tb) if f.filename.startswith(WORKSPACE + "/")]
    if own and not isinstance(e, SyntaxError):
        text += " (%s:%d, in %s)" % (os.path.relpath(own[-1].filename, WORKSPACE), own[-1].lineno, own[-1].name)
    if isinstance(e, SystemExit):
        text += ": the function ended the process instead of returning"
    within = [x for x in getattr(e, "exceptions", None) or [] if isinstance(x, BaseException)]
    if within:
        text += ": " + "; ".join(line(traceback, x) for x in within[:5])
    if e.__cause__ is not None:
        text += ", caused by " + line(traceback, e.__cause__)
    return text


def line(traceback, e):
    if isinstance(e, SyntaxError) and str(e.filename).startswith(WORKSPACE + "/"):
        return "%s: %s (%s:%s)" % (type(e).__name__, e.msg, os.path.relpath(e.filename, WORKSPACE), e.lineno)
    return "".join(traceback.format_exception_only(type(e), e)).strip()


def log(text):
    """Writes text to stderr, after what was printed, whatever the user did to sys.stderr."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed, or replaced
            pass
    try:
        with open(2, "wb", closefd=False) as f:
            f.write(text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass


def clip(text):
    """Returns text as UTF-8 can have it, and not too long."""
    return text[:MAX_ERROR].encode("utf-8", "backslashreplace").decode("utf-8")


class Encoder:
    """Turns what a function returned into the result file's form, by the output's type."""

    def __init__(self):
        self.entries = {}  # the entry of each path that was returned

    def encode(self, v, type, place, depth=0):
        if depth > MAX_DEPTH:
            raise Mismatch("%sit nests deeper than %d" % (at(place), MAX_DEPTH))
        v = plain(v)
        kind = type["kind"]
        if kind == "optional":
            return None if v is None else self.encode(v, type["elem"], place, depth)
        if kind == "any":
            return self.any(v, place, depth)
        encoded = getattr(self, kind.lower())(v, type, place, depth)
        if encoded is NotImplemented:
            raise Mismatch("%swant %s, got %s%s" % (at(place), show(type), describe(v), way_out(v, kind)))
        return encoded

    def none(self, v, type, place, depth):
        return None if v is None else NotImplemented

    def bool(self, v, type, place, depth):
        return v if isinstance(v, bool) else NotImplemented

    def int(self, v, type, place, depth):
        if not number(v, int, "Integral"):
            return NotImplemented
        v = int.__int__(v) if isinstance(v, int) else int(v)
        if not -(2**63) <= v < 2**63:
            raise Mismatch("%sint %d doesn't fit 64 bits" % (at(place), v))
        return v

    def float(self, v, type, place, depth):
        if not number(v, (int, float), "Real"):
            return NotImplemented
        if not math.isfinite(v):
            raise Mismatch("%sfloat %s isn't finite" % (at(place), v))
        exact = float.__float__(v) if isinstance(v, float) else float(v)
        if exact != v:
            raise Mismatch("%s%s %s isn't exact as a float: return float(x) if that will do" % (at(place), describe(v), v))
        return exact

    def str(self, v, type, place, depth):
        return text(v, place) if isinstance(v, str) else NotImplemented

    def enum(self, v, type, place, depth):
        encoded = getattr(self, type["elem"]["kind"])(v, type["elem"], place, depth)
        if encoded is not NotImplemented and str(encoded) not in type["values"]:
            raise Mismatch("%swant %s, got %r" % (at(place), show(type), encoded))
        return encoded

    def union(self, v, type, place, depth):
        exact = EXACT.get(builtin(v), ())
        for m in sorted(type["members"], key=lambda m: m["kind"] not in exact):
            try:
                return self.encode(v, m, place, depth)
            except Mismatch as e:
                inner = e
        if len([m for m in type["members"] if m["kind"] in exact]) == 1 and not str(inner).startswith(at(place) + "want"):
            raise inner
        return NotImplemented

    def list(self, v, type, place, depth):
        if of_numpy(v) and hasattr(v, "tolist"):
            v = v.tolist()
        if not isinstance(v, (list, tuple, range)):
            return NotImplemented
        return [self.encode(x, type["elem"], "%s[%d]" % (place, i), depth + 1) for i, x in enumerate(v)]

    def dict(self, v, type, place, depth):
        if not isinstance(v, dict):
            return NotImplemented
        return {"$dict": {key(k, place): self.encode(x, type["elem"], "%s[%r]" % (place, k), depth + 1) for k, x in v.items()}}

    def record(self, v, type, place, depth):
        fields = type.get("fields") or []
        if isinstance(v, dict):
            for k in v:
                if k not in [f["name"] for f in fields]:
                    raise Mismatch("%sthere is no field %r" % (at(place), k))
            get = v.get
        else:
            def get(name, default):
                return getattr(v, name, default)
        members = {}
        for f in fields:
            x = get(f["name"], NotImplemented)
            if x is NotImplemented:
                if "default" in f:
                    continue
                if f["type"]["kind"] != "optional":
                    raise Mismatch("%swant %s, got %s without %r" % (at(place), show(type), describe(v), f["name"]))
                x = None
            members[f["name"]] = self.encode(x, f["type"], "%s.%s" % (place, f["name"]), depth + 1)
        return {"$struct": members}

    def file(self, v, type, place, depth):
        return self.path(v, place, "$file")

    def dir(self, v, type, place, depth):
        return self.path(v, place, "$dir")

    def any(self, v, place, depth):
        if v is None or isinstance(v, bool):
            return v
        if isinstance(v, os.PathLike):
            return self.path(v, place, "$dir" if os.path.isdir(v) else "$file")
        if isinstance(v, types.SimpleNamespace):
            v = vars(v)
            fields = [{"name": text(k, place), "type": {"kind": "any"}} for k in v]
            return self.record(v, {"fields": fields}, place, depth)
        elem = {"elem": {"kind": "any"}}
        for encode in (self.str, self.int, self.float, self.list, self.dict):
            encoded = encode(v, elem, place, depth)
            if encoded is not NotImplemented:
                return encoded
        names = field_names(builtin(v)) if not isinstance(v, type) else None
        if names is not None:
            return self.record({k: getattr(v, k) for k in names}, {"fields": [{"name": k, "type": {"kind": "any"}} for k in names]}, place, depth)
        raise Mismatch("%sa %s can't pass between tasks%s" % (at(place), describe(v), way_out(v, "any")))

    def path(self, v, place, tag):
        """Puts a file or directory among the outputs and returns its reference."""
        if not isinstance(v, (str, os.PathLike)):
            return NotImplemented
        path = os.path.abspath(os.fspath(v))
        if isinstance(path, bytes):
            return NotImplemented
        try:
            mode = os.stat(path).st_mode
        except OSError as e:
            raise Mismatch("%s%s: %s" % (at(place), path, e.strerror))
        if not (stat.S_ISREG(mode) if tag == "$file" else stat.S_ISDIR(mode)):
            raise Mismatch("%s%s isn't a %s" % (at(place), path, "file" if tag == "$file" else "directory"))
        real = os.path.realpath(path)
        if real == OUTPUTS:
            raise Mismatch("%s%s itself can't be an output: return a directory in it" % (at(place), OUTPUTS))
        if real not in self.entries:
            if os.path.dirname(real) == OUTPUTS:
                entry = os.path.basename(real)
            else:
                entry = "flytestar.%d" % len(self.entries)
                keep(real, os.path.join(OUTPUTS, entry))
            self.entries[real] = entry
        return {tag: {"entry": self.entries[real], "name": text(os.path.basename(path), place)}}


def keep(source, target):
    """Links or copies a file or a directory to among the outputs."""
    mode = os.lstat(source).st_mode
    if stat.S_ISDIR(mode):
        os.mkdir(target)
        for name in os.listdir(source):
            keep(os.path.join(source, name), os.path.join(target, name))
        return
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)  # whether it stays within the Dir is checked later
        return
    if not stat.S_ISREG(mode):
        raise Mismatch("%s is neither a file nor a directory, and a Dir holds only these and links" % source)
    try:
        os.link(source, target)
    except OSError:  # on another file system, which is the usual case
        standard("shutil").copyfile(source, target)
        os.chmod(target, 0o755 if mode & 0o111 else 0o644)


def number(v, builtin, abstract):
    """Reports whether v is such a number: Python's own, or numpy's, say."""
    if isinstance(v, bool):
        return False
    if isinstance(v, builtin):
        return True
    return isinstance(v, getattr(standard("numbers"), abstract))


def text(s, place):
    try:
        s.encode("utf-8")
    except UnicodeEncodeError:
        raise Mismatch("%sstring %a isn't valid Unicode" % (at(place), s))
    return str.__str__(s)  # not str(s), which a subclass may change: an Enum's members are called C.RED


def key(k, place):
    k = plain(k)
    if not isinstance(k, str):
        raise Mismatch("%sa key is %s, not str: return {str(k): v for k, v in x.items()}" % (at(place), describe(k)))
    return text(k, place)


def at(place):
    return place.lstrip(".") + ": " if place else ""


def builtin(v):
    """Returns the class of a value; of Python's own classes, the one that it is or extends."""
    for c in (bool, int, float, str, list, tuple, dict):
        if isinstance(v, c):
            return c
    return os.PathLike if isinstance(v, os.PathLike) else type(v)


# The kinds of type whose values a class has as they are.
EXACT = {
    bool: ["bool"],
    int: ["int", "enum"],
    float: ["float"],
    str: ["str", "enum"],
    list: ["list"],
    tuple: ["list"],
    dict: ["dict"],
    os.PathLike: ["File", "Dir"],
}


def of_numpy(v):
    return type(v).__module__.partition(".")[0] == "numpy"


def plain(v):
    """Returns the value that a member of an Enum, or a scalar of numpy and its like, stands for."""
    if type(v).__module__ == "builtins" or isinstance(v, (str, int, float)):
        return v
    if hasattr(type(v), "__members__") and hasattr(v, "value"):
        return plain(v.value)
    if getattr(v, "shape", None) == () and hasattr(v, "item"):
        return v.item()
    return v


def describe(v):
    if v is None:
        return "None"
    module, name = type(v).__module__, type(v).__qualname__
    return name if module in ("builtins", "__main__") else module + "." + name


def way_out(v, kind):
    """Returns what to return instead of a value that doesn't fit, as the end of a message."""
    if isinstance(v, (set, frozenset)):
        return ": return sorted(x), a list"
    if isinstance(v, (bytes, bytearray)):
        return ": return x.decode(), or write a file and return its path"
    if isinstance(v, (types.GeneratorType, type({}.keys()), type({}.values()), map, filter, zip)):
        return ": return list(x)"
    if isinstance(v, os.PathLike) and kind != "any":
        return ": return str(x), or declare File or Dir to pass what is there"
    if hasattr(v, "isoformat"):
        return ": return x.isoformat(), a str"
    if hasattr(v, "to_dict") and hasattr(v, "columns"):
        return ": return x.to_dict('records'), or write a file and return its path"
    if hasattr(v, "tolist"):
        return ": return x.tolist()"
    if type(v).__name__ in ("Decimal", "Fraction", "UUID"):
        return ": return str(x)" if kind in ("any", "str") else ": return %s(x)" % kind
    if v is None and kind != "any":
        return ": return a value, or declare %s | None" % ("it as T" if kind in ("list", "dict", "record", "enum", "union") else kind)
    return ""


def show(t):
    """Returns a type as workflow files write it."""
    kind = t["kind"]
    if kind == "list":
        return "list[%s]" % show(t["elem"])
    if kind == "dict":
        return "dict[str, %s]" % show(t["elem"])
    if kind == "optional":
        return show(t["elem"]) + " | None"
    if kind == "union":
        return " | ".join(show(m) for m in t["members"])
    if kind == "enum":
        return "enum(%s)" % ", ".join(v if t["elem"]["kind"] == "int" else json.dumps(v, ensure_ascii=False) for v in t["values"])
    if kind == "record" and t.get("name"):
        return t["name"]
    if kind == "record":
        return "record(%s)" % ", ".join("%s = %s" % (f["name"], show(f["type"])) for f in t.get("fields") or [])
    return kind


if __name__ == "__main__":
    main()
