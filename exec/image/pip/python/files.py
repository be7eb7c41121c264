"""Lists the files of installed distributions, as JSON: absolute paths.

usage: files.py NAME...
"""
import importlib.metadata
import json
import os
import re
import sys

found = set()
for d in importlib.metadata.distributions():
    if re.sub(r"[-_.]+", "-", d.metadata["Name"] or "").lower() not in sys.argv[1:]:
        continue
    found.add(str(d._path))  # all of its metadata, also what RECORD doesn't have
    for f in d.files or []:
        found.add(os.path.normpath(str(d.locate_file(f))))
print(json.dumps(sorted(f for f in found if os.path.lexists(f))))
