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
    """The function returned what its output's type doesn't admit. The hint says what to return."""

    def __init__(self, message, hint=""):
        super().__init__(message)
        self.hint = hint


class Unfit(Exception):
    """An input can't become what the function's annotation says."""


def main():
    with open(CALL, encoding="utf-8") as f:
        call = json.load(f)
    prepare(call)
    try:
        result = {"value": run(call)}
    except Mismatch as e:
        result = {"error": clip("%s returned what doesn't fit its output: %s" % (call["function"], e)), "hint": clip(e.hint)}
    except Unfit as e:
        result = report(e.__cause__) if e.__cause__ else {"type": "TypeError"}
        result["error"] = clip(str(e))
    except BaseException as e:  # CancelledError, SystemExit and others aren't Exceptions
        result = report(e)
    path = os.path.join(OUTPUTS, RESULT)
    with open(path + ".tmp", "w", encoding="utf-8", newline="") as f:
        json.dump(result, f, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    os.rename(path + ".tmp", path)


def run(call):
    function = load(call["file"], call["module"], call["function"])
    value = function(**given(function, {name: decode(v) for name, v in call["inputs"].items()}))
    if hasattr(type(value), "__await__"):
        value = standard("asyncio").run(finish(value))
    if isinstance(value, (types.GeneratorType, types.AsyncGeneratorType)):
        raise Mismatch("it is a generator, whose values nobody asks for", "return a list of them")
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


def given(function, inputs):
    """Returns the inputs as the classes that annotate the function's parameters."""
    function = target(function)
    hints = annotations(function)
    if all(simple(hints.get(name), v) for name, v in inputs.items()):
        return inputs
    return beside("classes").Classes().given(function, inputs)


def target(function):
    """Returns the function that a callable object calls in the end."""
    for _ in range(100):
        if isinstance(function, type):
            return function.__init__
        if hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif type(function).__module__ == "functools" and hasattr(function, "func"):
            function = function.func
        else:
            break
    return function if hasattr(function, "__code__") else type(function).__call__


def annotations(owner):
    """Returns the annotations of a function or class, as they are written there."""
    try:
        found = vars(owner).get("__annotations__") if isinstance(owner, type) else None
        return dict(found or getattr(owner, "__annotations__", None) or {})
    except Exception:  # they are evaluated now, and can't be
        return {}


PLAIN = {"str", "int", "float", "bool", "list", "dict", "None", "Any", "Path", "pathlib"}


def simple(hint, v):
    """Reports whether an annotation can't change a value. Most can't, and evaluating them takes time."""
    if isinstance(v, types.SimpleNamespace):
        return hint is None
    if isinstance(hint, str):
        return all(word in PLAIN for word in "".join(c if c.isalnum() or c == "_" else " " for c in hint).split())
    return hint is None or hint in (str, int, float, bool, list, dict) or getattr(hint, "__module__", "").partition(".")[0] == "pathlib"


def beside(name):
    """Loads the file of that name that lies beside this one."""
    path = os.path.join(os.path.dirname(main.__code__.co_filename), name + ".py")
    spec = importlib.util.spec_from_file_location("flytestar_" + name, path)
    module = importlib.util.module_from_spec(spec)
    vars(module).update(standard=standard, annotations=annotations, Unfit=Unfit)
    spec.loader.exec_module(module)
    return module


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
    """Turns what a function returned into the result file's form, by the output's type.

    A method for a kind of type is given a plain value, and returns NotImplemented if that isn't of the kind.
    """

    def __init__(self):
        self.entries = {}  # the entry of each path that was returned
        self.exact = False  # no int is a float, no dict a record, no str a path

    def encode(self, v, type, place, depth=0):
        if depth > MAX_DEPTH:
            raise Mismatch("%sit nests deeper than %d" % (at(place), MAX_DEPTH))
        kind = type["kind"]
        if kind == "optional":
            return None if v is None else self.encode(v, type["elem"], place, depth)
        encoded = getattr(self, kind.lower())(plain(v), type, place, depth)
        if encoded is NotImplemented and kind == "any":
            raise Mismatch("%sa %s can't pass between tasks" % (at(place), describe(v)), way(v, kind))
        if encoded is NotImplemented:
            raise Mismatch("%swant %s, got %s" % (at(place), show(type), describe(v)), way(v, kind))
        return encoded

    def none(self, v, type, place, depth):
        return None if v is None else NotImplemented

    def bool(self, v, type, place, depth):
        return v if isinstance(v, bool) else NotImplemented

    def int(self, v, type, place, depth):
        if not number(v, int, "Integral"):
            return NotImplemented
        v = int(v)
        if not -(2**63) <= v < 2**63:
            raise Mismatch("%sint %s doesn't fit 64 bits" % (at(place), digits(v)), "return str(x), or a float")
        return v

    def float(self, v, type, place, depth):
        if not number(v, (int, float), "Real") or self.exact and number(v, int, "Integral"):
            return NotImplemented
        try:
            f = float(v)
        except OverflowError:
            raise Mismatch("%s%s %s is too large for a float" % (at(place), describe(v), digits(v)))
        if not math.isfinite(f):
            raise Mismatch("%sfloat %s isn't finite" % (at(place), f), "return None for it, where float | None is declared")
        if f != v:
            raise Mismatch("%s%s %s isn't exact as a float" % (at(place), describe(v), digits(v)), "return float(x) if that will do")
        return f

    def str(self, v, type, place, depth):
        return text(v, place) if isinstance(v, str) else NotImplemented

    def enum(self, v, type, place, depth):
        if isinstance(v, bool) or not isinstance(v, str if type["elem"]["kind"] == "str" else int):
            return NotImplemented
        if str(v) not in type["values"]:
            raise Mismatch("%swant %s, got %.100r" % (at(place), show(type), v))
        return v

    def list(self, v, type, place, depth):
        if not isinstance(v, (list, tuple, range)):
            return NotImplemented
        each = list.__iter__(v) if isinstance(v, list) else tuple.__iter__(v) if isinstance(v, tuple) else v
        return [self.encode(x, type["elem"], "%s[%d]" % (place, i), depth + 1) for i, x in enumerate(each)]

    def dict(self, v, type, place, depth):
        if not isinstance(v, dict):
            return NotImplemented
        encoded = {}
        for k, x in dict.items(v):
            k = key(k, place)
            if k in encoded:
                raise Mismatch("%sthe key %r is there twice" % (at(place), k))
            encoded[k] = self.encode(x, type["elem"], "%s[%r]" % (place, k), depth + 1)
        return {"$dict": encoded}

    def record(self, v, type, place, depth):
        fields = type.get("fields") or []
        known = members(v)
        if known is None and bare(v) or self.exact and isinstance(v, dict):
            return NotImplemented
        for k in known or {}:
            if k not in [f["name"] for f in fields]:
                raise Mismatch("%sthere is no field %r" % (at(place), k), "declare it, or leave it out")
        encoded = {}
        for f in fields:
            name = f["name"]
            if known and name in known:
                x = known[name]
            elif isinstance(v, dict) or not hasattr(v, name):
                if "default" in f:
                    continue
                if f["type"]["kind"] != "optional":
                    raise Mismatch("%swant %s, got %s without %r" % (at(place), show(type), describe(v), name))
                x = None
            else:
                x = getattr(v, name)
            encoded[name] = self.encode(x, f["type"], "%s.%s" % (place, name), depth + 1)
        return {"$struct": encoded}

    def union(self, v, type, place, depth):
        """Takes the first member that has the value as it is, or else the first that it can become."""
        outer, deeper = self.exact, []
        try:
            for self.exact in (True,) if outer else (True, False):
                for m in type["members"]:
                    try:
                        return self.encode(v, m, place, depth)
                    except Mismatch as e:
                        if not self.exact and not str(e).startswith("%swant %s, got " % (at(place), show(m))):
                            deeper.append(e)
        finally:
            self.exact = outer
        if len(deeper) == 1:
            raise deeper[0]
        return NotImplemented

    def file(self, v, type, place, depth):
        return self.path(v, place, "$file")

    def dir(self, v, type, place, depth):
        return self.path(v, place, "$dir")

    def any(self, v, type, place, depth):
        if v is None or isinstance(v, bool):
            return v
        if isinstance(v, os.PathLike):
            return self.path(v, place, "$dir" if os.path.isdir(v) else "$file")
        known = None if isinstance(v, dict) else members(v)
        if known is not None:
            return self.record(v, {"fields": [{"name": text(k, place), "type": type} for k in known]}, place, depth)
        for encode in (self.str, self.int, self.float, self.list, self.dict):
            encoded = encode(v, {"elem": type}, place, depth)
            if encoded is not NotImplemented:
                return encoded
        return NotImplemented

    def path(self, v, place, tag):
        """Puts a file or directory among the outputs and returns its reference."""
        if not isinstance(v, os.PathLike if self.exact else (str, os.PathLike)):
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


OWN = frozenset((str, int, float, bool, list, dict, tuple, type(None)))


def plain(v):
    """Returns v as a value of Python's own that says exactly the same, if there is one."""
    cls = type(v)
    if cls in OWN:
        return v
    for own, exactly in ((str, str.__str__), (int, int.__int__), (float, float.__float__)):
        if isinstance(v, own):
            return exactly(v)  # not str(v), which is Color.RED for a member of a class C(str, Enum)
    names = [class_name(c) for c in cls.__mro__]
    if "enum.Enum" in names:
        return plain(v._value_)
    if "pydantic.RootModel" in names:
        return plain(v.root)
    dtype = getattr(v, "dtype", None)
    if cls.__module__ in ("numpy", "numpy.matrixlib.defmatrix") and getattr(dtype, "kind", "-") in "biufUTO" and (dtype.kind != "f" or dtype.itemsize <= 8):
        return v.tolist()
    return v


def members(v):
    """Returns the members of a dict or of an object by name; None if it isn't known which these are."""
    cls = type(v)
    if isinstance(v, dict):
        return {plain(k): x for k, x in dict.items(v)}
    if isinstance(v, types.SimpleNamespace):
        return vars(v)
    if isinstance(v, tuple):
        names = getattr(cls, "_fields", None)
    elif hasattr(cls, "__dataclass_fields__"):
        names = [f.name for f in standard("dataclasses").fields(v)]
    elif hasattr(cls, "__attrs_attrs__"):
        names = [a.name for a in cls.__attrs_attrs__]
    elif "pydantic.BaseModel" in [class_name(c) for c in cls.__mro__]:
        names = list(getattr(cls, "model_fields", None) or getattr(cls, "__fields__", ())) + list(getattr(v, "__pydantic_extra__", None) or ())
    else:
        names = None
    return None if names is None else {n: getattr(v, n) for n in names if hasattr(v, n)}


def bare(v):
    """Reports whether the attributes of v are methods and the like, not members."""
    return type(v).__module__ in ("builtins", "types") or isinstance(v, os.PathLike)


def number(v, builtin, abstract):
    """Reports whether v is such a number: Python's own, or another library's."""
    if isinstance(v, bool):
        return False
    if isinstance(v, builtin):
        return True
    return type(v) not in OWN and isinstance(v, getattr(standard("numbers"), abstract))


def digits(v):
    """Returns a number as text: Python refuses to write ints of thousands of digits."""
    return "of %d bits" % v.bit_length() if isinstance(v, int) and v.bit_length() > 1000 else str(v)


def text(s, place):
    try:
        s.encode("utf-8")
    except UnicodeEncodeError:
        raise Mismatch("%sstring %.200a isn't valid Unicode" % (at(place), s), 'replace what isn\'t, as s.encode(errors="replace").decode() does')
    return s


def key(k, place):
    own = plain(k)
    if not isinstance(own, str):
        raise Mismatch("%sa key is %s, not str" % (at(place), describe(k)), "return {str(k): v for k, v in x.items()}")
    return text(own, place)


def at(place):
    return "output" + place + ": " if place else ""


def describe(v):
    if v is None:
        return "None"
    cls = type(v)
    return cls.__qualname__ if cls.__module__ == "builtins" else "%s.%s" % (cls.__module__, cls.__qualname__)


def class_name(cls):
    """Returns a class's name after that of the package that it comes from."""
    return cls.__module__.partition(".")[0] + "." + cls.__name__


WAYS = {  # what to return instead of what can't pass between tasks
    "builtins.set": "return sorted(x), a list",
    "builtins.frozenset": "return sorted(x), a list",
    "builtins.bytes": "return x.decode(), or write a file and return its path",
    "builtins.bytearray": "return x.decode(), or write a file and return its path",
    "builtins.function": "return what it returns: call it",
    "builtins.coroutine": "await it",
    "builtins.complex": "return [x.real, x.imag]",
    "datetime.date": "return x.isoformat(), a str",
    "datetime.time": "return x.isoformat(), a str",
    "datetime.timedelta": "return x.total_seconds(), a float",
    "decimal.Decimal": "return str(x), or float(x) if that will do",
    "fractions.Fraction": "return float(x) if that will do",
    "pathlib.PurePath": "return str(x), or declare File or Dir to pass what is there",
    "uuid.UUID": "return str(x)",
    "numpy.ndarray": "return x.tolist(), or write a file and return its path",
    "pandas.DataFrame": 'return x.to_dict("records"), or write a file and return its path',
}


def way(v, kind):
    """Returns how to return v where a type of such a kind is declared; "" if there is nothing to say."""
    if v is None:
        return "return a value, or declare %s | None" % (kind if kind in ("bool", "int", "float", "str", "File", "Dir") else "it as T")
    if kind in ("bool", "int", "float", "str") and type(plain(v)) in (bool, int, float, str):
        return "return %s(x)" % kind
    if kind == "list" and isinstance(v, str):
        return "return [x]"
    for c in type(v).__mro__:
        if class_name(c) in WAYS:
            return WAYS[class_name(c)]
    if hasattr(v, "tolist"):
        return "return x.tolist()"
    if hasattr(v, "__next__") or kind == "list" and hasattr(v, "__iter__"):
        return "return list(x)"
    if kind == "any":
        return "return a dict of what it holds, or write a file and return its path"
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
