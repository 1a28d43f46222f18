import errno
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY, one_line, sha256
from matplotlib import pyplot as plt

import compare
from lineage import pictures
from lineage.engine.experiment import Experiment
from lineage.errors import Mistake
from lineage.report import comparisons, results, study, style
from lineage.report.entries import Claim

TWO_CLASSES = {"classes": ["zero", "one"], "superclasses": [], "pictures": True}
SIGNS = [f"{family}-{depth}-signs32" for family in ("plain", "resnet") for depth in (20, 56, 110)]


def write_table(place, rows):
    path = Path("plots", f"{place}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False)


def measured(
    name,
    errors=(0.1, 0.12),
    scale="full",
    ran=True,
    diverged=False,
    epochs=3,
    labels=TWO_CLASSES,
    network=(),
    recipe=(),
):
    """An experiment's recipe and, if it ran, what the other stages would have measured: its errors, seed by seed.
    One that diverged did so with its first seed in the second epoch.
    """
    plain = {"epochs": epochs, "seeds": len(errors), "input_size": 32, "batch_size": 4, "lr": 1, "schedule": "steps"}
    recipe = plain | dict(recipe)
    about = {"name": name, "scale": scale, "dataset": "hands", "classes": 2, "recipe": recipe, "model": "resnet"}
    experiment = Experiment(**about, network={"depth": 20, "shortcut": "none"} | dict(network)).changes()
    for path, content in ((f"experiments/{name}", experiment), ("labels/hands", labels)):
        path = Path("recipes", f"{path}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    if not ran:
        return
    folder, parts = f"tables/{name}", [("train", 0.5), ("val", 0.8), ("test", 1)]
    scores = [{"seed": s, "part": p, "top1": 1 - e * f} for s, e in enumerate(errors) for p, f in parts]
    losses = [0.001 + error for error in errors]
    more = [
        {"loss": losses[row["seed"]] * (1 if row["part"] == "train" else 3), "flip_top1": 0.1 + 0.9 * row["top1"]}
        for row in scores
    ]
    write_table(f"{folder}/scores", [row | other for row, other in zip(scores, more, strict=True)])
    history = [
        {"seed": s, "epoch": n, "train_error": e / n, "val_error": 0.01 + e / n / 2, "train_loss": e, "val_loss": e}
        for s, e in enumerate(errors)
        for n in range(1, 3 if diverged and s == 0 else epochs + 1)
    ]
    if diverged:
        history[1]["train_loss"] = float("nan")
    write_table(f"history/{name}", [{"series": name} | row | {"scale": scale} for row in history])
    answers = enumerate([(0, 0)] * 9 + [(1, 0)] * 3)
    write_table(
        f"{folder}/predictions", [{"image": i, "actual": a, "predicted": p, "confidence": 0.9} for i, (a, p) in answers]
    )
    layers = [{"layer": f"stages.{i}", "gradient": 10.0**-i, "weight": 1, "response": 0.2 + i} for i in range(4)]
    write_table(f"{folder}/layers", layers)
    if name.startswith("resnet"):
        write_table(f"{folder}/blocks", [{"block": f"stages.{i}", "addition": 0.5 + i} for i in range(3)])
    provenance = {"scale": scale, "device": "cpu", "instructions": "AVX2", "torch": "2", "epochs": epochs}
    provenance |= {"iterations": "", "input_size": 32, "parameters": 1234567, "multiply_adds": 8e6}
    provenance |= {"precision": recipe.get("precision", "bf16")}
    write_table(f"{folder}/provenance", [{"key": key, "value": value} for key, value in provenance.items()])
    Path("plots", folder, "experiment.json").write_text(json.dumps(experiment))
    mean = sum(errors) / len(errors)
    path = Path("metrics/experiments", f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"test_top1": 1 - mean, "train_top1": 1 - mean / 2, "diverged": diverged}))


def produced():
    paths = [path for folder in ("docs", "plots/figures") for path in Path(folder).iterdir()]
    tables = [Path("metrics/summary.json"), Path("plots/degradation.csv"), Path("plots/error-by-depth.csv")]
    return {path.as_posix(): sha256(path) for path in [*paths, *tables]}


def clear():
    """Remove what `produced` finds."""
    for path in produced():
        Path(path).unlink()


def compared(drawn=False):
    """The report after a run of `compare`, in this process: to start another takes longer than most reports. Figures
    are drawn, but unless a test looks at them they are not laid out and written, which takes most of the time.
    """
    with patch("lineage.report.style.save", style.save if drawn else empty), patch("sys.argv", ["compare.py"]):
        compare.main()
    return Path("docs/results.md").read_text()


def empty(figure, path, scale):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    plt.close(figure)


def card(name):
    return f"[{name}](experiments.md#{name})"


def claim(text, about, larger, smaller):
    """The difference and the verdict that the report has for a claim about two experiments."""
    second = card(smaller) if isinstance(smaller, str) else f"{smaller:g}"
    start = f"| {about} | {card(larger)} – {second} | "
    (row,) = [line for line in text.splitlines() if line.startswith(start)]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    return cells[2], cells[8].replace("*", "")


def test_a_clear_degradation(workspace):
    """Errors of training images are told from those of test images."""
    plain = [(0.02, 0.03, 0.02, 0.03), (0.30, 0.34, 0.36, 0.32), (0.98, 0.96, 0.97, 0.98)]
    for name, values in zip(SIGNS, [*plain, *[(0.02, 0.03, 0.02, 0.03)] * 3], strict=True):
        measured(name, values)
    measured("resnet34-signs", (0.01, 0.03))
    text = compared()
    assert f"| {card('plain-56-signs32')} | 16.50 ± 1.29 | 0.33 | 33.00 ± 2.58 | 4 of 4 | 3 epochs |" in text
    difference, said = claim(text, "plain-train", "plain-56-signs32", "plain-20-signs32")
    assert difference.startswith("+15.25 pp (+") and said == "holds, +15.25 pp"
    assert claim(text, "plain-test", "plain-56-signs32", "plain-20-signs32")[1] == "holds, +30.50 pp"
    assert claim(text, "shortcut-test", "plain-56-signs32", "resnet-56-signs32")[1] == "holds, +30.50 pp"
    assert claim(text, "residual-train", "resnet-56-signs32", "resnet-20-signs32")[0].startswith("+0.00 pp (-")
    # with 48.6 % of errors among two classes, a network has not started: no percentage points, but seeds
    for about, larger, smaller in (
        ("plain-train", "plain-110-signs32", "plain-20-signs32"),
        ("plain-test", "plain-110-signs32", "plain-20-signs32"),
        ("shortcut-test", "plain-110-signs32", "resnet-110-signs32"),
    ):
        assert claim(text, about, larger, smaller) == (
            "",
            "not compared, did not start to train: 4 of 4 against 0 of 4 seeds",
        )
    started = claim(text, "plain-start", "plain-110-signs32", "plain-20-signs32")
    assert started == ("", "holds, failed to start: 4 of 4 against 0 of 4 seeds, p = 0.029")
    # each claim is a row, each training group a column
    (row,) = [line for line in text.splitlines() if line.startswith('| <a id="claim-plain-train">')]
    assert "| S0 | 56 layers: **holds**, +15.25 pp<br>110 layers: not compared, did not start" in row
    assert (
        "1. **Plain networks of 56 layers train worse than shallow ones (SIGNS, 30 epochs).**" in text
        and "*[holds](#claim-plain-train)*" in text
    )
    assert "not results" not in text and f"{card('plain-56-cifar10')} | " not in text
    for name in ("degradation", "depth", "gradients-trained", "responses", "additions"):
        assert f"(../plots/figures/{name}-signs32.svg)" in text
        assert Path(f"plots/figures/{name}-signs32.svg").is_file()
    assert "[confusion-resnet34-signs](../plots/figures/confusion-resnet34-signs.png)" in text
    cards = Path("docs/experiments.md").read_text()
    assert "Test accuracy 98.00 ± 1.41 % (n = 2)" in cards
    assert "**started to train: 0 of 4 seeds**" in cards
    for name in ("curves-resnet34-signs.svg", "confusion-resnet34-signs.png"):
        assert f"(../plots/figures/{name})" in cards
        assert Path("plots/figures", name).is_file()
    summary = json.loads(Path("metrics/summary.json").read_text())
    # the deepest plain network that started is the one of 56 layers
    assert summary.pop("train_error_increase/plain-signs32-20-to-56") == pytest.approx(0.1525, abs=1e-5)
    assert summary.pop("train_error_increase/resnet-signs32-20-to-110") == pytest.approx(0, abs=1e-5)
    assert summary == {"test_top1/resnet34-signs": 0.98, "scale": "full"}
    curves = pd.read_csv("plots/degradation.csv")
    assert set(curves.series) == set(SIGNS) and set(curves.group) == {"signs32"}
    first = curves[(curves.series == "plain-20-signs32") & (curves.epoch == 1)].iloc[0]
    ends = (first.train_error_min, first.train_error_mean, first.train_error_max)
    assert ends == pytest.approx((2, 2.5, 3), abs=1e-4)
    assert first.val_error == pytest.approx(2.25, abs=1e-4)
    depth = pd.read_csv("plots/error-by-depth.csv")
    assert len(depth) == 12 and set(depth.series) == {"plain-signs32", "resnet-signs32"}
    assert depth[depth.started == 0].series.tolist() == ["plain-signs32"] * 2


def test_a_network_of_which_one_seed_failed_has_no_part_in_the_summary(workspace):
    for name, errors in zip(SIGNS, ((0.02, 0.04), (0.3, 0.34), (0.3, 0.98)), strict=False):
        measured(name, errors)
    numbers = compare.summary({name: results.read(name) for name in SIGNS[:3]})
    assert numbers == {"train_error_increase/plain-signs32-20-to-56": pytest.approx(0.145)}


def test_no_degradation(workspace):
    for name in SIGNS:
        measured(name, (0.02, 0.02, 0.021, 0.02))
    text = compared()
    for about in ("plain-train", "plain-test"):
        assert claim(text, about, "plain-56-signs32", "plain-20-signs32")[1] == "does not hold, +0.00 pp"
    assert claim(text, "shortcut-test", "plain-56-signs32", "resnet-56-signs32")[1] == "does not hold, +0.00 pp"
    assert claim(text, "residual-train", "resnet-56-signs32", "resnet-20-signs32")[1] == "holds, +0.00 pp"
    assert (
        "layers probably do not train worse than shallow ones by 0.5 pp or more" in text
        and "did not start to train:" not in text
    )


def test_at_the_floor_of_the_error_the_loss_is_judged(workspace):
    """No training error: that says nothing of the loss, and is no interval from 0 to 0."""
    for depth, losses in ((20, (1e-4, 2e-4, 1e-4)), (56, (2e-3, 3e-3, 4e-3))):
        measured(f"plain-{depth}-signs32-long", (0.0, 0.0, 0.0), recipe={"warm_up": 0.25})
        path = Path(f"plots/tables/plain-{depth}-signs32-long/scores.csv")
        scores = pd.read_csv(path)
        scores.assign(loss=[losses[seed] for seed in scores.seed]).to_csv(path, index=False)
    measured("plain-56-signs32", (0.2, 0.3, 0.25))  # with fewer epochs
    text = compared()
    pair = "plain-56-signs32-long", "plain-20-signs32-long"
    assert claim(text, "plain-train", *pair) == ("", "at the floor, training loss × 22.9, leans")
    difference, said = claim(text, "plain-train, training loss", *pair)
    assert difference.startswith("× 22.9 (") and said == "leans, × 22.9, too few seeds for more"
    assert "more steps and a gentler beginning cannot be told apart" in text


def test_float32_beside_bfloat16_gives_no_verdict_with_one_seed(workspace):
    in_float32 = {"precision": "fp32"}
    measured("plain-56-signs32", (0.1, 0.11, 0.12))
    measured("fp32-plain-56-signs32", (0.2,), recipe=in_float32)
    row = f"| {card('plain-56-signs32')} | test | 11.00 ± 1.00 | 10.00 … 12.00 | "
    text = compared()
    assert f"{row}20.00 | 3 / 1 | no verdict: one seed |" in text
    measured("fp32-plain-56-signs32", (0.2, 0.21, 0.22), recipe=in_float32)
    assert f"{row}21.00 ± 1.00 | 3 / 3 | +10.00 pp (+7.73 … +12.27) |" in compared()
    path = Path("plots/tables/plain-56-signs32/provenance.csv")  # by the same recipe on hardware without bfloat16
    path.write_text(path.read_text().replace("precision,bf16", "precision,fp32"))
    assert "error in bfloat16" not in compared()


def test_a_single_seed_decides_nothing(workspace):
    for name in SIGNS:
        measured(name, (0.6,) if "plain-56" in name else (0.1,))
    text = compared()
    said = claim(text, "plain-train", "plain-56-signs32", "plain-20-signs32")
    assert said == ("+25.00 pp", "not decided, +25.00 pp, a single seed")
    assert "| 10.00 | 1 of 1 | 3 epochs |" in text


def test_gradients_are_judged(workspace):
    measured("plain-20-signs32")
    profiles = {"plain": [1e6, 1e2, *[1.0] * 27], "resnet": [1.0] * 29}
    rows = [
        {"family": family, "depth": depth, "batch_norm": batch_norm, "initialisation": initialisation}
        | {"seed": seed, "layer": layer, "gradient": 0.0 if batch_norm == "no" else value * (1 + 0.02 * seed / layer)}
        for family, profile in profiles.items()
        for depth in (56, 110)
        for batch_norm in ("yes", "no")
        for initialisation in ("he", "framework", "normal-0.01")
        for seed in range(3)
        for layer, value in enumerate(profile, 1)
    ]
    write_table("gradients", rows)
    path = Path("plots/tables/plain-20-signs32/layers.csv")
    layers = pd.read_csv(path).assign(gradient=[1e-9, 10, 100, 1], weight=[1000, 10, 1, 1])
    layers.to_csv(path, index=False)
    text = compared()
    assert "| plain-56 | yes | 1 → 1e+06, *explodes* (largest in layer 1) |" in text
    assert "| plain-110 | no | 0 in every layer: too small for float32 |" in text
    # S0's and S1's claim, and the paper's
    for about in ("early-vanish", "healthy-norms"):
        (row,) = [line for line in text.splitlines() if line.startswith(f'| <a id="claim-{about}">')]
        assert "plain-110, untrained, with batch norm: **reversed**, × 1,020,000, first layer over last" in row, row
    (row,) = [line for line in text.splitlines() if line.startswith("| early-vanish | plain-110, untrained, with")]
    assert "| 3 | Student |" in row  # all draws of He's initialisation alone
    assert "they do not vanish" in text and "1.00 … 1.00 in the second" in text
    assert "| resnet-56 | He | 1.0" in text
    # the trained one: a step turns the weights by the quotient of gradient and weights, not by the product
    assert "| 1e+02 → 1e-09, *vanishes* (largest in layer 3) | 1 → 1e+03 | 1e+02 → 1e-12, *vanishes*" in text
    assert "(largest in layer 3), *frozen* |" in text
    assert Path("plots/figures/gradients.svg").is_file()


def test_the_published_figures_stand_beside_ours(workspace):
    measured("resnet-56-cifar10-he2015")
    measured("plain-20-cifar10-he2015")
    text = compared()
    assert "| 93.03 (He et al. 2015, Table 6; chosen: not said) |" in text
    figure = Path("plots/figures/depth-cifar10-he2015.svg")
    assert figure.is_file()
    Path("plots/tables/plain-20-cifar10-he2015/scores.csv").unlink()
    compared()
    assert not figure.exists()  # one depth is no comparison


def test_activations(workspace):
    names = [f"alexnet4-{name}-cifar10" for name in ("relu", "tanh", "sigmoid")]
    relu, tanh, sigmoid = names
    for name, errors in zip(names, ((0.3, 0.31, 0.2, 0.3), (0.6, 0.7, 0.6, 0.6), [0.9] * 4), strict=True):
        measured(name, errors)
    text = compared()
    # 0.3, 0.15 … against 0.6, 0.3, 0.2 …: 0.83 epochs against 2; the sigmoid does not get there within the three
    assert claim(text, "relu-tanh", tanh, relu)[1] == "holds, +1.35 epochs"
    assert claim(text, "six-times", tanh, relu)[1].startswith("does not hold, × 2.93")
    never = "never reached: 4 of 4 against 0 of 4 seeds"
    assert claim(text, "relu-sigmoid", sigmoid, relu)[1] == f"holds, at least +1.76 epochs, {never}"
    assert "activations.svg" in text
    measured(tanh, [0.9] * 4)
    assert claim(compared(), "six-times", tanh, relu)[1].startswith("not decided, at least × ")  # maybe six
    measured(relu, [0.9] * 4)
    said = claim(compared(), "relu-sigmoid", sigmoid, relu)
    assert said == ("", "not decided, never reached: 4 of 4 against 4 of 4 seeds")


def test_a_run_that_diverged_is_marked_and_decides_nothing(workspace):
    measured("plain-20-signs32", (0.1, 0.1, 0.1))
    measured("plain-56-signs32", (0.9, 0.8, 0.9), diverged=True)
    measured("vgg16-hands", (0.6, 0.1), diverged=True)
    measured("vgg19-hands")
    text = compared()
    assert claim(text, "plain-train", "plain-56-signs32", "plain-20-signs32")[1] == "not compared, diverged"
    assert f"| {card('plain-56-signs32')} (diverged) | 43.33" in text
    cards = Path("docs/experiments.md").read_text()
    assert "**Diverged.** Test accuracy 65.00" in cards and cards.count("**Diverged.**") == 2
    curves = pd.read_csv("plots/degradation.csv")
    assert curves[curves.series == "plain-56-signs32"].epoch.max() == 2  # as far as all seeds go
    depth = pd.read_csv("plots/error-by-depth.csv")
    assert depth[depth.depth == 56].diverged.tolist() == ["yes", "yes"]


def test_a_number_of_an_article_is_confirmed_or_left_open(workspace):
    """One training recipe cannot refute that the number can be reached."""
    measured("vgg16-cifar100-32px", (0.24, 0.25, 0.24))
    said = claim(compared(), "vgg16-75", "vgg16-cifar100-32px", 75.0)[1]
    assert said == "not decided, +0.67 pp, one training recipe can confirm it, and none can refute it"
    measured("vgg16-cifar100-32px", (0.44, 0.45, 0.44))
    assert claim(compared(), "vgg16-75", "vgg16-cifar100-32px", 75.0)[1].startswith("not decided")
    measured("vgg16-cifar100-32px", (0.24, 0.241, 0.239))
    assert claim(compared(), "vgg16-75", "vgg16-cifar100-32px", 75.0)[1] == "holds, +1.00 pp"


def test_a_card_with_superclasses_pictures_and_filters(workspace):
    classes = [f"class_{i}" for i in range(12)]
    measured("vgg16-cifar100", labels={"classes": classes, "superclasses": ["even", "odd"] * 6, "pictures": True})
    folder = Path("plots/tables/vgg16-cifar100")
    scores = pd.read_csv(folder / "scores.csv")
    scores.assign(top5=0.99, superclass=0.95).to_csv(folder / "scores.csv", index=False)
    write_table("tables/vgg16-cifar100/mistakes", [{"image": "a", "actual": 2, "predicted": 11, "confidence": 0.97}])
    pictures.write_strip(folder / "mistakes.png", np.zeros((1, 8, 8, 3), np.uint8))
    pictures.write_strip(folder / "filters.png", np.zeros((20, 7, 7, 3), np.uint8))
    text = compared()
    assert "| 89.00 ± 1.41 | 2 | 3 epochs, bfloat16 | 75 after 20 epochs (S2) |" in text
    assert "74.94 (edadaltocg/vgg16_bn_cifar100 on Hugging Face, 300 epochs, 32 pixels; chosen: not said)" in text
    shown = Path("docs/experiments.md").read_text()
    assert "top-5 99.00 ± 0.00 %; superclass 95.00 ± 0.00 %" in shown
    names = {f"{kind}-vgg16-cifar100" for kind in ("curves", "confusion", "classes", "mistakes", "filters")}
    assert {path.stem for path in Path("plots/figures").iterdir()} == names
    assert all(f"![{name}]" in shown for name in names)


def test_every_experiment_leads_to_its_card_and_the_card_to_its_sources(workspace):
    for name in ("plain-20-signs32", "resnet-20-signs32"):
        measured(name)
    for name in ("plain-56-signs32", "resnet-110-cifar10-he2015"):
        measured(name, ran=False)
    text = compared()
    cards = Path("docs/experiments.md").read_text()
    for name in ("plain-20-signs32", "resnet-20-signs32"):
        assert card(name) in text and f"\n## {name}\n" in cards
        assert f"`dvc repro evaluate@{name}`" in cards
        for path in (
            f"recipes/experiments/{name}.json",
            f"plots/tables/{name}/scores.csv",
            f"plots/history/{name}.csv",
            f"plots/tables/{name}/provenance.csv",
        ):
            assert f"](../{path})" in cards and Path(path).is_file()
    for name in ("plain-56-signs32", "resnet-110-cifar10-he2015"):
        assert card(name) in text and f'<a id="{name}"></a>' in cards
    gpu = text[text.index("<summary>Meant for a GPU: 1</summary>") :]
    assert gpu.index("resnet-110-cifar10-he2015") < gpu.index("</details>") < gpu.index("- [plain-56-signs32]")
    for page in (text, cards):
        assert all(f"- **S{i}**, *" in page for i in range(4))


def test_the_same_tables_give_the_same_bytes(workspace, run_script):
    """Also where processes can share no lock, so that one draws all figures."""
    measured("plain-20-signs32")
    measured("resnet-20-signs32")
    assert run_script("compare").returncode == 0
    first = produced()
    clear()
    source = REPOSITORY / "src/compare.py"
    code = f"""
import runpy, sys
from multiprocessing import synchronize
def refused(*arguments):
    print("no lock", flush=True)
    raise FileNotFoundError(2, "No such file or directory")  # as without /dev/shm
synchronize._multiprocessing = type("", (), {{"SemLock": refused}})
sys.path.insert(0, {str(source.parent)!r})
runpy.run_path({str(source)!r}, run_name="__main__")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "no lock" in result.stdout
    assert produced() == first


def test_what_has_not_run_is_named_and_stops_nothing(workspace):
    measured("plain-20-hands", ran=False)
    text = compared()
    assert "**0 of 1 experiments have been run**." in text
    assert "None of this has run yet." in text
    measured("vgg16-hands")
    text = compared()
    assert "**1 of 2 experiments have been run** (1 on cpu with AVX2)." in text
    assert f"\n- {card('plain-20-hands')}\n" in text
    assert f"{card('lenet5-cifar10')}\\*" in text
    assert set(pd.read_csv("plots/degradation.csv").series) == {"vgg16-hands"}  # there is nothing else to show


def test_a_claim_about_an_experiment_that_does_not_exist_is_said(workspace, capsys):
    measured("plain-20-signs32")
    one = next(iter(study.CLAIMS.values()))
    misspelt = replace(one, id="mine", each="", pairs=(("plain-20-sings32", "plain-20-signs32"),))
    with patch.dict(study.CLAIMS, {"mine": misspelt}):
        compared()
    named = capsys.readouterr().out.split("that experiments.yaml does not have: ")[1].splitlines()[0].split(", ")
    assert "plain-20-sings32" in named and "plain-20-signs32" not in named


def test_results_of_another_recipe_are_not_passed_off(workspace):
    measured("vgg16-hands")
    path = Path("recipes/experiments/vgg16-hands.json")
    experiment = json.loads(path.read_text())
    experiment["recipe"]["epochs"] = 90
    path.write_text(json.dumps(experiment))
    assert "**0 of 1 experiments have been run**" in compared()


def test_a_sample_carries_its_banner(workspace):
    measured("plain-20-signs32", scale="sample")
    assert "these are not results" in compared(drawn=True)
    assert "these are not results" in Path("docs/experiments.md").read_text()
    assert "scale: sample" in Path("plots/figures/degradation-signs32.svg").read_text()
    assert b"scale: sample" in Path("plots/figures/confusion-plain-20-signs32.png").read_bytes()
    assert json.loads(Path("metrics/summary.json").read_text())["scale"] == "sample"


def test_figures_of_experiments_that_are_gone_go_too(workspace, run_here):
    measured("plain-20-hands")
    run_here("compare")
    Path("recipes/experiments/plain-20-hands.json").unlink()
    measured("vgg16-hands")
    run_here("compare")
    names = {path.name for path in Path("plots/figures").iterdir()}
    assert names == {"confusion-vgg16-hands.png", "curves-vgg16-hands.svg"}


def test_whoever_interrupts_it_keeps_the_old_figures(workspace, monkeypatch):
    measured("plain-20-hands")
    compared()
    before = produced()
    measured("vgg16-hands")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare.page, "results", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compared()
    assert produced() == before


@pytest.mark.parametrize("wrong", ["test_eror", "gap"])
def test_a_mistake_in_the_study_leaves_the_figures_alone(workspace, monkeypatch, wrong):
    measured("plain-20-hands")
    compared()
    before = produced()
    claim = Claim("mine", "ours", "a exceeds b", wrong, each="deeper plain" if wrong == "test_eror" else "wider plain")
    monkeypatch.setitem(comparisons.CLAIMS, "mine", claim)
    with pytest.raises(Mistake, match=r"^study\.yaml, claims, mine: "):
        compared()
    assert produced() == before


@pytest.mark.parametrize("obstacle", ["file", "dangling link", "mount"])
def test_figures_that_cannot_be_removed(workspace, run_here, obstacle):
    measured("plain-20-hands")
    figures = Path("plots/figures")
    figures.parent.mkdir(exist_ok=True)
    if obstacle == "file":
        figures.write_text("mine")
    elif obstacle == "dangling link":
        figures.symlink_to("nowhere/at/all")
    else:
        figures.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "none", figures], capture_output=True).returncode:
            pytest.skip("mounting takes root")
    try:
        said = one_line(run_here("compare"), 1)
        assert "plots/figures cannot be replaced (" in said
        assert "): remove it yourself, and run this again" in said
        assert not Path("docs").exists()
    finally:
        if obstacle == "mount":
            subprocess.run(["umount", figures], check=True)


def test_figures_that_cannot_be_written_are_not_to_be_removed(workspace, run_here, monkeypatch):
    measured("plain-20-hands")

    def read_only(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "plots/figures.part")

    monkeypatch.setattr(shutil, "copytree", read_only)
    said = one_line(run_here("compare"), 1)
    assert "cannot read or write plots/figures.part: Read-only file system" in said and "remove it" not in said


@pytest.mark.parametrize("fault", ["the disk is full", "a process is gone"])
def test_figures_stay_where_new_ones_cannot_be_made(workspace, run_here, monkeypatch, fault):
    measured("plain-20-hands")
    run_here("compare")
    before = produced()

    def full(*_):
        raise shutil.Error([("a.svg", "b.svg", "[Errno 28] No space left on device")])

    class Broken(ProcessPoolExecutor):
        def map(self, *_):
            raise BrokenProcessPool("A process in the process pool was terminated abruptly")

    with monkeypatch.context() as patch:
        if fault == "the disk is full":
            patch.setattr(shutil, "copytree", full)
            said = "plots/figures cannot be written ([Errno 28] No space left on device): mend that"
        else:
            patch.setattr("compare.ProcessPoolExecutor", Broken)
            said = "a process that draws was ended; if memory was short, close other programs"
        assert said in one_line(run_here("compare"), 1)
    assert produced() == before and before


def test_it_takes_no_arguments(workspace, run_here):
    assert run_here("compare", "--help").returncode == 0
    assert run_here("compare", "plain-20-signs32").returncode == 2


def test_before_the_recipes(workspace, run_here):
    said = one_line(run_here("compare"), 2)
    assert said.endswith("recipes/experiments is missing: run this in the top folder, after `dvc repro recipes`")
