"""Compiles modules out of wheels to bytecode, the same bytes every time.

usage: compile.py JOBS

JOBS is JSON: a list of chunks, each a list of [wheel, member, path]: wheel is a number, its file
NUMBER.whl beside JOBS; path is where the member will be installed. The answer is a tar on standard
output that has the bytecode of each module at NUMBER/ and its path in __pycache__. A module that doesn't compile
(a template, or code for another Python) is left out, as installers do.

Each chunk has a process of its own, forked off this one, since what an interpreter has
compiled before shows in the bytes that it marshals next.
"""
import importlib.util
import io
import json
import marshal
import multiprocessing
import os
import sys
import tarfile
import warnings
import zipfile

UNCHECKED = (1).to_bytes(4, "little")  # hash-based, never compared with the source


def compiled(source, path):
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, OverflowError):
        return None
    return importlib.util.MAGIC_NUMBER + UNCHECKED + importlib.util.source_hash(source) + marshal.dumps(code)


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


def main():
    with open(sys.argv[1]) as f:
        chunks = json.load(f)
    processes = min(len(os.sched_getaffinity(0)), len(chunks))
    context = multiprocessing.get_context("fork")
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as tar:
        with context.Pool(processes, maxtasksperchild=1) as pool:
            for modules in pool.imap(work, chunks, chunksize=1):
                for path, data in modules:
                    info = tarfile.TarInfo(path)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


main()
