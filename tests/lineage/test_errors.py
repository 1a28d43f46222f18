import errno
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from lineage.errors import Failure, Mistake, run


@pytest.mark.parametrize(
    ("error", "exit_code", "said"),
    [
        (Mistake("wrong key"), 2, "wrong key"),
        (Failure("no\n  network"), 1, "no network"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 1, "SEEDS_AT_ONCE=1"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), 1, "the data set, which lies there"),
        (OSError(errno.ENOSPC, "No space left on device", "models/x"), 1, "cannot write models/x: No space left"),
    ],
)
def test_one_line_and_the_right_exit_code(capsys, error, exit_code, said):
    def main():
        raise error

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == exit_code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize("error", [ZeroDivisionError(), RuntimeError("shapes differ"), OSError(errno.EIO, "broken")])
def test_a_bug_keeps_its_traceback(error):
    def main():
        raise error

    with pytest.raises(type(error)):
        run(main)


@pytest.mark.parametrize("where", ["import", "main"])
def test_ctrl_c_is_one_line_whatever_a_library_makes_of_it(where):
    """NumPy, interrupted while it loads, raises ImportError."""
    library = """
def library():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except KeyboardInterrupt:
        raise ImportError("cannot load module more than once per process") if where == "import" else KeyboardInterrupt
"""
    script = f"import os, signal, sys, time; where = {where!r}; sys.argv = ['src/train.py']\n{library}"
    script += "signal.signal(signal.SIGINT, signal.default_int_handler); sys.path.insert(0, 'src')\n"
    script += "from lineage.errors import run\n"
    script += "library()\n" if where == "import" else "run(library)\n"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, timeout=30)
    assert ended.returncode == 130
    assert ended.stderr == "src/train.py: interrupted; the same command goes on\n"
