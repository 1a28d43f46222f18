"""What a person sees of a training: in a terminal a live bar, elsewhere a line of fixed width for each epoch."""

import sys
from types import TracebackType

from tqdm import tqdm

BAR = "{desc} |{bar}| {remaining} left{postfix}"
BESIDE = 62  # columns that all but the description takes at most


class Progress:
    """Counts steps over all seeds of an experiment. What was done before, or will not be done, is no part of the speed
    by which the time that is left is estimated.
    """

    def __init__(self, name: str, seeds: int, steps: int, per_epoch: int, epochs: int) -> None:
        """`steps`, `per_epoch` of them, and `epochs` are those of one seed."""
        self.name, self.steps, self.per_epoch, self.epochs = name, steps, per_epoch, epochs
        screen = sys.stderr
        self._lines = not (screen.isatty() and sys.stdout.isatty())  # with `> log`, the log has them
        shown = {"file": screen, "disable": not screen.isatty(), "bar_format": BAR, "dynamic_ncols": True}
        self._bar = tqdm(total=seeds * steps, desc=name, **shown)

    def begin(self, seed: int, epoch: int) -> None:
        if not self._bar.disable:
            where, width = f"seed {seed} epoch {epoch}/{self.epochs}", self._bar.format_dict["ncols"] or 80
            named = f"{self.name} {where}"  # where there is room: the numbers go before the name
            self._bar.set_description_str(named if len(named) + BESIDE <= width else where, refresh=False)

    def step(self) -> None:
        self._bar.update()

    def skip(self, epochs: int) -> None:
        """Pass over epochs: those of an earlier run, or the rest of a seed that ended early."""
        if not self._bar.disable:
            steps = min(epochs * self.per_epoch, self.steps - self._bar.n % self.steps)  # the last may be a part
            self._bar.initial += steps
            self._bar.n += steps
            self._bar.last_print_n += steps
            self._bar.refresh()

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        tqdm.write(text)
        sys.stdout.flush()

    def show(self, seed: int, epoch: int, speed: float, lr: float, loss: float, error: float, val_error: float) -> None:
        """An epoch's end; `speed` in images per second, errors as fractions."""
        self._bar.set_postfix_str(f"{speed:.0f} img/s, loss {loss:.3f}, val error {val_error:.1%}")
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
