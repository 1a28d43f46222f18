"""What src/crossed.py has measured: a deep plain network from one initialisation, with another one's gradient norms."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lineage.report import stage_tables, verdicts
from lineage.report.markdown import Draw, capitalised, digits, listed, percent, prediction, table
from lineage.report.outcomes import Outcome, of_runs, words
from lineage.report.results import Results

TABLE = Path("plots/tables/crossed.csv")
EQUALISED = "do-they-train-if-all-gradients-have-the-same-relative-norm"
PLACE = "is-it-the-function-or-the-norm-of-the-first-gradients"
TEXT = """\
Two initialisations differ in the function that the network begins with, and with it in the directions of its gradients;
and they differ in the norms of these. Here norms are told apart from the rest, which stays together. The network begins
with one initialisation, and the gradient of each kernel, matrix and vector is multiplied by a factor that never
changes: so that before the first step all gradients have the norms, relative to what they change, of those of the other
initialisation (from the same random numbers; measured in float64 on 64 training images without augmentation). Their
directions are those of the network itself. Momentum, learning rate, its schedule and weight decay are as usual. For a
kernel before batch norm such a factor is the same as another norm of the kernel, which changes nothing that the network
computes; for batch norm's own parameters it is a learning rate of their own. Unlike in the [section
before](#do-they-train-if-all-gradients-have-the-same-relative-norm), nothing is made equal after the first step: norms
then change as they do. Behind batch norm a large step makes a kernel larger, and with it the later steps smaller
(Arora, Li & Lyu 2019, *Theoretical analysis of auto rate-tuning by batch normalization*). And a layer with a small
factor may hardly move at all, once its gradient has become smaller by itself: how far layers move later on was not
measured.

*Norms of its own*: all factors are 1. The learning rate was chosen for the Dirac initialisation with its own norms, by
the validation loss of the first seed of the [sweep](#does-the-first-step-tell-which-networks-train), and not for the
others. Three seeds were planned; when the first of each network was known it became five, so that a test can decide."""
ERROR = 20  # per cent
# written before any of these had run, when the results of src/equalised.py were known
PREDICTION = f"""\
*Predicted*, before any of these had run, from what equalised gradients do: with He's norms the Dirac initialisation
does not start to train with any seed; with the norms of Dirac's, He's starts with at least one seed, and its mean
training error stays above {ERROR} %."""
WHO = {"he": "He's initialisation", "dirac": "the Dirac initialisation"}


class Case(NamedTuple):
    """A network, and what came of its seeds."""

    start: str
    lengths: str
    runs: pd.DataFrame

    @property
    def came(self) -> Outcome:
        return of_runs(self.runs)

    @property
    def named(self) -> str:
        return f"{who(self.start)} with the gradient norms of {who(self.lengths)}"


def who(initialisation: str) -> str:
    return WHO.get(initialisation, words(initialisation))


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
        lengths = "its own" if own else words(one.lengths)
        trained = one.came.counted, one.came.error, one.came.loss
        rows.append((words(one.start), lengths, factors, *trained, percent(runs.val_error)))
    about = cases[0].runs.iloc[0]
    header = f"plain, {about.depth} layers, lr {about.lr:g}: initialisation | norms of | factors of the gradients | "
    header += "started | training error (%) | training loss | validation error (%)"
    lines = table(header, "l l r r r r r", rows)
    return [*TEXT.splitlines(), "", *lines, f"[All runs](../{TABLE.as_posix()}).", "", *predicted(cases)]


def predicted(cases: list[Case]) -> list[str]:
    """What was predicted, and what came."""
    came = []
    for one in cases:
        many = sum(one.came.started)
        expected = {
            ("dirac", "he"): many == 0,
            ("he", "dirac"): many > 0 and 100 * one.runs.train_error.mean() > ERROR,
        }
        if (one.start, one.lengths) in expected:
            right = "as" if expected[one.start, one.lengths] else "not as"
            came.append(f"{one.named}: {in_words(one)} ({right} predicted)")
    return prediction(PREDICTION, came)


def in_words(one: Case) -> str:
    return f"{one.came.counted} seeds started, training error {one.came.error} %"


def finding() -> list[str]:
    """Whether a network starts to train with the gradient norms of another initialisation, beside its own."""
    cases = read()
    own = {one.start: one for one in cases if one.start == one.lengths}
    crossed = [one for one in cases if one.start != one.lengths]
    if not crossed:
        return []
    about = cases[0].runs.iloc[0]
    networks = f"plain networks of {about.depth} layers"
    counts = [f"{one.came.counted} from {one.named}" for one in crossed]
    opening = f"With the first gradients of another initialisation there started of {networks} {', '.join(counts)}"
    tested = {lengths: fisher([one for one in cases if one.lengths == lengths]) for lengths in own}
    same_lengths = {lengths: p for lengths, p in tested.items() if p is not None}
    if same_lengths and max(same_lengths.values()) < verdicts.ALPHA:
        opening = f"From {' and '.join(map(who, own))}, whether {networks} start to train probably depends on the "
        opening += "function that they begin with and on the directions of its gradients"
    whole = (
        f"**{opening}** (exploratory; learning rate {about.lr:g}, chosen for the Dirac initialisation with its own "
        "norms). All gradients were multiplied by factors that never change, so that in the first step they have the "
        "norms, relative to the weights, of the other initialisation's; their directions come with the function. "
        "Layers with a very small factor may hardly move later on, which was not measured. Compare [equal norms in "
        f"every step](#{EQUALISED}). [More](#{PLACE})."
    )
    said = []
    for one in crossed:
        usual = own[one.start]
        difference = one.came.minus(usual.came)
        also = f", difference {difference}" if difference else apart(one, usual)
        both = f"{in_words(one)}; with its own {in_words(usual)}{also}"
        said.append(f"{capitalised(one.named)}: {both}. {norms(one, usual)}")
    if same_lengths:
        values = ", ".join(f"those of {who(lengths)}: p = {p:.2g}" for lengths, p in same_lengths.items())
        said.append(f"Fisher's exact test of the seeds that started, with the same norms on both sides ({values}).")
    return [listed(whole, said)]


def apart(one: Case, usual: Case) -> str:
    """Words for training errors that do not overlap, where no interval is given because some seeds did not start."""
    errors = one.runs.train_error, usual.runs.train_error
    if errors[0].max() < errors[1].min():
        return "; the error of every seed is higher with its own"
    return "; the error of every seed is lower with its own" if errors[1].max() < errors[0].min() else ""


def norms(one: Case, usual: Case) -> str:
    """Whether the norms matter for the start, as far as so many seeds can say."""
    both = {*one.came.started, *usual.came.started}
    if len(both) > 1:
        return f"Fisher's exact test of the seeds that started: p = {fisher([one, usual]):.2g}."
    most = 100 * verdicts.exact_upper(len(one.runs))
    excluded = f"above {most:.0f} %" if both == {False} else f"below {100 - most:.0f} %"
    return (
        f"With the other norms {len(one.runs)} seeds exclude only a probability of starting {excluded} (exact 95 % "
        "interval), so the norms may matter for the start, too."
    )


def fisher(both: list[Case]) -> float | None:
    """The test of how many seeds started; None where there are not two networks to compare."""
    if len(both) != 2:
        return None
    failed = tuple(one.came.started.count(False) for one in both)
    return verdicts.fisher(failed, tuple(len(one.runs) for one in both))
