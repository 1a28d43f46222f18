"""How a script ends when something goes wrong: one line that says what is wrong and what to do, and no traceback.

Exit code 2 stands for a mistake of the user's (a wrong key, a missing input), 1 for anything else that failed (no
network, a damaged archive, a full disk), 130 for Ctrl-C. What none of these explains is a bug of ours and keeps its
traceback.
"""

import errno
import sys
from collections.abc import Callable


class Mistake(Exception):
    """The user can mend it: a wrong name, key or value, or a stage that runs before its input exists."""

    exit_code = 2


class Failure(Exception):
    """The world did not play along: no network, a damaged archive, a loss that is not finite."""

    exit_code = 1


def run(main: Callable[[], None]) -> None:
    """Call `main` and leave the process with the right exit code."""
    name = sys.argv[0]
    try:
        main()
    except (Mistake, Failure) as error:
        sys.exit(_say(name, str(error), error.exit_code))
    except KeyboardInterrupt:
        sys.exit(_say(name, "interrupted; the same command starts again", 130))
    except MemoryError:
        sys.exit(_say(name, "out of memory: close other programs, or try `-S scale=sample`", 1))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        sys.exit(
            _say(
                name,
                f"cannot write {error.filename or 'a file'}: {error.strerror}; free some space or the permissions",
                1,
            )
        )


def _say(name: str, message: str, exit_code: int) -> int:
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    return exit_code
