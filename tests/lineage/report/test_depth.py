from pathlib import Path

import pytest
from test_compare import measured, write_table

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
    measured("plain-20-signs32", recipe={"warm_up": 0.25, "shift": 3})
    measured("plain-56-signs32", recipe={"lr": 0.03, "warm_up": 0.25, "shift": 3})
    assert "learning rate" not in depth.conditions(read("plain-20-signs32", "plain-56-signs32").values())
    measured("plain-56-signs32", recipe={"precision": "fp32", "warm_up": 0.25, "shift": 3})
    both = depth.conditions(read("plain-20-signs32", "plain-56-signs32").values())
    assert "learning rate" in both and "float" not in both


def test_why_deep_plain_networks_fail(workspace):
    """What is changed, whether it trained, and where it was measured how its training began."""
    measured("plain-110-signs32", (0.98, 0.99))
    lines = "\n".join(depth.why(read("plain-110-signs32"), None))
    assert "| nothing | 0 of 2 | 49.25 ± 0.35 |" in lines and "before the first step" not in lines
    assert "Not run yet: [plain-20-signs32]" in lines
    measured("plain-110-signs32-dirac", (0.02, 0.04))
    ratios = [{"seed": seed, "layer": "stem.0", "initial_gradient_ratio": 0.13 + seed} for seed in range(2)]
    write_table("tables/plain-110-signs32-dirac/beginnings", ratios)
    lines = "\n".join(depth.why(read("plain-110-signs32", "plain-110-signs32-dirac"), None))
    assert "largest ‖gradient‖ / ‖W‖ before the first step" in lines
    dirac = "Dirac initialisation (identity kernels plus a tenth of He's weights)"
    assert f"| {dirac} | 0.13 … 1.1 | 2 of 2 | 1.50 ± 0.71 |" in lines
    assert "| nothing | not measured | 0 of 2 |" in lines
    assert "start to train: as it is 0 of 2 (training error 49.25 ± 0.35 %); Dirac" in lines
    assert "a tenth of He's weights): 2 of 2 (training error 1.50 ± 0.71 %)." in lines
    assert depth.why({}, None) == []


def test_why_is_concluded_from_what_was_tried(workspace):
    """Limits on the steps that do not help, and an initialisation that does."""
    dirac, trust = {"initialisation": "dirac"}, {"trust": 0.02}
    names = [f"plain-110-signs32{kind}" for kind in ("", "-trust", "-dirac")]
    concluded = "No seed started with the limits on the steps that were tried"
    measured(names[0], (0.98, 0.99))
    measured(names[1], (0.97, 0.99), recipe=trust)
    assert concluded not in "\n".join(depth.why(read(*names[:2]), None))
    measured(names[2], (0.02, 0.04), network=dirac)
    text = "\n".join(depth.why(read(*names), None))
    assert concluded in text and "With another initialisation seeds started" in text
    assert (
        "2 % of its norm, those of batch norm's parameters not limited: 0 of 2 (training error 49.00 ± 0.71 %)" in text
    )
    without = {"normalisation": "none"}
    measured("plain-110-signs32-no-norm", (0.98, 0.99), network=without)
    names.append("plain-110-signs32-no-norm")
    assert "may be too short" not in "\n".join(depth.why(read(*names), None))  # it was not measured
    write_table(f"tables/{names[-1]}/beginnings", [{"seed": 0, "layer": "stem.0", "initial_gradient_ratio": 0.0025}])
    said = "may be too short: the largest ‖gradient‖ / ‖W‖ is 0.0025 there, times a learning rate of 1."
    assert said in "\n".join(depth.why(read(*names), None))
    measured(names[1], (0.02, 0.99), recipe=trust)  # a limit that helps one seed
    assert concluded not in "\n".join(depth.why(read(*names), None))
    measured(names[0], (0.02, 0.99))  # a network that starts as it is
    assert "start to train: as it is" not in "\n".join(depth.why(read(*names), None))
