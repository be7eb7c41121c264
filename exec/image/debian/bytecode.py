# Compiles every module below the directories that are given, in parallel. What a process has compiled
# before shows in the bytes that it writes. So the number of workers, and who compiles what, depend
# only on the files.
import os
import py_compile
import sys

WORKERS = 8

files = []
for root in sys.argv[1:]:
    for directory, _, names in os.walk(root):
        files += [os.path.join(directory, n) for n in names if n.endswith(".py")]
files = [f for f in files if os.path.exists(f)]
files.sort(key=lambda f: (-os.path.getsize(f), f))

children = []
for worker in range(WORKERS):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for f in files[worker::WORKERS]:
                py_compile.compile(f, doraise=True)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    children.append(pid)

failed = [pid for pid in children if os.waitpid(pid, 0)[1] != 0]
sys.exit(1 if failed else 0)
