"""unchanged: prove that a change of the code changes no byte of what is recorded: then nothing is trained again.

    python src/unchanged.py                                   # every recorded experiment whose code has changed
    python src/unchanged.py plain-20-signs32                  # one of them

For maintainers; not a stage. For each experiment, the code that recorded it (the newest commit whose files have the
hashes of dvc.lock) and the code in the working tree both run a shortened training: two seeds, three
epochs over a few batches of the real images, validation included; then `evaluate` on the weights that came of it. Where
every file that they write is the same, byte for byte, the hashes of the code in dvc.lock become today's. Where one is
not, it is named and the entry stays as it is. Training and evaluation are judged apart. Needs the tensors of the data
sets, but no trained weights; expect a minute for a small network, more for VGG16. Run it on a machine of the kind
that recorded the results: it can only see a difference that shows there. The stages that train networks of their own
(`sweep`, …) are not tried, only named.

What dvc.lock means afterwards: the results were recorded by an earlier commit, and the code of today did the same in
the shortened training. `git log dvc.lock` has both commits. Exit code 1 if something is not proven.
"""

from lineage.errors import Failure, Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import json
import math
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

import yaml
from dvc.utils.serialize import dumps_yaml

from lineage.files import read_json, write_text
from lineage.lock import code, git, recorded_by, today

OUTPUTS = {
    "train": ("models/{}", "plots/history/{}.csv", "metrics/validation/{}.json"),
    "evaluate": ("plots/tables/{}", "plots/confusion/{}.csv", "metrics/experiments/{}.json"),
}
SEEDS, EPOCHS, BATCHES = 2, 3, 2.5  # of the shortened training; the half batch is left over, as in most data sets


def unpacked(revision: str, folder: Path) -> Path:
    with tarfile.open(fileobj=BytesIO(git("archive", revision, "src", "dvc.yaml"))) as tar:
        tar.extractall(folder, filter="data")
    return folder


def outputs(source: Path, name: str, folder: Path) -> dict[str, dict[str, bytes] | Failure]:
    """What `source` writes for a shortened training of an experiment and its evaluation, by stage and path; of a stage
    that failed, or that had to wait for it, the failure.
    """
    experiment = read_json(Path("recipes/experiments", f"{name}.json"))  # which is the recorded one
    recipe = {key: value for key, value in experiment["recipe"].items() if key != "iterations"}
    experiment |= {"max_images": math.ceil(BATCHES * recipe["batch_size"])}
    experiment["recipe"] = recipe | {"epochs": EPOCHS, "seeds": SEEDS}
    (folder / "recipes/experiments").mkdir(parents=True)
    (folder / "recipes/experiments" / f"{name}.json").write_text(json.dumps(experiment))
    for linked in ("recipes/labels", "data"):
        (folder / linked).symlink_to(Path(linked).resolve())
    written: dict[str, dict[str, bytes] | Failure] = {}
    for stage, patterns in OUTPUTS.items():
        command = [sys.executable, str(source.resolve() / f"src/{stage}.py"), name]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if result.returncode:
            lines = [f"exit code {result.returncode}", *(result.stderr.strip() or result.stdout).splitlines()]
            failure = Failure(f"{stage} failed: {lines[-1]}")
            return dict.fromkeys(OUTPUTS, failure) | written
        places = [folder / pattern.format(name) for pattern in patterns]
        files = [file for place in places for file in (sorted(place.rglob("*")) if place.is_dir() else [place])]
        written[stage] = {f.relative_to(folder).as_posix(): f.read_bytes() for f in files if f.is_file()}
    return written


def different(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """The files that are not the same on both sides, weights first."""
    return [path for path in before | after if before.get(path) != after.get(path)]


def prove(name: str, lock: dict) -> tuple[bool, list[str]]:
    """Judge one experiment, and update its entries in `lock` as far as they are proven. Returns whether all of it is,
    and what to say. Raises `Failure`.
    """
    said, whole, stale = [], True, {}
    resolved = Path("recipes/experiments", f"{name}.json")
    if not resolved.is_file():
        raise Failure("it is in dvc.lock, but no longer in experiments.yaml")
    item = read_json(resolved)
    for stage in OUTPUTS:
        entry = lock["stages"].get(f"{stage}@{name}")
        if entry is None:
            continue
        known = {dep["path"]: dep["md5"] for dep in entry["deps"]}
        if known[resolved.as_posix()] != today(resolved.as_posix())["md5"]:
            raise Failure(f"its recipe has changed: `dvc repro evaluate@{name}` trains it again")
        deps = [today(path) for path in code(stage, item)]
        if {dep["path"]: dep["md5"] for dep in deps} != {p: md5 for p, md5 in known.items() if p.startswith("src/")}:
            stale[stage] = entry, deps
    with tempfile.TemporaryDirectory() as scratch:
        runs: dict[str, dict[str, dict[str, bytes] | Failure]] = {}
        for number, (stage, (entry, deps)) in enumerate(stale.items()):
            try:
                revision = recorded_by(entry)
                if revision not in runs:
                    old = unpacked(revision, Path(scratch, f"code-{number}"))
                    runs[revision] = outputs(old, name, Path(scratch, f"old-{number}"))
                if "" not in runs:
                    runs[""] = outputs(Path(), name, Path(scratch, f"new-{number}"))
                for written in (runs[revision][stage], runs[""][stage]):
                    if isinstance(written, Failure):
                        raise written
            except Failure as error:
                whole = False
                said.append(f"{stage}@{name}: not proven: {error}")
                continue
            if changed := different(runs[revision][stage], runs[""][stage]):
                whole = False
                said.append(f"{stage}@{name}: NOT the same as at {revision[:8]}, first in {changed[0]}")
                continue
            others = [dep for dep in entry["deps"] if not dep["path"].startswith("src/")]
            entry["deps"] = sorted([*others, *deps], key=lambda dep: dep["path"])
            said.append(f"{stage}@{name}: the same bytes as at {revision[:8]}")
    return whole, said or [f"{name}: nothing to prove, its code has not changed"]


def not_tried(lock: dict) -> list[str]:
    """The stages of their own (`sweep`, …) whose code has changed: they have no shortened form. `recipes` and `compare`
    run again within seconds.
    """
    changed = []
    for stage, entry in lock["stages"].items():
        if "@" not in stage and stage not in ("recipes", "compare"):
            known = {dep["path"]: dep["md5"] for dep in entry["deps"] if dep["path"].startswith("src/")}
            if any(not Path(path).exists() or today(path)["md5"] != md5 for path, md5 in known.items()):
                changed.append(stage)
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", metavar="experiment", help="all recorded ones, if none is named")
    args = parser.parse_args()
    path = Path("dvc.lock")
    if not path.is_file():
        raise Mistake("dvc.lock is missing: run this in the top folder of the repository")
    lock, before = (yaml.safe_load(path.read_text(encoding="utf-8")) for _ in range(2))
    recorded = [stage.removeprefix("train@") for stage in lock["stages"] if stage.startswith("train@")]
    for name in args.experiments:
        if name not in recorded:
            raise Mistake(f"dvc.lock has no experiment {name}; it has {', '.join(sorted(recorded))}")
    proven = True
    for name in args.experiments or recorded:
        try:
            whole, said = prove(name, lock)
        except Failure as error:
            whole, said = False, [f"{name}: not proven: {error}"]
        proven &= whole
        print("\n".join(said), flush=True)
        # What is proven stays so, whatever comes next; what was recorded meanwhile stays, too.
        own = [f"{stage}@{name}" for stage in OUTPUTS if f"{stage}@{name}" in lock["stages"]]
        if updated := [key for key in own if lock["stages"][key] != before["stages"][key]]:
            present = yaml.safe_load(path.read_text(encoding="utf-8"))
            for key in updated:
                if present["stages"].get(key) == before["stages"][key]:
                    present["stages"][key] = lock["stages"][key]
            write_text(path, dumps_yaml(present))
    if stages := not_tried(lock):
        names = ", ".join(stages)
        print(f"not tried: {names}, whose code has changed; `dvc commit` accepts that unseen, else they run again")
    if not proven:
        raise Failure("not everything is proven; `dvc repro evaluate@…` trains what is left again")


if __name__ == "__main__":
    run(main)
