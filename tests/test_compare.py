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


def measured(name, errors=(0.1, 0.12), scale="full", ran=True, falls=True):
    """An experiment's recipe and, if it ran, what the other stages would have measured: its errors, seed by seed."""
    recipe = {"epochs": 3, "iterations": None, "seeds": len(errors), "input_size": 32}
    experiment = {"experiment": name, "scale": scale, "dataset": "hands", "recipe": recipe, "network": {}}
    labels = {"classes": ["zero", "one"], "superclasses": [], "pictures": True}
    for path, content in ((f"experiments/{name}", experiment), ("labels/hands", labels)):
        path = Path("recipes", f"{path}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    if not ran:
        return
    folder, parts = f"tables/{name}", [("train", 0.5), ("val", 1), ("test", 1)]
    scores = [{"seed": s, "part": p, "top1": 1 - e * f} for s, e in enumerate(errors) for p, f in parts]
    write_table(f"{folder}/scores", [row | {"flip_top1": row["top1"]} for row in scores])
    epochs = [(s, e / (n if falls else 1), n) for s, e in enumerate(errors) for n in (1, 2, 3)]
    history = [
        {"seed": s, "epoch": n, "train_error": e, "val_error": e, "train_loss": e, "val_loss": e} for s, e, n in epochs
    ]
    write_table(f"history/{name}", [{"series": name} | row | {"scale": scale} for row in history])
    answers = [(0, 0)] * 9 + [(1, 0)] * 3
    write_table(
        f"{folder}/predictions", [{"image": i, "actual": a, "predicted": p} for i, (a, p) in enumerate(answers)]
    )
    layers = [{"layer": f"stages.{i}", "gradient": 10.0**-i, "weight": 1, "response": 0.5} for i in range(4)]
    write_table(f"{folder}/layers", layers)
    if name.startswith("resnet"):
        write_table(f"{folder}/blocks", [{"block": f"stages.{i}", "addition": 0.5 + i} for i in range(3)])
    provenance = {
        "scale": scale,
        "device": "cpu",
        "torch": "2",
        "recipe": fingerprint(experiment),
        "seeds": len(errors),
    }
    provenance |= {"epochs": 3, "iterations": "", "input_size": 32, "parameters": 1234567, "multiply_adds": 8e6}
    write_table(f"{folder}/provenance", [{"key": key, "value": value} for key, value in provenance.items()])
    mean = sum(errors) / len(errors)
    path = Path("metrics/experiments", f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"test_top1": 1 - mean, "train_top1": 1 - mean / 2, "diverged": max(errors) > 0.5}))


def produced():
    folders = ("docs", "plots/figures")
    paths = [p for folder in folders for p in Path(folder).iterdir()]
    tables = [Path("metrics/summary.json"), Path("plots/degradation.csv"), Path("plots/error-by-depth.csv")]
    return {p.as_posix(): sha256(p) for p in [*paths, *tables]}


def compared(run_script):
    """The report after a run of `compare`."""
    result = run_script("compare")
    assert result.returncode == 0, result.stderr
    return Path("docs/results.md").read_text()


def claim(text, larger, smaller):
    """The difference and the verdict that the report has for a claim."""
    (line,) = [line for line in text.splitlines() if f"| {larger} – {smaller} |" in line]
    cells = [cell.strip() for cell in line.split("|")]
    return cells[4], cells[7].strip("*")


SIGNS = [f"{family}-{depth}-signs32" for family in ("plain", "resnet") for depth in (20, 56, 110)]


def test_a_clear_degradation(workspace, run_script):
    errors = [
        (0.02, 0.03, 0.02),
        (0.30, 0.34, 0.36),
        (0.80, 0.82, 0.81),
        (0.02, 0.02, 0.02),
        (0.02, 0.02, 0.02),
        (0.01, 0.02, 0.03),
    ]
    for name, values in zip(SIGNS, errors, strict=True):
        measured(name, values)
    measured("resnet34-signs", (0.01, 0.03))
    text = compared(run_script)
    assert "| plain-56 | 16.67 ± 1.53 | 33.33 ± 3.06 | 3 | 3 epochs |" in text
    assert "plain 20 layers 1.2%, 56 layers 16.7%, 110 layers 40.5%; resnet 20 layers 1.0%" in text
    assert claim(text, "plain-56-signs32", "plain-20-signs32")[1] == "holds"
    difference, said = claim(text, "plain-56-signs32", "resnet-56-signs32")
    assert difference.startswith("+31.33 (+") and said == "holds"
    assert claim(text, "resnet-56-signs32", "resnet-20-signs32") == ("+0.00 (+0.00 … +0.00) pp", "does not hold")
    assert claim(text, "plain-56-cifar10", "plain-20-cifar10") == ("–", "not decided")
    assert (
        "| resnet34-signs | 98.00 ± 1.41 | 98.00 ± 1.41 | 99.00 ± 0.71 | 98.00 ± 1.41 | 2 | 3 epochs | 32 px |" in text
    )
    assert "not results" not in text
    for name in ("degradation-signs32", "depth-signs32", "gradients-trained", "responses", "additions"):
        assert f"(../plots/figures/{name}.svg)" in text
        assert Path(f"plots/figures/{name}.svg").is_file()
    cards = Path("docs/experiments.md").read_text()
    assert "test top-1 98.00% (n = 2)" in cards
    for name in ("curves-resnet34-signs.svg", "confusion-resnet34-signs.png"):
        assert f"(../plots/figures/{name})" in cards
        assert Path("plots/figures", name).is_file()
    summary = json.loads(Path("metrics/summary.json").read_text())
    expected = {"resnet34-signs": 0.98, "plain-signs32": pytest.approx(0.405 - 0.035 / 3, abs=1e-5)}
    assert summary == expected | {"resnet-signs32": pytest.approx(0, abs=1e-5), "scale": "full"}
    assert set(pd.read_csv("plots/degradation.csv").series) == set(SIGNS)
    depth = pd.read_csv("plots/error-by-depth.csv")
    assert len(depth) == 12 and set(depth.series) == {"plain-signs32", "resnet-signs32"}


def test_a_longer_training_stands_beside_the_standard_one(workspace, run_script):
    measured("plain-20-signs32")
    measured("plain-56-signs32", (0.3, 0.3))
    measured("plain-56-signs32-long", (0.1, 0.1))
    text = compared(run_script)
    assert "(3 epochs → 3 epochs): plain-56 15.00 ± 0.00 → 5.00 ± 0.00." in text


def test_float32_stands_beside_bfloat16(workspace, run_script):
    measured("plain-56-signs32", (0.1, 0.2))
    measured("fp32-plain-56-signs32", (0.3,))
    text = compared(run_script)
    assert "| plain-56-signs32 | test | 2 | 10.00 … 20.00 | 30.00 | no |" in text
    measured("fp32-plain-56-signs32", (0.15,))
    assert "| plain-56-signs32 | train | 2 | 5.00 … 10.00 | 7.50 | yes |" in compared(run_script)


def test_no_degradation(workspace, run_script):
    for name in SIGNS:
        measured(name, (0.02, 0.02, 0.021))
    text = compared(run_script)
    assert claim(text, "plain-56-signs32", "plain-20-signs32")[1] == "does not hold"
    assert claim(text, "plain-56-signs32", "resnet-56-signs32")[1] == "does not hold"


def test_a_single_seed_decides_nothing(workspace, run_script):
    for name in SIGNS:
        measured(name, (0.6,) if "plain-56" in name else (0.1,))
    text = compared(run_script)
    assert claim(text, "plain-56-signs32", "plain-20-signs32") == ("+25.00 pp", "not decided")
    assert "| resnet-56 | 5.00 | 10.00 | 1 |" in text


def test_gradients_are_judged(workspace, run_script):
    measured("plain-20-signs32")
    about = [
        (f, d, b, i)
        for f in ("plain", "resnet")
        for d in (56, 110)
        for b in ("yes", "no")
        for i in ("he", "framework", "normal-0.01")
    ]
    explodes = {"plain": [1e6, 1e3, 1.0, 1.0], "resnet": [1.0, 1.0, 1.0, 1.0]}
    columns = ["family", "depth", "batch_norm", "initialisation"]
    rows = [
        dict(zip(columns, key, strict=True)) | {"seed": s, "layer": n, "gradient": 0 if key[2] == "no" else value}
        for key in about
        for s in range(2)
        for n, value in enumerate(explodes[key[0]], 1)
    ]
    write_table("gradients", rows)
    text = compared(run_script)
    assert "| plain-56 | yes | 1 → 1e+06, *explodes* |" in text
    assert "| resnet-110 | yes | 1 → 1, neither |" in text
    assert "| plain-110 | no | 0 → 0, there is none |" in text
    assert "| plain-20 | 0.01 → 1, *explodes* |" in text  # the trained one, by its table
    assert Path("plots/figures/gradients.svg").is_file()


def test_the_published_figures_stand_beside_ours(workspace, run_script):
    measured("resnet-20-cifar10")
    measured("plain-20-cifar10")
    text = compared(run_script)
    assert "91.25 (He et al. 2015, Table 6; one run)" in text
    figure = Path("plots/figures/depth-cifar10.svg")
    assert not figure.exists()  # one depth is no comparison
    measured("resnet-110-cifar10")
    compared(run_script)
    assert figure.is_file()


def test_activations(workspace, run_script):
    for name, errors in (("relu", (0.3, 0.3)), ("tanh", (0.6, 0.6)), ("sigmoid", (0.9, 0.9))):
        measured(f"alexnet4-{name}-cifar10", errors)
    text = compared(run_script)
    # 0.3, 0.15 … against 0.6, 0.3, 0.2 …; the sigmoid does not get there within the three epochs
    assert claim(text, "alexnet4-tanh-cifar10", "alexnet4-relu-cifar10") == ("+1.00 (+1.00 … +1.00) epochs", "holds")
    assert claim(text, "alexnet4-sigmoid-cifar10", "alexnet4-relu-cifar10")[0].startswith("+2.00")
    assert "activations.svg" in text
    assert "multiples of ReLU's: tanh 1.5, sigmoid 2.0." in text


def test_a_number_of_an_article_is_judged(workspace, run_script):
    measured("vgg16-cifar100-32px", (0.24, 0.25, 0.24))
    text = compared(run_script)
    assert claim(text, "vgg16-cifar100-32px", "75.0")[1] == "not decided"
    measured("vgg16-cifar100-32px", (0.24, 0.241, 0.239))
    assert claim(compared(run_script), "vgg16-cifar100-32px", "75.0")[1] == "holds"


def test_a_run_that_diverged_is_marked(workspace, run_script):
    measured("vgg16-hands", (0.6, 0.1))
    measured("vgg19-hands")
    text = compared(run_script)
    assert "| vgg16-hands (diverged) |" in text
    assert "| vgg19-hands |" in text
    assert "**Diverged.** test top-1 65.00%" in Path("docs/experiments.md").read_text()


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
    assert "At scale full with the present recipe: plain-20-hands." in Path("docs/results.md").read_text()
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
    names = {path.name for path in Path("plots/figures").iterdir()}
    assert names == {"confusion-vgg16-hands.png", "curves-vgg16-hands.svg"}


def test_before_the_recipes(workspace, run_script):
    assert "run `dvc repro recipes` first" in one_line(run_script("compare"), 2)
