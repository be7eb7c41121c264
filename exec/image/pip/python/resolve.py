"""Resolves requirements to exact distributions with pip, and gets their wheels.

usage: resolve.py CONFIG

CONFIG is JSON with these keys:
  args          arguments of both runs of pip
  requirements  arguments that name the requirements
  fresh         whether to resolve as if nothing were installed
  pip           directory of the pip to use; empty for the image's own
  have          SHA-256 hex digests of the distributions that need not be fetched

The answer is a tar on standard output: the wheels, then result.json, a list of
{"name", "version", "url", "sha256", "wheel"}. sha256 is that of the distribution in the index, or
null. wheel is the name of its member in the tar, or null. Everything else goes to standard error.
If pip fails, the exit status is 1.
"""
import io
import itertools
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
import traceback


def pip_of(directory):
    """Imports pip. The directory leaves sys.path, so that this pip doesn't count as installed."""
    if directory:
        sys.path.insert(0, directory)
    import pip._internal.commands.install  # noqa: F401: so that forks have it
    import pip._internal.commands.wheel  # noqa: F401
    from pip._internal.cli.main import main
    if directory:
        sys.path.remove(directory)
    return main


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def run(pip_main, args):
    """Runs pip in a fork of this process, which has imported pip: that takes most of a short run."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.dup2(2, 1)  # standard output is for the answer
            status = pip_main(args)
        except SystemExit as e:
            status = e.code if isinstance(e.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status and 1)
    if os.waitpid(pid, 0)[1]:
        sys.exit(1)


def distribution(item):
    info = item["download_info"]
    archive = info.get("archive_info")
    sha256 = None
    if archive is not None:
        sha256 = (archive.get("hashes") or {}).get("sha256")
        if not sha256 and (archive.get("hash") or "").startswith("sha256="):
            sha256 = archive["hash"][len("sha256="):]
    elif "dir_info" in info:
        sys.exit("%s is a local directory; only distributions of an index, or URLs of them, can be installed" % info["url"])
    meta = item["metadata"]
    return {"name": normal(meta["name"]), "version": meta["version"], "url": info["url"], "sha256": sha256, "wheel": None, "vcs": info.get("vcs_info")}


def location(d):
    if d["vcs"]:
        return "%s @ %s+%s@%s" % (d["name"], d["vcs"]["vcs"], d["url"], d["vcs"]["commit_id"])
    fragment = "#sha256=" + d["sha256"] if d["sha256"] else ""
    return "%s @ %s%s" % (d["name"], d["url"].split("#")[0], fragment)


def main():
    # A package that is built shows the names of its temporary directories: they are the same every time.
    tempfile._name_sequence = ("%08d" % i for i in itertools.count())
    with open(sys.argv[1]) as f:
        config = json.load(f)
    pip_main = pip_of(config["pip"])
    work = "/var/tmp/flytestar-pip"
    out = os.path.join(work, "wheels")
    os.makedirs(out)
    os.environ["TMPDIR"] = work
    cache = ["--cache-dir", os.path.join(work, "cache")]
    report = os.path.join(work, "report.json")
    fresh = ["--ignore-installed"] if config["fresh"] else []
    run(pip_main, ["install", "--dry-run", "--report", report] + fresh + cache + config["args"] + config["requirements"])
    with open(report) as f:
        found = [distribution(item) for item in json.load(f)["install"]]

    have = set(config["have"])
    missing = [d for d in found if d["sha256"] not in have]
    if missing:
        pinned = os.path.join(work, "missing.txt")
        with open(pinned, "w") as f:
            f.writelines(location(d) + "\n" for d in missing)
        run(pip_main, ["wheel", "--no-deps", "--wheel-dir", out] + cache + config["args"] + ["-r", pinned])
    wheels = {}
    for name in sorted(os.listdir(out)):
        wheels[normal(name.split("-")[0])] = name
    for d in missing:
        if d["name"] not in wheels:
            sys.exit("pip made no wheel of %s" % d["name"])
        d["wheel"] = wheels[d["name"]]

    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as tar:
        for name in sorted(os.listdir(out)):
            tar.add(os.path.join(out, name), arcname=name)
        data = json.dumps(found).encode()
        info = tarfile.TarInfo("result.json")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    shutil.rmtree(work)


main()
