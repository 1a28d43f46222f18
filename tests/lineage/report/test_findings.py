from pathlib import Path

import pandas as pd
import pytest
from test_compare import measured, write_table

from lineage.files import write_json
from lineage.report import claims, findings, results
from lineage.report.measured import Measured


def said(*names):
    found = {name: results.read(name) for name in names}
    return findings.section(found, claims.judge_all(found))


SIGNS = [f"{family}-{depth}-signs32" for family in ("plain", "resnet") for depth in (20, 56, 110)]
FEW, MANY, ALL = (0.02, 0.03, 0.02, 0.03, 0.02), (0.30, 0.34, 0.36, 0.33, 0.32), (0.98, 0.96, 0.97, 0.98, 0.99)


def measure(names, errors):
    for name, some in zip(names, errors, strict=True):
        measured(name, some)


def degrade():
    """Measure six networks of which the plain ones get worse with depth, and return what is found."""
    for name, errors in zip(SIGNS, (FEW, MANY, ALL, FEW, FEW, (0.16, 0.17, 0.16, 0.17, 0.16)), strict=True):
        measured(name, errors, network={"depth": int(name.split("-")[1])})
    return said(*SIGNS)


def one(lines, beginning):
    (line,) = [line for line in lines if beginning in line]
    return line


def test_what_blocks_add_before_and_after_training(workspace):
    degraded = degrade()
    names = [name for name in SIGNS if name.startswith("resnet")]
    assert "before training it has not been measured, so this does not show" in one(degraded, "‖F(x)‖ / ‖x‖")
    for name, addition in zip(names, (1.4, 1.6, 1.7), strict=True):
        write_table(f"tables/{name}/untrained-blocks", [{"block": "stages.0", "addition": addition}])
    line = one(said(*SIGNS), "‖F(x)‖ / ‖x‖")
    after = "1.50 (20 layers), 1.50 (56 layers), 1.50 (110 layers)"
    assert f"SIGNS, 30 epochs: after training {after}; before training 1.40 (20" in line
    assert "Training made it smaller in 2 of 3 networks (first seed, 32 images)." in line


def test_what_blocks_add_is_said_of_each_group(workspace):
    degrade()
    names = ["plain-20-cifar10", "resnet-20-cifar10"]
    for name in names:
        measured(name, FEW)
    least = "resnet-110-signs32-trust"  # which no line shows
    measured(least, FEW)
    write_table(f"tables/{least}/blocks", [{"block": "stages.0", "addition": 0.0949}])
    opening, signs, cifar = one(said(*SIGNS, *names, least), "‖F(x)‖ / ‖x‖").split("\n    - ")
    far = "F(x) is not close to 0 in 4 of 5 networks with residual blocks: the median block adds ‖F(x)‖ / ‖x‖ of 0.1 or"
    assert f"**After training {far} more.** [{least}](experiments.md#{least}): 0.095. First" in opening
    assert opening.endswith("whether it is, this does not test. [More](#what-the-blocks-add).")
    assert signs.startswith("SIGNS, 30 epochs: after training 1.50 (20 layers), 1.50 (56")
    assert cifar.startswith("CIFAR-10, 12 epochs: after training 1.50 (20 layers); before")
    for name in (*SIGNS[3:], "resnet-20-cifar10"):
        write_table(f"tables/{name}/blocks", [{"block": "stages.0", "addition": 0.05}])
    nearly = "F(x) is close to 0 in 5 of 5 networks with residual blocks: the median block adds ‖F(x)‖ / ‖x‖ of less "
    convolved = "residual-vgg-always-convolved-cifar10"  # whose shortcuts are no identities: it does not count
    measured(convolved, FEW)
    everything = said(*SIGNS, *names, least, convolved)
    assert f"**After training {nearly}than 0.1.**" in one(everything, "‖F(x)‖ / ‖x‖")


def test_findings_are_numbered_and_few(workspace):
    degraded = degrade()
    titles = [line for line in degraded if line.startswith("#")]
    assert titles == ["### What depth does", "### The articles"]  # nothing here says why
    numbers = [line.split(". ", 1)[0] for line in degraded if line and line not in titles]
    assert numbers == [str(i) for i in range(1, len(numbers) + 1)]
    assert 4 <= len(numbers) <= 10


def test_on_what_the_question_was_asked_is_said_before_its_findings(workspace, monkeypatch):
    monkeypatch.setattr(findings, "FINDINGS", {"Why deep plain networks fail": [lambda m: ["**So.**"]]})
    degrade()
    title, _, together, _, only, _ = said(*SIGNS)
    assert title == "### Why deep plain networks fail" and only == "1. **So.**"
    assert together == "Not settled. On SIGNS at 32 pixels, 30 epochs, where nothing else is said."


def test_what_has_not_run_is_left_out(workspace):
    measured("resnet34-signs", (0.0, 0.0, 0.0))
    lines = said("resnet34-signs")
    assert "SIGNS cannot rank good networks: its test set has 12 images, one mistake is 8.33 %" in one(
        lines, "ResNet-34"
    )
    assert "reaches 26.5 %" in one(lines, "ResNet-34")
    assert "VGG16 on CIFAR-100 has not been tested yet.**" in one(lines, "S2's 75 %")
    assert not [line for line in lines if "plain" in line]
    assert findings.section({}, {}) == []


def test_the_headline(workspace):
    measured("vgg16-cifar100", (0.24, 0.241, 0.239))
    line = one(said("vgg16-cifar100"), "VGG16 on CIFAR-100: test accuracy 76.00 ± 0.10 %.**")
    assert "(experiments.md#vgg16-cifar100), 3 epochs with SGD in bfloat16: 76.00 ± 0.10 % (n = 3), " in line
    assert "difference to 75 %: +1.00 pp (+0.75 … +1.25), *[holds](#claim-vgg16-75)*, exploratory." in line


def test_the_headline_of_a_single_seed_decides_nothing(workspace):
    measured("vgg16-cifar100", (0.24,), recipe={"precision": "fp32"})
    line = one(said("vgg16-cifar100"), "VGG16 on CIFAR-100: test accuracy 76.00 %.**")
    assert ", 3 epochs with SGD in float32: 76.00 % (n = 1), " in line
    write_json(Path("metrics/data/hands.json"), {"train_images": 49_890})
    line = one(said("vgg16-cifar100"), "VGG16 on CIFAR-100: test accuracy 76.00 %.**")
    assert ", 3 epochs on 49,890 images with SGD in float32: 76.00 % (n = 1), " in line
    assert "75 %: +1.00 pp, *[not decided](#claim-vgg16-75)*, a single seed, exploratory." in line


def test_the_headline_leaves_no_network_out(workspace):
    measured("vgg16-cifar100", (0.24, 0.241, 0.239))
    measured("vgg16-cifar100-muon", (0.30, 0.31, 0.32), recipe={"optimiser": "muon", "muon_step": 0.02})
    lines = one(said("vgg16-cifar100", "vgg16-cifar100-muon"), "VGG16 on CIFAR-100").splitlines()
    assert "test accuracy 76.00 ± 0.10 and 69.00 ± 1.00 %.**" in lines[0]
    assert "[vgg16-cifar100](experiments.md#vgg16-cifar100), 3 epochs with SGD in bfloat16: 76.00 ± 0.10 %" in lines[1]
    assert "(experiments.md#vgg16-cifar100-muon), 3 epochs with Muon in bfloat16: 69.00 ± 1.00 %" in lines[2]
    assert "-6.00 pp (" in lines[2] and "none can refute it, exploratory." in lines[2]


@pytest.mark.parametrize(("log", "reversed_", "opened"), [(9.0, True, True), (9.0, False, False), (-9.0, False, False)])
def test_gradients_explode_only_where_the_claim_that_they_vanish_is_reversed(monkeypatch, log, reversed_, opened):
    """The range over all draws alone says nothing."""
    draws = [log] * 3 if reversed_ else [log, 0.1, -log]
    monkeypatch.setattr(
        findings.early_gradients, "rises", lambda *_: pd.Series([d + i / 9 for i, d in enumerate(draws)])
    )
    said = findings.before_training(Measured({}, claims.judge_all({})))
    assert bool(said) == opened and all("explode towards the first layer; they do not vanish.**" in one for one in said)


def test_where_gradients_vanish_after_training(workspace):
    for name, network, gradients in (
        ("plain-110-signs32", {"depth": 110}, (1e-4, 1.0, 0.05, 3.0)),
        ("plain-56-signs32", {"depth": 56}, (1e-3, 1.0, 0.05, 3.0)),  # by a factor of 50
        ("plain-110-signs32-no-norm", {"depth": 110, "normalisation": "none"}, (1e-4, 1.0, 0.05, 3.0)),
        ("resnet-110-signs32", {"depth": 110, "shortcut": "identity"}, (1e-4, 1.0, 0.05, 3.0)),
    ):
        measured(name, FEW, network=network)
        write_table(f"tables/{name}/layers", [{"gradient": one, "weight": 1.0, "response": 1.0} for one in gradients])
    names = ["plain-110-signs32", "plain-56-signs32", "plain-110-signs32-no-norm", "resnet-110-signs32"]
    found = {name: results.read(name) for name in names}
    only = " After training they do vanish in [plain-110-signs32](experiments.md#plain-110-signs32) (first seed)."
    assert findings.vanished(Measured(found, {})) == only
    del found["plain-110-signs32"]
    assert findings.vanished(Measured(found, {})) == ""
