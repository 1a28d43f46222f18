import json
from pathlib import Path

import pandas as pd
import pytest
from test_compare import measured

from lineage.engine.experiment import Experiment
from lineage.report import equalising, outcomes, results, rounding

RECIPE = {"epochs": 3, "seeds": 2, "input_size": 32, "batch_size": 4, "lr": 1, "schedule": "steps"}
ABOUT = {"scale": "full", "dataset": "hands", "classes": 2, "model": "resnet", "recipe": RECIPE}
NETWORK = {"depth": 110, "shortcut": "none"}
USUAL = "plain, 110 layers | as usual |"


@pytest.fixture
def study(workspace):
    """Plain networks of 110 layers, as usual and with gradients of one relative length. Returns what writes the table,
    given the training errors in float64 of each.
    """
    plain = Experiment(**ABOUT, name="plain-110", network=NETWORK).changes()
    names = {"plain-110": None, "plain-110-equalised": 0.01}
    rounding.TABLE.parent.mkdir(parents=True, exist_ok=True)
    Path("recipes").mkdir(exist_ok=True)
    rounding.RECIPES.write_text(json.dumps({name: plain | {"name": name} for name in names}))
    outcomes.RECIPES.write_text(json.dumps({"looks-linear": plain}))

    def write(usual, equalised, scale="full"):
        rows = []
        for (name, ratio), errors in zip(names.items(), (usual, equalised), strict=True):
            for seed, error in enumerate(errors):
                row = {"network": name, "depth": 110, "ratio": ratio, "seed": seed, "scale": scale}
                row |= {"train_error": error, "train_loss": 1, "trained": "yes" if error < 0.4 else "no"}
                rows.append(row)
        pd.DataFrame(rows).to_csv(rounding.TABLE, index=False)

    return write


@pytest.fixture
def in_bfloat16(workspace):
    """Both networks as they are trained elsewhere: training errors of 0.45 twice, and with equal lengths 0.2, 0.3."""
    measured("plain-110", (0.9, 0.9), network=NETWORK)
    recipe = Experiment(**ABOUT, name="plain-110-he", network=NETWORK).changes() | {"start": "he"}
    equalising.EQUALISED.parent.mkdir(parents=True, exist_ok=True)
    equalising.RECIPES.write_text(json.dumps({"ratios": [0.01], "networks": {"plain-110-he": recipe}}))
    about = {"network": "plain-110-he", "family": "plain", "depth": 110, "initialisation": "he", "scale": "full"}
    rows = [
        about | {"ratio": ratio, "train_error": error, "train_loss": 1, "trained": "yes", "chosen": "yes"}
        for ratio, error in ((0.01, 0.2), (0.01, 0.3), (0.03, 0.4))
    ]
    pd.DataFrame(rows).to_csv(equalising.EQUALISED, index=False)
    return {"plain-110": results.read("plain-110")}


def text(found):
    return "\n".join(rounding.section(found, None))


def test_before_it_has_run_at_this_scale(study):
    assert rounding.section({}, None) == rounding.finding({}) == []
    study([0.8], [0.8], scale="sample")
    assert rounding.section({}, None) == rounding.finding({}) == []


def test_float64_beside_bfloat16(study, in_bfloat16):
    study([0.8, 0.9], [0.1, 0.2])
    assert f"| {USUAL} 0 of 2 | 85.00 ± 7.07 | 0 of 2 | 45.00 ± 0.00 |  |" in text(in_bfloat16)
    own = "of one relative length, 0.01 | 2 of 2 | 15.00 ± 7.07 | 2 of 2 | 25.00 ± 7.07 | -10.00 pp (-40.42 … +20.42)"
    assert own in text(in_bfloat16)
    assert f"| {USUAL} 0 of 2 | 85.00 ± 7.07 |  | not trained |  |" in text({})


def test_what_was_predicted_and_what_came(study):
    study([0.8, 0.9], [0.3, 0.3])
    assert "as usual: 0 of 2 seeds started, training error 85.00 ± 7.07 % (as predicted)" in text({})
    assert "length, 0.01: 2 of 2 seeds started, training error 30.00 ± 0.00 % (as predicted)" in text({})
    study([0.3, 0.9], [0.1, 0.1])
    assert text({}).count("(not as predicted)") == 2
    study([0.3, 0.9], [0.9, 0.9])  # none starts
    assert text({}).count("(not as predicted)") == 2


def test_the_finding(study, in_bfloat16):
    study([0.8, 0.9], [0.1, 0.2])
    (said,) = rounding.finding(in_bfloat16)
    assert said.startswith("**In float64, too, no seed of plain networks of 110 layers starts to train** (exploratory")
    assert "gradients as usual: 0 of 2 seeds started, training error 85.00 ± 7.07 %; in bfloat16 0 of 2, 45.00" in said
    assert "rounding alone does not explain" in said
    study([0.1, 0.9], [0.1, 0.2])
    (said,) = rounding.finding(in_bfloat16)
    assert said.startswith("**In float64 1 of 2 seeds of plain networks of 110 layers start to train**")
    assert "alone" not in said
    assert rounding.finding({}) == []  # nothing to compare with
