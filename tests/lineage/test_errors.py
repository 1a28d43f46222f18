import errno
import getpass
import inspect
import os
import pwd
import subprocess
import sys
import textwrap

import pytest
from conftest import REPOSITORY

from lineage.errors import Failure, Mistake, run


@pytest.mark.parametrize(
    ("error", "exit_code", "said"),
    [
        (Mistake("wrong key"), 2, "wrong key"),
        (Failure("no\n  network"), 1, "no network"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory: close other programs, set SEEDS_AT_ONCE=1, or lower"),
        (FileNotFoundError("No such file or directory: a.safetensors"), 1, "a.safetensors: it is missing, or may"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 1, "SEEDS_AT_ONCE=1"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), 1, "the data set, which lies there"),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), 1, "out of GPU memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), 1, "out of GPU memory"),
        (RuntimeError("can't start new thread"), 1, "the system starts no more processes: set SEEDS_AT_ONCE=1"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), 1, "the system starts no more processes"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "out of memory"),
        (OSError(errno.EMFILE, "Too many open files", "a"), 1, "too many open files: allow more (`ulimit -n 4096`)"),
        (OSError(errno.ENOSPC, "No space left on device", "models/x"), 1, "write models/x: No space left"),
        (OSError(errno.ESTALE, "Stale file handle", "runs/lock"), 1, "cannot read or write runs/lock: Stale file"),
        (
            FileExistsError(errno.EEXIST, "File exists", "data/raw"),
            1,
            "cannot read or write data/raw: File exists; mend",
        ),
        (OSError(errno.EACCES, "Permission denied", "cifar.tar"), 1, "cannot read or write cifar.tar: Permission"),
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


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 12345"), OSError("no username")])
def test_a_user_whom_the_system_does_not_know_gets_a_name(monkeypatch, error):
    def refused():
        raise error

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("USER", "")  # which the test restores
    with monkeypatch.context() as patch:
        patch.setattr(pwd, "getpwuid", lambda _: refused())
        run(lambda: None)
        assert getpass.getuser() == f"user-{os.getuid()}"  # what torch asks for


@pytest.mark.parametrize("error", [ZeroDivisionError(), RuntimeError("shapes differ"), OSError(errno.EINVAL, "broken")])
def test_a_bug_keeps_its_traceback(error):
    def main():
        raise error

    with pytest.raises(type(error)):
        run(main)


def test_a_script_may_have_an_exit_code_of_its_own(capsys):
    run(lambda: 0)
    with pytest.raises(SystemExit) as ended:
        run(lambda: 1)
    assert ended.value.code == 1 and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("lines", "end", "exit_code", "said"),
    [
        (1, "return None", 141, ""),  # which is written only as Python exits
        (100_000, "return None", 141, ""),
        (1, "return 1", 141, ""),
        (1, "raise Mistake('wrong key')", 2, "-c: wrong key\n"),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_no_fault(unbuffered, lines, end, exit_code, said):
    """As in `describe.py … | head -1`."""
    main = f"""
import sys; sys.path.insert(0, 'src')
from lineage.errors import Mistake, run
def main():
    sys.stdin.read()  # until the reader has gone
    for i in range({lines}):
        print(i)
    {end}
run(main)
"""
    if unbuffered and "raise" in end:
        pytest.skip("the first line already meets no reader")
    started = subprocess.Popen(
        [sys.executable, "-c", main],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    started.stdout.close()
    started.stdin.close()
    assert started.stderr.read() == said
    assert started.wait(30) == exit_code
    started.stderr.close()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_the_shell_has_closed_is_no_fault(closed):
    code = "import sys; sys.path.insert(0, 'src'); from lineage.errors import Mistake, run\n"
    for end, exit_code in (("print(1)", 0), ("print(1); raise Mistake('wrong key')", 2)):
        script = f"{code}def main(): {end}\nrun(main)"
        command = f'"$0" -c "$1" {closed}'
        ended = subprocess.run(["bash", "-c", command, sys.executable, script], capture_output=True, cwd=REPOSITORY)
        assert ended.returncode == exit_code


def test_a_broken_pipe_elsewhere_is_a_fault():
    def main():
        reader, writer = os.pipe()
        os.close(reader)
        try:
            os.write(writer, b"to a process that has ended")
        finally:
            os.close(writer)

    command = "import os, sys; sys.path.insert(0, 'src'); from lineage.errors import run\n"
    command += textwrap.dedent(inspect.getsource(main)) + "run(main)"
    ended = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, cwd=REPOSITORY, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("BrokenPipeError")


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
