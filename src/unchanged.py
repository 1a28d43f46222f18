"""unchanged: prove that a change of the code changes no byte of what is recorded: then nothing is trained again.

    python src/unchanged.py                                   # all that is recorded and whose code has changed
    python src/unchanged.py plain-20-signs32 sweep            # one experiment, and one stage that trains by itself

For maintainers; not a stage. The code in the working tree is compared with the code that recorded a result (the newest
commit whose files have the hashes of dvc.lock). Where they differ in comments, docstrings and layout alone, the hashes
of the code in dvc.lock become today's at once.

Else both run a shortened form of it. Of an experiment that is `train` with two seeds and three epochs over a few
batches of the real images, validation included, and then `evaluate` on the weights that came of it: each is judged by
itself. Of a stage of its own (`sweep`, …) it is the whole stage with such short runs, and with networks of 32 layers at
most; `gradients` runs as it is. Where every file that they write is the same, byte for byte, the hashes become today's,
too. Where one is not, it is named and the entry stays as it is. The runs need the tensors of the data sets, but no
trained weights; expect a minute for a small network, more for VGG16 and most of the stages. Use a machine of the kind
that recorded the results: they can only show a difference that there is there, and in the shortened run. What takes
more images, more epochs or deeper networks to show goes unseen: for instance another number of images that `evaluate`
takes for a table, where the shortened run has fewer.

What dvc.lock means afterwards: the results were recorded by an earlier commit, and the code of today says the
same, or did the same in the shortened run. `git log dvc.lock` has both commits. Exit code 1 if something is not proven.
"""

from lineage.errors import Failure, Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import tempfile
from pathlib import Path

from dvc.utils.serialize import dumps_yaml

from lineage.files import read_yaml, write_text
from lineage.lock import SECONDS, read, recorded_by, stated, today
from lineage.shortened import Files, different, outputs, unpacked
from lineage.syntax import same_syntax

EXPERIMENT = ("train", "evaluate")  # its stages, in their order


def stages_of(name: str) -> list[str]:
    """The stages of an experiment, or a stage of its own, which dvc.yaml has."""
    own = read_yaml(Path("dvc.yaml"))["stages"]
    return [name] if name in own or name in read()["stages"] else [f"{stage}@{name}" for stage in EXPERIMENT]


def recorded(lock: dict) -> list[str]:
    """The experiments and the stages of their own that are in dvc.lock."""
    names = [stage.removeprefix("train@") for stage in lock["stages"] if stage.startswith("train@")]
    return names + [stage for stage in lock["stages"] if "@" not in stage and stage not in SECONDS]


def with_code(entry: dict, code: list[dict]) -> list[dict]:
    """The dependencies of an entry, those in src/ replaced by `code`."""
    others = [dep for dep in entry["deps"] if not dep["path"].startswith("src/")]
    return sorted([*others, *code], key=lambda dep: dep["path"])


def prove(name: str, lock: dict) -> tuple[bool, list[str]]:
    """Judge one experiment or stage, and update its entries in `lock` as far as they are proven. Returns whether all of
    it is, and what to say. Raises `Failure`.
    """
    said, whole, stale = [], True, {}
    stages = {stage: stated(stage) for stage in stages_of(name) if stage in lock["stages"]}
    for stage, one in stages.items():
        entry = lock["stages"][stage]
        known = {dep["path"]: dep["md5"] for dep in entry["deps"]}
        for path in one.recipes:
            if known.get(path) != today(path)["md5"]:
                raise Failure(f"{path} has changed: `dvc repro {list(stages)[-1]}` runs it again")
        deps = [today(path) for path in one.code]
        if {dep["path"]: dep["md5"] for dep in deps} != {p: md5 for p, md5 in known.items() if p.startswith("src/")}:
            stale[stage] = entry, deps
    with tempfile.TemporaryDirectory() as scratch:
        runs: dict[str, dict[str, Files | Failure]] = {}
        for number, (stage, (entry, deps)) in enumerate(stale.items()):
            try:
                revision = recorded_by(entry)
                if all(same_syntax(path, revision) for path in stages[stage].code):
                    entry["deps"] = with_code(entry, deps)
                    said.append(f"{stage}: as at {revision[:8]} but for comments, docstrings or layout")
                    continue
                if revision not in runs:
                    old = unpacked(revision, Path(scratch, f"code-{number}"))
                    runs[revision] = outputs(old, stages, Path(scratch, f"old-{number}"))
                if "" not in runs:
                    runs[""] = outputs(Path(), stages, Path(scratch, f"new-{number}"))
                for written in (runs[revision][stage], runs[""][stage]):
                    if isinstance(written, Failure):
                        raise written
            except Failure as error:
                whole = False
                said.append(f"{stage}: not proven: {error}")
                continue
            if changed := different(runs[revision][stage], runs[""][stage]):
                whole = False
                said.append(f"{stage}: NOT the same as at {revision[:8]}, first in {changed[0]}")
                continue
            entry["deps"] = with_code(entry, deps)
            said.append(f"{stage}: the same bytes as at {revision[:8]}")
    return whole, said or [f"{name}: nothing to prove, its code has not changed"]


def update(lock: dict, before: dict, stages: list[str]) -> None:
    """Write what is proven of these stages to dvc.lock: it stays proven, whatever comes next. What another process has
    recorded meanwhile stays, too.
    """
    path = Path("dvc.lock")
    updated = [stage for stage in stages if lock["stages"][stage] != before["stages"][stage]]
    while updated:
        content, present = path.read_bytes(), read()
        for stage in updated:
            if present["stages"].get(stage) == before["stages"][stage]:
                present["stages"][stage] = lock["stages"][stage]
        text = dumps_yaml(present)  # takes a second, in which another process may have written
        if path.read_bytes() == content:
            write_text(path, text)
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help="an experiment or a stage; all, if none is named")
    args = parser.parse_args()
    lock, before = read(), read()
    known = recorded(lock)
    for name in args.names:
        if name not in known:
            raise Mistake(f"dvc.lock has no experiment or stage {name}; it has {', '.join(sorted(known))}")
    proven = True
    for name in args.names or known:
        try:
            whole, said = prove(name, lock)
        except Failure as error:
            whole, said = False, [f"{name}: not proven: {error}"]
        proven &= whole
        print("\n".join(said), flush=True)
        update(lock, before, [stage for stage in stages_of(name) if stage in lock["stages"]])
    if not proven:
        raise Failure("not everything is proven; `dvc repro` of what is left runs it again")


if __name__ == "__main__":
    run(main)
