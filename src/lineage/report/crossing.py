"""What src/crossed.py has measured: a deep plain network from one initialisation, with the lengths of another one."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lineage.report import figures, stage_tables, verdicts
from lineage.report.markdown import Draw, difference_text, digits, listed, percent, table
from lineage.report.outcomes import words
from lineage.report.results import Results

TABLE = Path("plots/tables/crossed.csv")
PLACE = "is-it-the-function-or-the-length-of-the-first-steps"
TEXT = """\
Two initialisations differ in the function that the network begins with, and in the lengths of its gradients. Here they
are told apart. The network begins with one initialisation, and the gradient of each kernel, matrix and vector is
multiplied by a factor that never changes: so that before the first step all gradients have the lengths, relative to
what they change, of those of the other initialisation (from the same random numbers; measured in float64 on 64 training
images without augmentation). Their directions are those of the network itself. Momentum, learning rate, its schedule
and weight decay are as usual. For a kernel before batch norm such a factor is the same as another norm of the kernel,
which changes nothing that the network computes; for batch norm's own parameters it is a learning rate of their own.
Unlike in the [section before](#do-they-train-if-all-gradients-have-the-same-relative-length), nothing is made equal
after the first step: lengths then change as they do.

*Lengths of its own*: all factors are 1. The learning rate was chosen for the Dirac initialisation with its own lengths,
by the validation loss of the first seed of the [sweep](#does-the-first-step-tell-which-networks-train), and not for the
others. Three seeds were planned; when the first of each network was known it became five, so that a test can
decide."""
# written before any of these had run, when the results of src/equalised.py were known
PREDICTION = """\
*Predicted*, before any of these had run, from what equalised gradients do: with He's lengths the Dirac initialisation
does not start to train with any seed; with the lengths of Dirac's, He's starts with at least one seed, and its mean
training error stays above 20 %."""
ERROR = 0.2


class Case(NamedTuple):
    """A network, and what came of its seeds."""

    start: str
    lengths: str
    runs: pd.DataFrame

    @property
    def started(self) -> str:
        return f"{(self.runs.trained == 'yes').sum()} of {len(self.runs)}"

    @property
    def error(self) -> str:
        return percent(self.runs.train_error)


def read() -> list[Case]:
    """The networks; none where they have not been trained by the present recipes, at the present scale."""
    found, recipes = stage_tables.read(TABLE)
    wanted = {(one["start"], one["lengths"]) for one in recipes.values()}
    if found.empty or set(zip(found.start, found.lengths, strict=True)) != wanted:
        return []
    return [Case(*names, some) for names, some in found.groupby(["start", "lengths"], sort=False)]


def section(_: Results, __: Draw) -> list[str]:
    cases = read()
    if not cases:
        return []
    rows = []
    for one in cases:
        own, runs = one.start == one.lengths, one.runs
        factors = "1" if own else f"{digits(runs.least_factor.min())} … {digits(runs.largest_factor.max())}"
        losses = f"{figures.geometric_mean(runs.train_loss):.2g}"
        lengths = "its own" if own else words(one.lengths)
        rows.append((words(one.start), lengths, factors, one.started, one.error, losses, percent(runs.val_error)))
    about = cases[0].runs.iloc[0]
    header = f"plain, {about.depth} layers, lr {about.lr:g}: initialisation | lengths of | factors of the gradients | "
    header += "started | training error (%) | training loss | validation error (%)"
    lines = table(header, "l l r r r r r", rows)
    return [*TEXT.splitlines(), "", *lines, f"[All runs](../{TABLE.as_posix()}).", "", *predicted(cases)]


def predicted(cases: list[Case]) -> list[str]:
    """What was predicted, and what came."""
    came = []
    for one in cases:
        many = (one.runs.trained == "yes").sum()
        expected = {
            ("dirac", "he"): many == 0,
            ("he", "dirac"): many > 0 and one.runs.train_error.mean() > ERROR,
        }
        if (one.start, one.lengths) in expected:
            right = "as" if expected[one.start, one.lengths] else "not as"
            came.append(
                f"{words(one.start)} with the lengths of {words(one.lengths)}: {outcome(one)} ({right} predicted)"
            )
    return [*PREDICTION.splitlines(), f"Outcome: {'; '.join(came)}.", ""] if came else []


def outcome(one: Case) -> str:
    return f"{one.started} seeds started, training error {one.error} %"


def finding(_: Results) -> list[str]:
    """Whether a network starts to train with the lengths of another initialisation, beside its own."""
    cases = read()
    own = {one.start: one for one in cases if one.start == one.lengths}
    crossed = [one for one in cases if one.start != one.lengths]
    if not crossed:
        return []
    counts = [f"from {words(one.start)} with the lengths of {words(one.lengths)} {one.started}" for one in crossed]
    about = cases[0].runs.iloc[0]
    opening = (
        f"**Plain networks of {about.depth} layers whose first gradients are as long as those of another "
        f"initialisation: seeds that started {', '.join(counts)}** (exploratory, learning rate {about.lr:g}). The "
        "gradients were multiplied by factors that never change; the function that training begins with stays the "
        f"same. [More](#{PLACE})."
    )
    said = [
        f"From {words(one.start)}: with the lengths of {words(one.lengths)} {outcome(one)}; with its own "
        f"{outcome(own[one.start])}{apart(one, own[one.start])}."
        for one in crossed
    ]
    return [listed(opening, [*said, *by_function(cases)])]


def apart(one: Case, other: Case) -> str:
    """The difference of the training errors, where all seeds started on both sides, or the test of how many did."""
    runs = one.runs, other.runs
    failed = [int((some.trained != "yes").sum()) for some in runs]
    if not any(failed) and min(map(len, runs)) > 1:
        return f", difference {difference_text(verdicts.difference(*(100 * some.train_error for some in runs)), 'pp')}"
    return f" (Fisher's exact test of how many started: p = {verdicts.fisher(failed, tuple(map(len, runs))):.2g})"


def by_function(cases: list[Case]) -> list[str]:
    """With the same lengths, how many seeds start from one initialisation and from another."""
    said = []
    for lengths in dict.fromkeys(one.lengths for one in cases):
        both = [one for one in cases if one.lengths == lengths]
        if len(both) == 2:
            counts = " and ".join(f"from {words(one.start)} {one.started}" for one in both)
            said.append(f"With the lengths of {words(lengths)} there started {counts}{apart(*both)}.")
    return said
