"""Runs one function of a workflow's Python file.

The engine leaves what to call in /var/flytestar/call.json: the file, the
function, the inputs (with tags for what JSON has no word for) and the output's
type. What the function returns goes to /var/outputs/flytestar.json as
{"value": ...}, with each File and Dir beside it as an entry that the value
names; an exception as {"error": ...}, after its traceback on stderr.

What only some tasks need is imported where it is used: every import here costs
each task a millisecond or more.
"""

import importlib.util
import json
import math
import os
import stat
import sys
import types

CALL = "/var/flytestar/call.json"
OUTPUTS = "/var/outputs"
RESULT = "flytestar.json"
WORKSPACE = "/workspace"
MAX_DEPTH = 64


class Mismatch(Exception):
    """The function returned what its output's type doesn't admit."""


def main():
    with open(CALL, encoding="utf-8") as f:
        call = json.load(f)
    sys.argv = [call["file"]]
    sys.path[:1] = [os.path.dirname(call["file"]), WORKSPACE]  # the first was this file's directory
    try:
        function = load(call["file"], call["function"])
        value = function(**{name: decode(v) for name, v in call["inputs"].items()})
        if isinstance(value, types.CoroutineType):
            import asyncio

            value = asyncio.run(value)
        encoded = Encoder().encode(value, call["output"], "")
    except Mismatch as e:
        result = {"error": "%s returned what doesn't fit its output: %s" % (call["function"], e)}
    except Exception as e:
        result = {"error": report(e)}
    else:
        result = {"value": encoded}
    path = os.path.join(OUTPUTS, RESULT)
    with open(path + ".tmp", "w", encoding="ascii") as f:
        json.dump(result, f, allow_nan=False)
    os.rename(path + ".tmp", path)


def load(path, function):
    """Returns the function, from its file run as a module."""
    name = os.path.splitext(os.path.basename(path))[0]
    if name in sys.modules:  # a file of the name of one that is in use, such as types.py
        name = "task_" + name
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, function, None)):
        raise AttributeError("%s has no function %r" % (os.path.relpath(path, WORKSPACE), function))
    return getattr(module, function)


def decode(v):
    """Returns an input as the function is given it."""
    if isinstance(v, list):
        return [decode(x) for x in v]
    if not isinstance(v, dict):
        return v
    ((tag, held),) = v.items()
    if tag == "$path":
        import pathlib

        return pathlib.Path(held)
    members = {k: decode(x) for k, x in held.items()}
    return types.SimpleNamespace(**members) if tag == "$struct" else members


def report(e):
    """Writes an exception's traceback, from the user's code on, and returns it as one line."""
    import traceback

    tb = e.__traceback__
    while tb and (tb.tb_frame.f_code.co_filename == __file__ or "importlib" in tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    lines = traceback.format_exception(type(e), e, tb)
    sys.stdout.flush()
    sys.stderr.write("".join(lines).encode("utf-8", "backslashreplace").decode("utf-8"))
    sys.stderr.flush()
    text = "".join(traceback.format_exception_only(type(e), e)).strip()
    frames = traceback.extract_tb(tb)
    own = [f for f in frames if f.filename.startswith(WORKSPACE + "/")]
    if own:
        f = own[-1]
        text += " (%s:%d, in %s)" % (os.path.relpath(f.filename, WORKSPACE), f.lineno, f.name)
    return text


class Encoder:
    """Turns what a function returned into the result file's form, by the output's type."""

    def __init__(self):
        self.entries = {}  # the entry of each path that was returned

    def encode(self, v, type, place, depth=0):
        if depth > MAX_DEPTH:
            raise Mismatch("%sit nests deeper than %d" % (at(place), MAX_DEPTH))
        kind = type["kind"]
        if kind == "optional":
            return None if v is None else self.encode(v, type["elem"], place, depth)
        if kind == "any":
            return self.any(v, place, depth)
        encoded = getattr(self, kind.lower())(v, type, place, depth)
        if encoded is NotImplemented:
            raise Mismatch("%swant %s, got %s" % (at(place), show(type), describe(v)))
        return encoded

    def none(self, v, type, place, depth):
        return None if v is None else NotImplemented

    def bool(self, v, type, place, depth):
        return v if isinstance(v, bool) else NotImplemented

    def int(self, v, type, place, depth):
        if not number(v, int, "Integral"):
            return NotImplemented
        if not -(2**63) <= v < 2**63:
            raise Mismatch("%sint %d doesn't fit 64 bits" % (at(place), v))
        return int(v)

    def float(self, v, type, place, depth):
        if not number(v, (int, float), "Real"):
            return NotImplemented
        if not math.isfinite(v):
            raise Mismatch("%sfloat %s isn't finite" % (at(place), v))
        return float(v)

    def str(self, v, type, place, depth):
        return text(v, place) if isinstance(v, str) else NotImplemented

    def list(self, v, type, place, depth):
        if not isinstance(v, (list, tuple)):
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
        raise Mismatch("%sa %s can't pass between tasks" % (at(place), describe(v)))

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
    if not stat.S_ISREG(mode):
        raise Mismatch("%s is neither a file nor a directory, and a Dir holds nothing else" % source)
    try:
        os.link(source, target)
    except OSError:  # on another file system, which is the usual case
        import shutil

        shutil.copyfile(source, target)
        os.chmod(target, 0o755 if mode & 0o111 else 0o644)


def number(v, builtin, abstract):
    """Reports whether v is such a number: Python's own, or numpy's, say."""
    if isinstance(v, bool):
        return False
    if isinstance(v, builtin):
        return True
    import numbers

    return isinstance(v, getattr(numbers, abstract))


def text(s, place):
    try:
        s.encode("utf-8")
    except UnicodeEncodeError:
        raise Mismatch("%sstring %a isn't valid Unicode" % (at(place), s))
    return str(s)


def key(k, place):
    if not isinstance(k, str):
        raise Mismatch("%sa key is %s, not str" % (at(place), describe(k)))
    return text(k, place)


def at(place):
    return place.lstrip(".") + ": " if place else ""


def describe(v):
    return "None" if v is None else type(v).__name__


def show(t):
    """Returns a type as workflow files write it."""
    kind = t["kind"]
    if kind == "list":
        return "list[%s]" % show(t["elem"])
    if kind == "dict":
        return "dict[str, %s]" % show(t["elem"])
    if kind == "optional":
        return show(t["elem"]) + " | None"
    if kind == "record":
        return "record(%s)" % ", ".join("%s = %s" % (f["name"], show(f["type"])) for f in t.get("fields") or [])
    return kind


if __name__ == "__main__":
    main()
