"""compare: everything measured so far → docs/results.md, docs/experiments.md, metrics/summary.json, and every figure.

    python src/compare.py

Reads the recipes and the small tables of the other stages, all of them in Git: it needs no data, no weights and no
GPU, and takes a second per experiment that has run, less on several cores. Experiments that have not run at the scale
in params.yaml are named as such, and nothing waits for them. Also writes plots/degradation.csv and
plots/error-by-depth.csv, for `dvc plots`.
"""

from lineage.errors import Failure, Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from lineage.engine.experiment import read_experiment
from lineage.files import recipes, replacing, write_json, write_text
from lineage.report import cards, depth, figures, page
from lineage.report.comparisons import check_all
from lineage.report.results import Results, read
from lineage.report.study import FAULTS, LINEAGE, groups, named

FIGURES = Path("plots/figures")


def summary(results: Results) -> dict[str, float]:
    """The headline numbers, few: test top-1 of each network of the lineage, and what depth does to the training error.

    `train_error_increase/plain-signs32-20-to-56` is the training error (without augmentation) of the deepest plain
    network of that group minus the shallowest one's, as a fraction: above zero, depth hurts. Networks of which a seed
    did not start to train have no part in it.
    """
    lineage = [name for _, _, names in LINEAGE for name in names if name in results]
    numbers = {f"test_top1/{name}": results[name].metrics["test_top1"] for name in lineage}
    for group, members in groups(results).items():
        for family in ("plain", "resnet"):
            trained = [(depth, r) for (other, depth), r in members.items() if other == family and r.started().all()]
            if len(trained) > 1:
                (first, shallow), (last, deep) = trained[0], trained[-1]
                increase = deep.error("train").mean() - shallow.error("train").mean()
                numbers[f"train_error_increase/{family}-{group}-{first}-to-{last}"] = round(increase, 6)
    return numbers


def curves(results: Results) -> pd.DataFrame:
    """For `dvc plots`: a row per experiment and epoch, the errors over the seeds in per cent. Where no experiment of a
    training group has run, all that have run, each in a panel of its own.
    """
    members = [
        (result.name, family, layers, group)
        for group, by_depth in groups(results).items()
        for (family, layers), result in by_depth.items()
    ]
    members.sort(key=lambda member: [*results].index(member[0]))
    tables = []
    for name, family, layers, group in members or [(name, "", "", name) for name in results]:
        table = figures.over_seeds(results[name].history, "train_error").add_prefix("train_error_")
        table["val_error"] = figures.over_seeds(results[name].history, "val_error")["mean"]
        table.insert(0, "series", name)
        tables.append(table.assign(group=group, family=family, depth=layers).reset_index())
    columns = [
        "series",
        "group",
        "family",
        "depth",
        "epoch",
        "train_error_mean",
        "train_error_min",
        "train_error_max",
        "val_error",
    ]
    return pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def replace(folder: Path, drawn: Path) -> None:
    """Put what has been drawn in the place of a folder, so that figures of experiments that are gone go too; but only
    once all of it is there. Raises `Failure`.
    """
    try:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with replacing(folder) as copy:
            shutil.copytree(drawn, copy)
    except shutil.Error as error:  # of a copy, as the disk is full
        raise Failure(f"{folder} cannot be written ({error.args[0][0][-1]}): mend that, and run this again") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise  # `errors.run` says it
        reason = error.strerror or str(error)
        raise Failure(f"{folder} cannot be replaced ({reason}): remove it yourself, and run this again") from None


@contextmanager
def mapping() -> Iterator[Callable[..., Iterator]]:
    """`map` on all cores, or on one where the system lets no processes share a lock (no /dev/shm, as in some
    containers).
    """
    try:
        pool = ProcessPoolExecutor()
    except (OSError, NotImplementedError):
        yield map
        return
    try:
        with pool:
            yield pool.map
    except BrokenProcessPool:
        raise Failure("a process that draws was ended; if memory was short, close other programs") from None


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    names = recipes()
    if FAULTS:
        raise Mistake(FAULTS[0])
    check_all()
    if unknown := sorted(named() - set(names)):
        print(f"study.yaml names experiments that experiments.yaml does not have: {', '.join(unknown)}")
    results = {name: result for name in names if (result := read(name))}
    missing = [name for name in names if name not in results]
    scale = read_experiment(names[0]).scale
    with tempfile.TemporaryDirectory() as name:  # whoever interrupts it keeps the old figures
        folder = Path(name)
        with mapping() as over:
            drawn = over(cards.card, results, [folder] * len(results), [scale] * len(results))
            experiments = page.experiments(results, missing, drawn, scale)
        report = page.results(results, missing, folder, scale)  # which links to what has been drawn
        replace(FIGURES, folder)
    for path, lines in (("docs/results.md", report), ("docs/experiments.md", experiments)):
        text = "\n".join(lines).rstrip() + "\n"
        write_text(Path(path), text.replace(f"../{folder.as_posix()}/", f"../{FIGURES.as_posix()}/"))
    write_json(Path("metrics/summary.json"), summary(results) | {"scale": scale})
    write_csv(Path("plots/degradation.csv"), curves(results).assign(scale=scale))
    write_csv(Path("plots/error-by-depth.csv"), depth.errors_by_depth(results).assign(scale=scale))
    print(
        f"{len(results)} of {len(names)} experiments at scale {scale}: docs/results.md, docs/experiments.md, {FIGURES}"
    )


if __name__ == "__main__":
    run(main)
