import errno

import pytest

from lineage.errors import Failure, Mistake, run


@pytest.mark.parametrize(
    ("error", "exit_code", "said"),
    [
        (Mistake("wrong key"), 2, "wrong key"),
        (Failure("no\n  network"), 1, "no network"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory"),
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


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError(errno.EIO, "broken")])
def test_a_bug_keeps_its_traceback(error):
    def main():
        raise error

    with pytest.raises(type(error)):
        run(main)
