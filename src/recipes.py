"""recipes: check the parameter files and resolve them into one effective recipe per experiment and one per data set.

    python src/recipes.py

Writes recipes/experiments/<experiment>.json, recipes/datasets/<data set>.json (what is fetched), recipes/splits/<data
set>.json (how it is split), recipes/labels/<data set>.json (what is shown), recipes/sweep.json, initialisations.json,
equalised.json, crossed.json, float64.json, deepened.json and defects.json (what those stages train) and
recipes/addresses.json. The other stages depend on these files instead of on parameters, so that a change re-runs only
what it changes, and a wrong key ends the run before any work starts. Expect half a second.
"""

from lineage.errors import run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
from pathlib import Path

from lineage import params, stage_experiments
from lineage.experiments import resolve
from lineage.files import write_json


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    everything = params.read()
    texts = {f"experiments/{name}.json": resolve(everything, name).changes() for name in everything.experiments}
    addresses = {}
    for name, dataset in everything.datasets.items():
        whole = everything.scale == "full" and dataset.archives
        archives = dataset.archives if whole else (dataset.sample.archive(),)
        texts[f"datasets/{name}.json"] = dataset.model_dump(include={"classes", "image_size", "unreadable"}) | {
            "archives": [archive.model_dump(exclude={"files": {"__all__": {"urls"}}}) for archive in archives]
        }
        if dataset.subset:
            texts[f"datasets/{name}.json"]["subset"] = True
        texts[f"splits/{name}.json"] = {"validation": dataset.validation}
        texts[f"labels/{name}.json"] = dataset.labels()
        addresses |= {file.sha256: file.urls for archive in archives for file in archive.files if file.urls}
    texts["addresses.json"] = addresses
    sweep, deepened = stage_experiments.sweep(everything), stage_experiments.deepened(everything)
    texts["sweep.json"] = {start: [one.changes() for one in experiments] for start, experiments in sweep.items()}
    several = stage_experiments.initialisations(everything)
    texts["initialisations.json"] = {name: experiment.changes() for name, experiment in several.items()}
    texts["equalised.json"] = stage_experiments.equalised(everything)
    texts["crossed.json"] = stage_experiments.crossed(everything)
    texts["float64.json"] = stage_experiments.float64(everything)
    texts["deepened.json"] = {which: experiment.changes() for which, experiment in deepened.items()}
    texts["defects.json"] = {which: one.changes() for which, one in stage_experiments.defects(everything).items()}
    # Only now, with everything known to be right, the old recipes change.
    folder = Path("recipes")
    for name, content in texts.items():
        write_json(folder / name, content)
    for path in set(folder.rglob("*.json")) - {folder / name for name in texts}:
        path.unlink()
    print(
        f"{len(everything.experiments)} experiments, {len(everything.datasets)} data sets at scale {everything.scale}"
    )


if __name__ == "__main__":
    run(main)
