"""Says what the image's Python is, and which packages it brings, as one line of JSON."""
import json
import os
import platform
import sys


def has_system_packages():
    """Reports whether this virtual environment sees the packages of the Python below it."""
    with open(os.path.join(sys.prefix, "pyvenv.cfg")) as f:
        return any("".join(line.lower().split()) == "include-system-site-packages=true" for line in f)


def brings():
    """Lists the installed distributions as NAME==VERSION: those that an import would find."""
    try:
        import importlib.metadata
    except ImportError:  # before Python 3.8
        return []
    import re
    found = {}
    for d in importlib.metadata.distributions():
        try:
            name = re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower()
            found.setdefault(name, "%s==%s" % (name, d.version))
        except Exception:  # its metadata is damaged: pip doesn't see it either
            continue
    return sorted(found.values())


def describe():
    import importlib.util
    import sysconfig
    try:
        import pip
        pip_version = pip.__version__
    except ImportError:
        pip_version = ""
    out = {
        "version": platform.python_version(),
        "short": "%d.%d" % sys.version_info[:2],
        "command": sys.executable,
        "executable": sys.executable,
        "platform": " ".join([sysconfig.get_platform(), sysconfig.get_config_var("SOABI") or ""] + list(platform.libc_ver())),
        "magic": importlib.util.MAGIC_NUMBER.hex(),
        "pip": pip_version,
        "brings": brings(),
        "system": True,
    }
    if sys.prefix != sys.base_prefix:
        out["executable"] = getattr(sys, "_base_executable", None) or os.path.realpath(sys.executable)
        out["venv"] = sys.prefix
        out["site"] = sysconfig.get_path("purelib")
        out["system"] = has_system_packages()
    return out


if sys.version_info < (3, 7):
    print(json.dumps({"version": platform.python_version()}))
else:
    print(json.dumps(describe()))
