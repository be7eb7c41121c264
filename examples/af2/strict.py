"""The tasks of af2_strict.star.

Each imports a package of its own image, and checks that the other image's package is absent.
"""

import importlib.metadata
import importlib.util
import sys
import tempfile
from pathlib import Path


def align(sequence):
    import pytest

    print("pytest", pytest.__version__, file=sys.stderr)
    refuse("ruff")
    alignment = Path(tempfile.mkdtemp()) / "msa.txt"
    alignment.write_text(sequence)
    return alignment


def fold(sequence, msa):
    import ruff

    print(ruff.__name__, importlib.metadata.version("ruff"), file=sys.stderr)
    refuse("pytest")
    return [sequence, msa.read_text()]


def refuse(package):
    if importlib.util.find_spec(package):
        raise RuntimeError(f"{package} is in this image, which doesn't declare it")
