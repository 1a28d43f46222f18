import fcntl
import io
import os
import struct
import sys
import termios
from types import SimpleNamespace

import pytest

from lineage import progress as module
from lineage.progress import Progress


class Terminal(io.StringIO):
    """Keeps what is written, and is as wide as a real terminal."""

    def __init__(self, columns):
        super().__init__()
        self.columns, self.ends = columns, os.openpty()
        fcntl.ioctl(self.ends[1], termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))

    def isatty(self):
        return True

    def fileno(self):
        return self.ends[1]


@pytest.fixture(params=[80])
def terminal(monkeypatch, request):
    """Where standard error would go."""
    screen = Terminal(columns=request.param)
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=screen, stdout=screen))
    yield screen
    for end in screen.ends:
        os.close(end)


def test_a_bar_counts_steps_and_says_the_epoch(terminal):
    with Progress("mine", 2, 20, 10, 2) as progress:
        progress.begin(0, 1)
        for _ in range(10):
            progress.step(0)
        assert progress._bar.n == 10 and progress._bar.total == 40
        progress.show(0, 1, 123.4, 0.1, 2.5, 0.5, 0.25)
    err = terminal.getvalue()
    assert "seed 0 epoch 1/2 |" in err and "123 img/s, loss 2.500, val error 25.0%" in err and "left" in err


def test_one_bar_has_all_seeds_that_run_at_once(terminal):
    with Progress("mine", 3, 20, 10, 2) as progress:

        def line():
            progress._bar.refresh()
            return terminal.getvalue().split("\r")[-1]

        progress.skip(0, 2)  # trained already
        progress.begin(1, 1)
        progress.begin(2, 1)
        assert "2 seeds epoch 1/2 |" in line()
        for seed in (1, 2, 1):
            progress.step(seed)
        progress.show(1, 1, 100.0, 0.1, 2.5, 0.5, 0.25)
        progress.show(2, 1, 23.4, 0.1, 1.5, 0.5, 0.5)
        progress.begin(1, 2)
        assert "2 seeds epoch 1–2/2 |" in line() and "123 img/s, loss 1.500, val error 50.0%" in line()
        assert progress._bar.n == 23
        progress.skip(1, 1)  # diverged in its first epoch: the rest of it is passed over
        progress.end(1)
        progress.show(2, 2, 50.0, 0.1, 1.5, 0.5, 0.5)
        progress.begin(2, 2)
        assert "seed 2 epoch 2/2 |" in line() and "50 img/s" in line()


@pytest.mark.parametrize("terminal, named", [(80, False), (140, True)], indirect=["terminal"])
def test_a_narrow_terminal_has_every_number_and_a_wide_one_the_name(terminal, named):
    progress = Progress("residual-vgg-always-convolved-cifar10", 5, 64_000, 351, 183)
    now = [progress._bar.start_t]
    progress._bar._time = lambda: now[0]
    progress.begin(4, 120)
    for _ in range(351):
        now[0] += 0.3
        progress.step(4)
    progress.show(4, 120, 1450.0, 0.1, 0.0523, 0.5, 0.999)
    progress._bar.refresh()
    line = terminal.getvalue().split("\r")[-1]
    progress._bar.close()
    assert "seed 4 epoch 120/183 |" in line and "26:38:14 left, 1450 img/s, loss 0.052, val error 99.9%" in line
    assert ("always-convolved" in line) == named and len(line) < terminal.columns


def test_what_was_done_before_is_no_part_of_the_speed(terminal, monkeypatch):
    now = [1000.0]
    progress = Progress("mine", 1, 1000, 10, 100)
    bar = progress._bar
    bar._time = lambda: now[0]
    bar.start_t = bar.last_print_t = now[0]
    progress.skip(0, 90)
    assert bar.n == 900
    for _ in range(20):  # a second each
        now[0] += 1
        progress.step(0)
    left = bar.format_dict
    rate = left["rate"] or (left["n"] - left["initial"]) / left["elapsed"]
    assert rate == pytest.approx(1, rel=0.01)  # 80 s are left, not a fraction of one
    progress.skip(0, 8)  # of a seed that diverged
    assert bar.n == 1000
    bar.close()


def test_the_last_epoch_may_be_a_part_of_one(terminal):
    progress = Progress("mine", 2, 25, 10, 3)
    progress.skip(0, 3)
    assert progress._bar.n == 25
    progress.skip(1, 1)
    progress.skip(1, 2)  # of the second seed, which diverged
    assert progress._bar.n == 50
    progress._bar.close()


def test_lines_go_into_a_file_while_the_bar_stays_in_the_terminal(terminal, monkeypatch, capsys):
    monkeypatch.setattr(module.sys, "stdout", sys.stdout)
    with Progress("mine", 1, 10, 5, 2) as progress:
        progress.begin(0, 1)
        progress.show(0, 1, 1234.5, 0.1, 2.5, 0.5, 1.0)
    assert capsys.readouterr().out.startswith("seed 0  epoch   1/2     1234 images/s")
    assert "1234 img/s" in terminal.getvalue()


@pytest.mark.parametrize("loss", [0.0123, 1.5, 123456.7, float("nan")])
def test_a_line_of_one_width_where_there_is_no_terminal(capsys, loss):
    with Progress("mine", 1, 10, 5, 2) as progress:
        progress.begin(0, 1)
        progress.step(0)
        progress.skip(0, 1)
        progress.show(0, 2, 1234.5, 0.1, loss, 0.5, 1.0)
    out, err = capsys.readouterr()
    assert len(out) == 117 and out.startswith("seed 0  epoch   2/2     1234 images/s") and err == ""
