"""What was measured, as the small tables in Git have it: one `Result` per experiment that has run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.errors import EmptyDataError, ParserError

from lineage.engine.experiment import Experiment, read_experiment
from lineage.errors import Mistake
from lineage.files import read_json
from lineage.started import most_mistakes

PRECISION_NAMES = {"bf16": "bfloat16", "fp32": "float32"}


@dataclass(frozen=True, eq=False)  # tables have no truth value
class Result:
    """One experiment as it was measured. Top-1 and errors are fractions."""

    name: str
    experiment: Experiment  # as it was run
    labels: dict  # of its data set: `classes`, `superclasses`, `pictures`
    metrics: dict[str, float]
    provenance: dict[str, str]
    scores: pd.DataFrame  # seed, part, top1, …
    history: pd.DataFrame  # seed, epoch, train_error, val_error, …
    predictions: pd.DataFrame  # image, actual, predicted, confidence: the first seed's
    layers: pd.DataFrame  # layer, gradient, weight, response: the first seed's
    folder: Path  # of further tables and pictures, which not every experiment has

    def top1(self, part: str) -> pd.Series:
        """Seed by seed."""
        return self.scores[self.scores.part == part].set_index("seed").top1

    def error(self, part: str) -> pd.Series:
        return 1 - self.top1(part)

    def loss(self, part: str) -> pd.Series:
        """Seed by seed, the cross-entropy."""
        return self.scores[self.scores.part == part].set_index("seed").loss

    def started(self) -> pd.Series:
        """Seed by seed, whether it started to train: its training error is below 80 % of that at chance level."""
        return self.error("train") <= most_mistakes(len(self.labels["classes"]))

    @property
    def failed(self) -> int:
        """How many seeds did not start to train."""
        return int((~self.started()).sum())

    def wrong_answers(self) -> np.ndarray | None:
        """Seeds×images of the test set, true where the answer is wrong; None where the answers were not kept."""
        answers = self.table("answers")
        if answers is None:
            return None
        predicted = answers.filter(regex=r"^predicted_\d+$").to_numpy().T
        return predicted != self.predictions.actual.to_numpy()

    def together(self, part: str) -> float | None:
        """Top-1 of all seeds by the mean of their probabilities; None where that was not measured."""
        ensemble = self.table("ensemble")
        return None if ensemble is None else float(ensemble.set_index("part").top1[part])

    def images(self, part: str) -> int | None:
        """How many a split has, of the training split those that it trains on; None where nobody counted them."""
        counted = Path("metrics/data", f"{self.experiment.dataset}.json")
        if not counted.is_file():
            return None
        most = self.experiment.max_images if part == "train" else 0
        return min(read_json(counted)[f"{part}_images"], most or 10**12)

    @property
    def n(self) -> int:
        """Seeds."""
        return self.scores.seed.nunique()

    @property
    def precision(self) -> str:
        """The one that it was trained in, a key of `PRECISION_NAMES`: without hardware for bfloat16, float32."""
        return self.provenance["precision"]

    def shown(self, text: str) -> str:
        """The text, marked where a seed diverged."""
        return f"{text} (diverged)" if self.metrics["diverged"] else text

    @property
    def budget(self) -> str:
        """Of training, in epochs or in steps."""
        run = self.provenance
        return counted(run["epochs"], "epoch") if run["epochs"] else counted(run["iterations"], "step")

    def table(self, name: str) -> pd.DataFrame | None:
        path = self.folder / f"{name}.csv"
        return read_table(path) if path.is_file() else None


def counted(number: int | str, unit: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{number} {unit}{'s' * (str(number) != '1')}"


def read_table(path: Path, **options: Any) -> pd.DataFrame:
    """A CSV file that a stage has written, with options of `pandas.read_csv`. Raises `Mistake` where it is none."""
    if b"\n<<<<<<< " in path.read_bytes():
        raise Mistake(f"{path} has a conflict of two branches in it: resolve that, or `git restore {path}`")
    try:
        return pd.read_csv(path, **options)
    except (EmptyDataError, ParserError, UnicodeDecodeError) as error:
        raise Mistake(f"{path} is not as its stage wrote it ({error}): `git restore {path}` brings it back") from None


Results = dict[str, Result]  # by name: those that have run


def read(name: str) -> Result | None:
    """The experiment's results, or None where it has not run by its present recipe."""
    folder = Path("plots/tables", name)
    history, metrics = Path("plots/history", f"{name}.csv"), Path("metrics/experiments", f"{name}.json")
    tables = {kind: folder / f"{kind}.csv" for kind in ("scores", "predictions", "layers")}
    experiment, used = read_experiment(name), folder / "experiment.json"
    if not all(path.is_file() for path in [metrics, history, used, folder / "provenance.csv", *tables.values()]):
        return None
    provenance = read_table(folder / "provenance.csv", dtype=str, keep_default_na=False)
    provenance = dict(zip(provenance.key, provenance.value, strict=True))
    if read_json(used) != experiment.changes():
        return None
    labels = read_json(Path("recipes/labels", f"{experiment.dataset}.json"))
    frames = {kind: read_table(path, dtype={"image": str}) for kind, path in (tables | {"history": history}).items()}
    if set(frames["history"].scale) != {experiment.scale}:
        return None
    return Result(name, experiment, labels, read_json(metrics), provenance, folder=folder, **frames)
