import io
from types import SimpleNamespace

import pytest

from lineage import progress as module
from lineage.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Where standard error would go."""
    screen = Terminal()
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=screen))
    return screen


def test_a_bar_counts_steps_and_says_the_epoch(terminal):
    with Progress("mine", 2, 20, 10, 2) as progress:
        progress.begin(0, 1)
        for _ in range(10):
            progress.step()
        assert progress._bar.n == 10 and progress._bar.total == 40
        progress.show(0, 1, 123.4, 0.1, 2.5, 0.5, 0.25)
    err = terminal.getvalue()
    assert "mine seed 0 epoch 1/2 |" in err and "123 images/s, loss 2.500, val error 25.0%" in err and "left" in err


def test_what_was_done_before_is_no_part_of_the_speed(terminal, monkeypatch):
    now = [1000.0]
    progress = Progress("mine", 1, 1000, 10, 100)
    bar = progress._bar
    bar._time = lambda: now[0]
    bar.start_t = bar.last_print_t = now[0]
    progress.skip(90)
    assert bar.n == 900
    for _ in range(20):  # a second each
        now[0] += 1
        progress.step()
    left = bar.format_dict
    rate = left["rate"] or (left["n"] - left["initial"]) / left["elapsed"]
    assert rate == pytest.approx(1, rel=0.01)  # 80 s are left, not a fraction of one
    progress.skip(8)  # of a seed that diverged
    assert bar.n == 1000
    bar.close()


def test_the_last_epoch_may_be_a_part_of_one(terminal):
    progress = Progress("mine", 1, 25, 10, 3)
    progress.skip(3)
    assert progress._bar.n == 25
    progress._bar.close()


@pytest.mark.parametrize("loss", [0.0123, 1.5, 123456.7, float("nan")])
def test_a_line_of_one_width_where_there_is_no_terminal(capsys, loss):
    with Progress("mine", 1, 10, 5, 2) as progress:
        progress.begin(0, 1)
        progress.step()
        progress.skip(1)
        progress.show(0, 2, 1234.5, 0.1, loss, 0.5, 1.0)
    out, err = capsys.readouterr()
    assert len(out) == 117 and out.startswith("seed 0  epoch   2/2     1234 images/s") and err == ""
