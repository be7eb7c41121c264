"""Says what the image's Python is, as one line of JSON."""
import importlib.util
import json
import platform
import sys
import sysconfig

try:
    import pip
    pip_version = pip.__version__
except ImportError:
    pip_version = ""

print(json.dumps({
    "version": platform.python_version(),
    "short": "%d.%d" % sys.version_info[:2],
    "executable": sys.executable,
    "platform": " ".join([sysconfig.get_platform(), sysconfig.get_config_var("SOABI") or ""] + list(platform.libc_ver())),
    "magic": importlib.util.MAGIC_NUMBER.hex(),
    "pip": pip_version,
}))
