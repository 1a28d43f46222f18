"""Did I reproduce it? Compare the results in the workspace with the recorded ones, which are read from Git.

    python src/reproduced.py                                          # all experiments that have been recorded
    python src/reproduced.py plain-20-signs32 resnet-56-signs32       # after dvc repro evaluate@...
    python src/reproduced.py resnet34-signs --against HEAD~5          # any revision; HEAD otherwise

For people; not a stage. Takes seconds, needs no GPU and no network. One line per experiment, with one of

- same bytes: metrics and tables are identical
- yes: they are not, but the mean test top-1 lies in the interval below
- no: it lies outside
- not run: the weights that the tables describe are not here, weights, tables and metrics are not from one run, they
  come from another recipe (for example from `scale: sample` or from fewer seeds), or experiments.yaml no longer has the
  experiment

Where the weights come from it cannot know: those that DVC has fetched (`dvc repro --pull`, a shared cache) count as a
second run. After you have committed results of your own, name the commit that has ours with `--against`.

The interval is where the mean of a second run with as many seeds should lie, in 95 of 100 cases. It combines two
independent half-widths as the root of the sum of their squares: the spread over seeds, by Student's t for the
difference of two means (t · s · √(2/n)), and the sampling error of the test set (Wilson's interval for one proportion).
Both runs answer the same test images, so the second part makes the interval generous; it keeps it from shrinking to a
point where a few seeds agree by chance. A single seed has no spread, and its interval is too narrow.

Exit code: 0, also with *not run*; 1 if an experiment is *no*; 2 for a mistake such as an unknown name.
"""

from lineage.errors import Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import csv
import io
import json
import math
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError
from scipy import stats

from lineage import lock
from lineage.engine.recipe import Recipe
from lineage.files import read_json
from lineage.options import NETWORKS, options_of

ENVIRONMENT = ("device", "instructions", "precision", "threads", "torch", "cuda")
# of an experiment: they may change the bytes of its results, but not what it is
ARITHMETIC = {"recipe.threads", "recipe.precision", "recipe.layout"}
DEFAULTS = {key: field.default for key, field in Recipe.model_fields.items() if not field.is_required()}
Files = dict[str, bytes]  # by path


def recorded_files(revision: str) -> Files:
    """What the revision has below metrics/ and plots/. Raises `Mistake`."""
    try:
        archive = lock.git("archive", "--format=tar", revision, "metrics", "plots")
    except Mistake as error:
        raise Mistake(f"no recorded results in {revision}: {error}") from None
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def results_of(name: str, files: Files) -> list[str]:
    """The paths of one experiment's metrics and tables, without the one that describes the environment."""
    single = {f"{kind}/{name}" for kind in ("metrics/experiments", "metrics/validation", "plots/history")}
    single.add(f"plots/confusion/{name}")
    folder = f"plots/tables/{name}"
    kept = [path for path in files if path.endswith((".csv", ".json")) and path != f"{folder}/provenance.csv"]
    return sorted(path for path in kept if path.rsplit(".", 1)[0] in single or path.startswith(f"{folder}/"))


def changed(path: str, recorded: Files) -> bool:
    return not Path(path).is_file() or Path(path).read_bytes() != recorded[path]


def interval(mean: float, deviation: float, n: int, images: int) -> tuple[float, float]:
    """Where the mean accuracy of a second run of n seeds should lie, as fractions; see above."""
    spread = stats.t.ppf(0.975, n - 1) * deviation * math.sqrt(2 / n) if n > 1 else 0.0
    z = stats.norm.ppf(0.975)
    centre = (mean + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z * math.sqrt(mean * (1 - mean) / images + (z / (2 * images)) ** 2) / (1 + z**2 / images)
    low, high = math.hypot(spread, mean - (centre - half)), math.hypot(spread, centre + half - mean)
    return max(0.0, mean - low), min(1.0, mean + high)


def flat(tree: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """`{"recipe": {"lr": 0.1}}` → ("recipe.lr", 0.1)."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differences(here: dict[str, object], there: dict[str, object], keys: list[str]) -> str:
    """`lr 0.2 instead of 0.1, …`."""
    pairs = [(key, here.get(key), there.get(key)) for key in keys]
    return ", ".join(f"{key.removeprefix('recipe.')} {a} instead of {b}" for key, a, b in pairs if a != b)


def environment(table: bytes) -> dict[str, str]:
    """What a provenance.csv says of it."""
    found = {row["key"]: row["value"] for row in csv.DictReader(io.StringIO(table.decode()))}
    return {key: found.get(key, "(not recorded)") or "none" for key in ENVIRONMENT}


def complete(described: dict[str, object]) -> dict[str, object]:
    """An experiment's description with the defaults that it leaves out, as far as this version knows them."""
    found = described | {"recipe": DEFAULTS | described["recipe"]}
    if described.get("model") in NETWORKS:
        with suppress(ValidationError):  # options of another version
            network = options_of(described["model"]).model_validate(described.get("network", {}))
            found["network"] = network.model_dump()
    return found


def present(path: str, md5: str) -> bool:
    """Whether a file or folder is here and has this hash."""
    return Path(path).exists() and lock.today(path, "*")["md5"] == md5


def why_not_run(name: str, there: dict[str, object], stages: dict[str, dict]) -> str:
    """Why the workspace has no second run of the recorded experiment; empty where it has one."""
    if not Path("recipes/experiments", f"{name}.json").is_file():
        return "experiments.yaml has no such experiment any more"
    weights, described = Path("models", name), Path("plots/tables", name, "experiment.json")
    needed = described, described.with_name("provenance.csv"), Path("metrics/experiments", f"{name}.json")
    if not (weights.is_dir() and all(path.is_file() for path in needed)):
        return f"run dvc repro evaluate@{name}"
    trained, evaluated = (stages.get(f"{stage}@{name}", {}) for stage in ("train", "evaluate"))
    # those of another commit may lie in their place
    written = {one["path"]: one["md5"] for stage in (trained, evaluated) for one in stage.get("outs", [])}
    read = {one["path"]: one["md5"] for one in evaluated.get("deps", []) if one["path"] == weights.as_posix()}
    if not read or any(not present(path, md5) for path, md5 in (written | read).items()):
        return f"models/{name}, tables and metrics are not from one run: run dvc repro evaluate@{name}"
    here, there = (dict(flat(complete(one))) for one in (read_json(described), there))
    keys = sorted((here.keys() | there.keys()) - ARITHMETIC, key=lambda key: (key != "scale", key))
    other = differences(here, there, keys)
    return other and f"another experiment: {other}"


def judge(name: str, recorded: Files, stages: dict[str, dict]) -> list[str]:
    """A line of the table: the name, seeds, recorded mean and interval, the workspace's mean, verdict and remark."""
    described = json.loads(recorded[f"plots/tables/{name}/experiment.json"])
    paths = f"metrics/experiments/{name}.json", f"metrics/data/{described['dataset']}.json"
    provenance = f"plots/tables/{name}/provenance.csv"
    if missing := [path for path in (*paths, provenance) if path not in recorded]:
        return [name, "–", "–", "–", "not run", f"the revision lacks {missing[0]}: commit metrics/ and plots/ together"]
    metrics, data = (json.loads(recorded[path]) for path in paths)
    images = data["test_images"]
    n, mean = described["recipe"].get("seeds", 1), metrics["test_top1"]
    low, high = interval(mean, metrics.get("test_top1_std", 0.0), n, images)
    line = [name, str(n), f"{mean:.2%} ({low:.2%} … {high:.2%})"]
    if why := why_not_run(name, described, stages):
        return [*line, "–", "not run", why]
    ours = read_json(Path("metrics/experiments", f"{name}.json"))["test_top1"]
    line.append(f"{ours:.2%}")
    if not (other := [path for path in results_of(name, recorded) if changed(path, recorded)]):
        return [*line, "same bytes", ""]
    environments = environment(Path(provenance).read_bytes()), environment(recorded[provenance])
    remark = differences(*environments, list(ENVIRONMENT))
    # the maker of the CPU is not recorded, and float32 differs between makers
    other_cause = f"another CPU, other code or other data; files that differ: {len(other)}, first {other[0]}"
    return [*line, "yes" if low <= ours <= high else "no", remark or other_cause]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", metavar="experiment", help="all that are recorded, if none is named")
    parser.add_argument("--against", default="HEAD", metavar="REVISION", help="Git revision of the recorded results")
    arguments = parser.parse_args()
    stages = lock.read()["stages"]
    recorded = recorded_files(arguments.against)
    known = sorted(path.split("/")[2] for path in recorded if path.endswith("/experiment.json"))
    if not known:
        raise Mistake(f"{arguments.against} has no results that this version can compare")
    for name in arguments.experiments:
        if name not in known:
            raise Mistake(f"{name} is not recorded in {arguments.against}; recorded are {', '.join(known)}")
    header = ["experiment", "n", "recorded test top-1 (95 %)", "here", "reproduced?", ""]
    lines = [judge(name, recorded, stages) for name in arguments.experiments or known]
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    for line in (header, *lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 1 if any(line[4] == "no" for line in lines) else 0


if __name__ == "__main__":
    run(main)
