"""Compiles modules of wheels to bytecode, to the same bytes every time.

usage: compile.py JOBS

JOBS is JSON: a list of chunks. Each chunk is a list of [wheel, member, path]. wheel is a number: the
file is NUMBER.whl beside JOBS. path is where the member will be installed.

The answer is a tar on standard output. It has the bytecode of each module at NUMBER/ and its path in
__pycache__. A module that doesn't compile is left out, as installers do: it is a template, or code for
another Python.

Each chunk is compiled in a process of its own, forked off this one: what an interpreter has compiled
before shows in the bytes that it marshals next.
"""
import importlib.util
import io
import json
import marshal
import os
import sys
import tarfile
import tempfile
import traceback
import warnings
import zipfile

CHECKED = (3).to_bytes(4, "little")  # compared with the source by its hash, so that an edited module counts


def compiled(source, path):
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, OverflowError):
        return None
    return importlib.util.MAGIC_NUMBER + CHECKED + importlib.util.source_hash(source) + marshal.dumps(code)


def work(chunk):
    warnings.simplefilter("ignore")
    open_wheels = {}
    out = []
    for wheel, member, path in chunk:
        if wheel not in open_wheels:
            open_wheels[wheel] = zipfile.ZipFile(os.path.join(os.path.dirname(sys.argv[1]), "%d.whl" % wheel))
        data = compiled(open_wheels[wheel].read(member), path)
        if data is not None:
            out.append(("%d%s" % (wheel, importlib.util.cache_from_source(path, optimization="")), data))
    return out


def start(chunk, path):
    """Forks a process that writes what work returns to a file."""
    if os.fork():
        return
    status = 1
    try:
        with open(path, "wb") as out:
            marshal.dump(work(chunk), out)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def wait():
    """Waits for one of the processes; one that failed ends this program."""
    _, status = os.wait()
    if status:
        sys.exit("a compiling process ended with status %d" % status)


def main():
    with open(sys.argv[1]) as f:
        chunks = json.load(f)
    # multiprocessing isn't used: its pool forks processes off a thread, and now and then one hangs.
    directory, running = tempfile.mkdtemp(), 0
    outputs = [os.path.join(directory, str(i)) for i in range(len(chunks))]
    for chunk, output in zip(chunks, outputs):
        if running == len(os.sched_getaffinity(0)):
            wait()
            running -= 1
        start(chunk, output)
        running += 1
    for _ in range(running):
        wait()
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as tar:
        for output in outputs:
            with open(output, "rb") as f:
                modules = marshal.load(f)
            for path, data in modules:
                info = tarfile.TarInfo(path)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


main()
