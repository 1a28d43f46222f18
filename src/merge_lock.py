"""merge_lock: after `git merge` left a conflict in dvc.lock, put it together stage by stage.

    python src/merge_lock.py                         # both branches' records; an error where they disagree
    python src/merge_lock.py --theirs sweep          # ... take this stage from the branch being merged
    python src/merge_lock.py --ours train@plain-20-signs32 evaluate@plain-20-signs32

For people; not a stage. Needs no data and takes seconds. Git would merge dvc.lock line by line, and mix stages: "keep
both sides" gives valid YAML with wrong hashes. So .gitattributes makes it a conflict wherever both branches have
changed the file, and here each stage is taken as a whole from the branch that has changed it since they parted.
`recipes` and `compare` run again within seconds: ours is taken.

Then resolve the other files in the same way: of a stage that both have changed, tables, metrics and history of the same
branch as here; of what is generated (docs/results.md, docs/experiments.md, metrics/summary.json, plots/figures/,
plots/degradation.csv, plots/error-by-depth.csv, recipes/) those of either. `git add` them, write the report of both
with `dvc repro recipes && dvc repro -s compare`, and commit.

Exit code 2: there is no conflict in dvc.lock, both branches have changed a stage, or a name is unknown or given twice.
"""

from lineage.errors import Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
from pathlib import Path

from dvc.utils.serialize import dumps_yaml

from lineage.files import read_lock, write_text
from lineage.lock import SECONDS, git

LOCK = Path("dvc.lock")
Stages = dict[str, dict]


def versions() -> tuple[Stages, Stages, Stages]:
    """The stages of dvc.lock where the branches parted, in ours and in theirs, as Git's index keeps them during a
    conflict. Raises `Mistake` where there is none, or where one of them was committed with a conflict in it.
    """
    listed = git("ls-files", "-u", "--", "dvc.lock").decode().splitlines()
    blobs = {int(line.split()[2]): line.split()[1] for line in listed}
    if not {2, 3} <= blobs.keys():
        raise Mistake("Git has no conflict in dvc.lock: run this after a `git merge` that left one")
    read = {number: read_lock(git("cat-file", "blob", blob), LOCK)["stages"] for number, blob in blobs.items()}
    return read.get(1, {}), read[2], read[3]


def merged(base: Stages, ours: Stages, theirs: Stages, chosen: dict[str, Stages]) -> Stages:
    """Each stage from the branch that has changed it; from the one in `chosen` where both have. Raises `Mistake` for
    stages that both have changed and nobody has chosen.
    """
    found, open_ = {}, []
    for name in ours | theirs:
        first, mine, other = (stages.get(name) for stages in (base, ours, theirs))
        if name in chosen:
            one = chosen[name].get(name)
        elif other in (mine, first) or name in SECONDS:
            one = mine
        elif mine == first:
            one = other
        else:
            open_.append(name)
            continue
        if one:
            found[name] = one
    if open_:
        raise Mistake(
            f"both branches have changed {', '.join(open_)}: choose with `--ours` or `--theirs` and the names; "
            "tables and metrics are to come from the same branch"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for side in ("--ours", "--theirs"):
        parser.add_argument(side, nargs="+", default=[], metavar="stage", help="take these stages from that branch")
    args = parser.parse_args()
    base, ours, theirs = versions()
    for name in (*args.ours, *args.theirs):
        if name not in ours | theirs:
            raise Mistake(f"{name} is not a stage in dvc.lock, such as train@plain-20-signs32 or sweep")
    if both := sorted({*args.ours} & {*args.theirs}):
        raise Mistake(f"{', '.join(both)}: choose one side, `--ours` or `--theirs`")
    chosen = dict.fromkeys(args.ours, ours) | dict.fromkeys(args.theirs, theirs)
    stages = merged(base, ours, theirs, chosen)
    write_text(LOCK, dumps_yaml({"schema": "2.0", "stages": stages}))
    changed = sum(stages.get(name) != ours.get(name) for name in stages | ours)
    print(
        f"dvc.lock: {len(stages)} stages; {changed} changes come from the branch that is merged. Now: git add dvc.lock"
    )


if __name__ == "__main__":
    run(main)
