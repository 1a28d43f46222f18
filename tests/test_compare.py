import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import one_line, sha256

from lineage.engine.recipe import fingerprint


def write_table(place, rows):
    path = Path("plots", f"{place}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False)


def measured(name, errors=(0.1, 0.12), scale="full", ran=True):
    """An experiment's recipe and, if it ran, what the other stages would have measured: its errors, seed by seed."""
    recipe = {"epochs": 3, "iterations": None, "seeds": len(errors), "input_size": 32}
    experiment = {"experiment": name, "scale": scale, "dataset": "hands", "recipe": recipe}
    for path, content in (
        (f"experiments/{name}", experiment),
        ("datasets/hands", {"classes": ["zero", "one"]}),
    ):
        path = Path("recipes", f"{path}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    if not ran:
        return
    parts = [("train", 0.5), ("val", 1), ("test", 1)]
    scores = [{"seed": s, "part": p, "top1": 1 - e * f} for s, e in enumerate(errors) for p, f in parts]
    write_table(f"tables/{name}/scores", scores)
    epochs = [(s, e, epoch) for s, e in enumerate(errors) for epoch in (1, 2, 3)]
    history = [{"series": name, "seed": s, "epoch": n, "train_error": e / n, "val_error": e / n} for s, e, n in epochs]
    write_table(f"history/{name}", [row | {"scale": scale} for row in history])
    write_table(
        f"confusion/{name}", [{"actual": 0, "predicted": 0, "count": 9}, {"actual": 1, "predicted": 0, "count": 3}]
    )
    provenance = {"scale": scale, "device": "cpu", "recipe": fingerprint(experiment), "seeds": len(errors)}
    provenance |= {"epochs": 3, "iterations": "", "input_size": 32, "parameters": 1234567, "multiply_adds": 8e6}
    write_table(f"tables/{name}/provenance", [{"key": key, "value": value} for key, value in provenance.items()])
    mean = sum(errors) / len(errors)
    path = Path("metrics/experiments", f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"test_top1": 1 - mean, "train_top1": 1 - mean / 2, "diverged": max(errors) > 0.5}))


def produced():
    folders = ("docs", "plots/figures")
    paths = [p for folder in folders for p in Path(folder).iterdir()]
    return {p.as_posix(): sha256(p) for p in [*paths, Path("metrics/summary.json"), Path("plots/degradation.csv")]}


def test_tables_figures_and_summary(workspace, run_script):
    measured("plain-20-hands")
    measured("plain-56-hands", (0.3, 0.34))
    measured("resnet-56-hands", (0.08,))
    measured("vgg16-hands")
    result = run_script("compare")
    assert result.returncode == 0, result.stderr
    text = Path("docs/results.md").read_text()
    assert (
        "| vgg16-hands | 89.00 ± 1.41 | 89.00 ± 1.41 | 94.50 ± 0.71 | 2 | 3 epochs | 32 px | 1.23 M | 8 M | cpu |"
        in text
    )
    assert "| plain-56 | 16.00 ± 1.41 | 32.00 ± 2.83 | 2 |" in text
    assert "| resnet-56 | 4.00 | 8.00 | 1 |" in text
    assert "not results" not in text
    for link in ("degradation-hands.svg", "confusion-vgg16-hands.png"):
        assert f"(../plots/figures/{link})" in text
        assert Path("plots/figures", link).is_file()
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert summary == {"vgg16-hands": 0.89, "plain-hands": pytest.approx(0.16 - 0.055), "scale": "full"}
    history = pd.read_csv("plots/degradation.csv")
    assert set(history.series) == {"plain-20-hands", "plain-56-hands", "resnet-56-hands"}


def test_a_run_that_diverged_is_marked(workspace, run_script):
    measured("vgg16-hands", (0.6, 0.1))
    measured("vgg19-hands")
    run_script("compare")
    text = Path("docs/results.md").read_text()
    assert "| vgg16-hands (diverged) |" in text
    assert "| vgg19-hands |" in text


def test_the_same_tables_give_the_same_bytes(workspace, run_script):
    measured("plain-20-hands")
    measured("resnet-20-hands")
    run_script("compare")
    first = produced()
    run_script("compare")
    assert produced() == first


def test_what_has_not_run_is_named_and_stops_nothing(workspace, run_script):
    measured("plain-20-hands", ran=False)
    assert run_script("compare").returncode == 0
    assert "Not run yet at scale full with the present recipe: plain-20-hands." in Path("docs/results.md").read_text()
    measured("vgg16-hands")
    run_script("compare")
    text = Path("docs/results.md").read_text()
    assert "recipe: plain-20-hands." in text
    assert "| vgg16-hands |" in text


def test_results_of_another_recipe_are_not_passed_off(workspace, run_script):
    measured("vgg16-hands")
    path = Path("recipes/experiments/vgg16-hands.json")
    experiment = json.loads(path.read_text())
    experiment["recipe"]["epochs"] = 90
    path.write_text(json.dumps(experiment))
    run_script("compare")
    text = Path("docs/results.md").read_text()
    assert "| vgg16-hands |" not in text
    assert "recipe: vgg16-hands." in text


def test_a_sample_carries_its_banner(workspace, run_script):
    measured("plain-20-hands", scale="sample")
    run_script("compare")
    assert "these are not results" in Path("docs/results.md").read_text()
    assert "scale: sample" in Path("plots/figures/degradation-hands.svg").read_text()
    assert b"scale: sample" in Path("plots/figures/confusion-plain-20-hands.png").read_bytes()
    assert json.loads(Path("metrics/summary.json").read_text())["scale"] == "sample"


def test_figures_of_experiments_that_are_gone_go_too(workspace, run_script):
    measured("plain-20-hands")
    run_script("compare")
    Path("recipes/experiments/plain-20-hands.json").unlink()
    measured("vgg16-hands")
    run_script("compare")
    assert [p.name for p in Path("plots/figures").iterdir()] == ["confusion-vgg16-hands.png"]


def test_before_the_recipes(workspace, run_script):
    assert "run `dvc repro recipes` first" in one_line(run_script("compare"), 2)
