from pathlib import Path

import pytest
from test_compare import measured
from test_findings import measure

from lineage.report import depth, results


def read(*names):
    return {name: results.read(name) for name in names}


def test_errors_by_depth(workspace):
    measured("plain-20-signs32", (0.1, 0.2))
    measured("resnet-56-signs32", (0.99,))
    table = depth.errors_by_depth(read("plain-20-signs32", "resnet-56-signs32"))
    assert table.columns.tolist()[:5] == ["group", "series", "family", "depth", "part"]
    test = table[table.part == "test"].set_index("depth")
    assert test["mean"].tolist() == pytest.approx([15, 99])
    assert test["std"].tolist() == pytest.approx([7.0711, float("nan")], abs=1e-4, nan_ok=True)
    assert test.n.tolist() == [2, 1] and test.started.tolist() == [2, 0]
    assert depth.errors_by_depth({}).empty
    ((_, members),) = depth.groups(read("plain-20-signs32", "resnet-56-signs32")).items()
    seeds = depth.seeds_by_depth(members)
    means = seeds.groupby(["family", "depth", "part"]).error.mean()
    assert len(seeds) == table.n.sum()
    assert means.to_dict() == pytest.approx(table.set_index(["family", "depth", "part"])["mean"].to_dict())


def test_by_construction_is_the_error_of_the_shallowest(workspace, monkeypatch):
    names = ["plain-20-signs32", "plain-56-signs32", "plain-110-signs32"]
    measure(names, ((0.1, 0.2), (0.3, 0.4), (0.5, 0.6)))
    marks = []
    monkeypatch.setattr(depth.figures, "by_depth", lambda errors, seeds, drawn, title: marks.append(drawn))
    assert depth.error_by_depth(read(*names), lambda *_: ["a figure"])[0] == "a figure"
    test = marks[0][marks[0].part == "test"]
    assert set(test.label) == {"by construction"} and test.depth.tolist() == [56, 110]
    assert test.error.tolist() == pytest.approx([15, 15])


def test_another_budget_than_the_title_names_is_said(workspace):
    for epochs, said in ((3, "**These networks were trained for 3 epochs, not for 30 epochs.**"), (30, "")):
        measured("plain-20-signs32", epochs=epochs)
        assert depth.other_budget("SIGNS, 30 epochs", [results.read("plain-20-signs32")]) == said
    measured("plain-20-signs32", epochs=30)
    measured("plain-56-signs32", epochs=3)
    both = [results.read(name) for name in ("plain-20-signs32", "plain-56-signs32")]
    some = "**Some of these networks were trained for 3 epochs, not for 30 epochs: see *budget*.**"
    assert depth.other_budget("SIGNS, 30 epochs", both) == some
    measured("plain-20-signs32")
    assert depth.other_budget("SIGNS", [results.read("plain-20-signs32")]) == ""


def test_what_a_group_is_trained_with(workspace):
    measured("plain-20-signs32", recipe={"lr": 0.03, "nesterov": False})
    said = depth.conditions([results.read("plain-20-signs32")])
    assert said.startswith(
        "Common to all of them: inputs of 32 pixels, batches of 4, SGD with momentum 0.9, a learning "
    )
    Path("metrics/data").mkdir()
    Path("metrics/data/hands.json").write_text('{"train_images": 1961}')
    measured("plain-20-signs32", recipe={"warm_up": 0.25, "shift": 3})
    assert depth.conditions([results.read("plain-20-signs32")]) == (
        "Common to all of them: 1,961 training images, inputs of 32 pixels, batches of 4, SGD with Nesterov momentum "
        "0.9, a learning rate of up to 1 (divided by 10 after 1/2 and 3/4), a warm-up of 25 % of the steps, weight "
        "decay 0, shifts of up to 3 pixels, bfloat16."
    )
    measured("plain-20-signs32", recipe={"label_smoothing": 0.1, "rotate": 15.0, "cutmix": 0.5, "ema": 0.99})
    also = (
        "label smoothing 0.1, averaged weights (decay 0.99 per step), rotations of up to 15°, CutMix with probability"
    )
    assert f"weight decay 0, {also} 0.5, bfloat16." in depth.conditions([results.read("plain-20-signs32")])
    measured("plain-20-signs32", recipe={"optimiser": "muon", "muon_step": 0.02})
    assert (
        "batches of 4, Muon for kernels (steps of up to 0.02 of a kernel's norm, which stays), SGD with Nesterov "
        "momentum 0.9 for the rest, a learning rate of up to 1 (divided by 10 after 1/2 and 3/4), weight decay 0 of "
        "the rest, "
    ) in depth.conditions([results.read("plain-20-signs32")])
    for cutout, side in ((8, 7), (7, 7), (1, 1)):
        measured("plain-20-signs32", recipe={"cutout": cutout})
        assert f"a square of {side} pixels cut out" in depth.conditions([results.read("plain-20-signs32")])
    measured("plain-20-signs32", recipe={"warm_up": 0.25, "shift": 3})
    measured("plain-56-signs32", recipe={"lr": 0.03, "warm_up": 0.25, "shift": 3})
    assert "learning rate" not in depth.conditions(read("plain-20-signs32", "plain-56-signs32").values())
    measured("plain-56-signs32", recipe={"precision": "fp32", "warm_up": 0.25, "shift": 3})
    both = depth.conditions(read("plain-20-signs32", "plain-56-signs32").values())
    assert "learning rate" in both and "float" not in both
