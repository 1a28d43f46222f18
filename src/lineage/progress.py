"""What a person sees of a training: in a terminal a live bar, elsewhere a line of fixed width for each epoch."""

import sys
from collections import Counter
from types import TracebackType

from tqdm import tqdm

BAR = "{desc} |{bar}| {remaining} left{postfix}"
BESIDE = 62  # columns that all but the description takes at most


class Progress:
    """Counts steps over all seeds of an experiment, of which several may run at once. What was done before, or will not
    be done, is no part of the speed by which the time that is left is estimated.
    """

    def __init__(self, name: str, seeds: int, steps: int, per_epoch: int, epochs: int) -> None:
        """`steps`, `per_epoch` of them, and `epochs` are those of one seed."""
        self.name, self.steps, self.per_epoch, self.epochs = name, steps, per_epoch, epochs
        self._done: Counter[int] = Counter()  # steps, by seed
        self._now: dict[int, int] = {}  # the epochs that seeds are in
        self._speeds: dict[int, float] = {}  # images per second of their last one
        screen = sys.stderr
        self._lines = not (screen.isatty() and sys.stdout.isatty())  # with `> log`, the log has them
        shown = {"file": screen, "disable": not screen.isatty(), "bar_format": BAR, "dynamic_ncols": True}
        self._bar = tqdm(total=seeds * steps, desc=name, **shown)

    def begin(self, seed: int, epoch: int) -> None:
        self._now[seed] = epoch
        if not self._bar.disable:
            where, width = f"{self._where()}/{self.epochs}", self._bar.format_dict["ncols"] or 80
            named = f"{self.name} {where}"  # where there is room: the numbers go before the name
            self._bar.set_description_str(named if len(named) + BESIDE <= width else where, refresh=False)

    def _where(self) -> str:
        first, last = min(self._now.values()), max(self._now.values())
        if len(self._now) == 1:
            return f"seed {next(iter(self._now))} epoch {first}"
        return f"{len(self._now)} seeds epoch {first}" + (f"–{last}" if first < last else "")

    def step(self, seed: int) -> None:
        self._done[seed] += 1
        self._bar.update()

    def skip(self, seed: int, epochs: int) -> None:
        """Pass over epochs of a seed: those of an earlier run, or the rest where it ended early."""
        steps = min(epochs * self.per_epoch, self.steps - self._done[seed])  # the last may be a part
        self._done[seed] += steps
        if not self._bar.disable:
            self._bar.initial += steps
            self._bar.n += steps
            self._bar.last_print_n += steps
            self._bar.refresh()

    def end(self, seed: int) -> None:
        """The seed is through: it is no part of the speed any more."""
        self._now.pop(seed, None)
        self._speeds.pop(seed, None)

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        tqdm.write(text)
        sys.stdout.flush()

    def show(self, seed: int, epoch: int, speed: float, lr: float, loss: float, error: float, val_error: float) -> None:
        """An epoch's end; `speed` in images per second, errors as fractions. The bar has the speed of all seeds."""
        self._speeds[seed] = speed
        total = sum(self._speeds.values())
        self._bar.set_postfix_str(f"{total:.0f} img/s, loss {loss:.3f}, val error {val_error:.1%}")
        if self._lines:
            self.say(
                f"seed {seed}  epoch {epoch:3}/{self.epochs}  {speed:7.0f} images/s  lr {lr:8.2g}  loss {loss:9.4g}  "
                f"training error {error:7.2%}  validation error {val_error:7.2%}"
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
