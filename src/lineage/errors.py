"""How a script ends when something goes wrong: one line that says what is wrong and what to do, and no traceback.

Exit code 2 stands for a mistake of the user's (a wrong key, a missing input), 1 for anything else that failed (no
network, a damaged archive, a full disk), 130 for Ctrl-C, 141 where nobody reads the output any more (`… | head`), as
the shell has it. What none of these explains is a bug of ours and keeps its traceback.
"""

import errno
import getpass
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TextIO

# faults of the disk rather than of the code
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}
_DISK |= {errno.EEXIST, errno.ELOOP, errno.EBUSY}  # a file, a dangling link or a mount where a folder should be
_DISK |= {errno.EIO, errno.ENAMETOOLONG, errno.ESTALE, errno.ENOLCK}  # the last two are NFS's

_FILES = "too many open files: allow more (`ulimit -n 4096`), and run it again"
_PROCESSES = "the system starts no more processes: set SEEDS_AT_ONCE=1, or allow more (`ulimit -u`)"
_NO_MEMORY = "out of memory: close other programs, set SEEDS_AT_ONCE=1, or lower the data set's image_size"
# faults of the machine's limits
_LIMITS = {errno.ENOMEM: _NO_MEMORY, errno.EMFILE: _FILES, errno.ENFILE: _FILES, errno.EAGAIN: _PROCESSES}
# what errors of torch, and of Python's threads, say; it is not imported here, because it takes seconds
_NO_GPU_MEMORY = (
    "out of GPU memory: lower train.batch_size, set SEEDS_AT_ONCE=1, or free the GPU; the data set, which lies there "
    "as a whole, may itself be too large for it"
)
_KNOWN = {
    "OutOfMemoryError": _NO_GPU_MEMORY,
    "CUDA error: out of memory": _NO_GPU_MEMORY,  # while CUDA starts
    "CUBLAS_STATUS_ALLOC_FAILED": _NO_GPU_MEMORY,
    "DefaultCPUAllocator": _NO_MEMORY,
    "can't start new thread": _PROCESSES,
}


class Mistake(Exception):
    """The user can mend it: a wrong name, key or value, or a stage that runs before its input exists."""

    exit_code = 2


class Failure(Exception):
    """The world did not play along: no network, a damaged archive, a process that was killed."""

    exit_code = 1


def run(main: Callable[[], int | None]) -> None:
    """Call `main` and leave the process with the right exit code: the one that it returns, if it does."""
    name = sys.argv[0]
    _name_user()
    for which, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        if stream is None:  # closed by the shell: `>&-`
            setattr(sys, which, open(os.devnull, "w"))  # noqa: SIM115
        else:
            stream.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to fail
    try:
        if signal.getsignal(signal.SIGINT) is _interrupted:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = main()
        sys.stdout.flush()  # here rather than at exit, where an error is a traceback
        if code:
            sys.exit(code)
    except (Mistake, Failure) as error:
        sys.exit(_say(name, str(error), error.exit_code))
    except KeyboardInterrupt:
        sys.exit(_say(name, "interrupted; the same command goes on", 130))
    except MemoryError:
        sys.exit(_say(name, _NO_MEMORY, 1))
    except RuntimeError as error:
        short = next((said for kind, said in _KNOWN.items() if kind in f"{type(error).__name__}: {error}"), "")
        if not short:
            raise
        sys.exit(_say(name, short, 1))
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _unread(sys.stdout):
            _drop(sys.stdout)
            sys.exit(141)
        if error.errno in _LIMITS:
            sys.exit(_say(name, _LIMITS[error.errno], 1))
        # without a number: so safetensors says of a file that is missing, and of one that may not be read
        if isinstance(error, FileNotFoundError) and error.errno is None:
            sys.exit(_say(name, f"{error}: it is missing, or may not be read; mend that and run it again", 1))
        if error.errno not in _DISK:
            raise
        what = f"cannot read or write {error.filename or 'a file'}: {os.strerror(error.errno)}"
        sys.exit(_say(name, f"{what}; mend that and run it again", 1))


def _name_user() -> None:
    """Torch names a folder after the user, and fails where the system knows no name (`docker run --user 12345`)."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"user-{os.getuid()}"


def _unread(stream: TextIO) -> bool:
    """True where a stream is a pipe whose reader has gone, which is no fault; a broken pipe elsewhere is one."""
    if not hasattr(select, "poll"):  # on Windows
        return False
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _drop(stream: TextIO) -> None:
    """Forget what is still to be written to a stream, which would be an error at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    os._exit(_say(sys.argv[0], "interrupted; the same command goes on", 130))


def _say(name: str, message: str, exit_code: int) -> int:
    try:
        sys.stdout.flush()  # what was printed before comes first
    except BrokenPipeError:
        _drop(sys.stdout)
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return exit_code


# A script imports this module before those that take seconds. Ctrl-C ends it at once while they load: as an exception
# it would have to pass through libraries that make other errors of it. Where it is ignored (a shell's background), it
# stays so.
_loading = Path(sys.argv[0]).resolve().parent == Path(__file__).resolve().parents[1]
if _loading and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _interrupted)
