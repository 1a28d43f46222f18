import json
from pathlib import Path

import pandas as pd
import pytest
from test_compare import measured

from lineage.engine.experiment import Experiment
from lineage.report import equalising, results, rounding, rounding_findings

RECIPE = {"epochs": 3, "seeds": 3, "input_size": 32, "batch_size": 4, "lr": 1, "schedule": "steps"}
ABOUT = {"scale": "full", "dataset": "hands", "classes": 2, "model": "resnet"}
NETWORK = {"depth": 110, "shortcut": "none"}
NAMES = {"plain-110": None, "plain-110-equalised": 0.01}
USUAL = "| plain, 110 layers | as usual | "


def recipes(name, **changes):
    return Experiment(**ABOUT, name=name, network=NETWORK, recipe=RECIPE | changes).changes()


@pytest.fixture
def study(workspace):
    """Plain networks of 110 layers, as usual and with gradients of one relative norm. Returns what writes the table,
    given the training errors in float64 of each.
    """
    rounding.TABLE.parent.mkdir(parents=True, exist_ok=True)
    Path("recipes").mkdir(exist_ok=True)
    ratios = {name: {} if ratio is None else {"ratio": ratio} for name, ratio in NAMES.items()}
    Path("recipes/float64.json").write_text(json.dumps({n: recipes(n, precision="fp32") | ratios[n] for n in NAMES}))

    def write(usual, equalised, scale="full"):
        rows = []
        for (name, ratio), errors in zip(NAMES.items(), (usual, equalised), strict=True):
            for seed, error in enumerate(errors):
                row = {"network": name, "depth": 110, "ratio": ratio, "seed": seed, "scale": scale}
                row |= {"train_error": error, "train_loss": 0.5, "trained": "yes" if error < 0.4 else "no"}
                rows.append(row)
        pd.DataFrame(rows).to_csv(rounding.TABLE, index=False)

    return write


@pytest.fixture
def elsewhere(workspace):
    """Both networks in bfloat16: five seeds with a training error of 0.45 (of two classes: none started); with equal
    lengths 0.2, 0.3 and 0.9, which did not start, and runs with ratios that were not chosen.
    """
    measured("plain-110", (0.9,) * 5, network=NETWORK)
    networks = {"plain-110-he": recipes("plain-110-he") | {"start": "he"}}
    equalising.EQUALISED.parent.mkdir(parents=True, exist_ok=True)
    Path("recipes/equalised.json").write_text(json.dumps({"ratios": [0.01], "networks": networks}))
    about = {"network": "plain-110-he", "family": "plain", "depth": 110, "initialisation": "he", "scale": "full"}
    rows = []
    for ratio, error, chosen in ((0.01, 0.2, "yes"), (0.01, 0.3, "yes"), (0.01, 0.9, "yes"), (0.03, 0.1, "no")):
        row = {"ratio": ratio, "train_error": error, "train_loss": 1, "trained": "yes" if error < 0.4 else "no"}
        rows.append(about | row | {"chosen": chosen})
    pd.DataFrame(rows).to_csv(equalising.EQUALISED, index=False)
    return {"plain-110": results.read("plain-110")}


def text(found):
    return "\n".join(rounding.section(found, None))


def test_before_it_has_run_at_this_scale(study):
    assert rounding.section({}, None) == rounding_findings.finding({}) == []
    study([0.8], [0.8], scale="sample")
    assert rounding.section({}, None) == rounding_findings.finding({}) == []


def test_float64_beside_bfloat16(study, elsewhere):
    study([0.8, 0.9], [0.1, 0.2])
    assert f"{USUAL}0 of 2 | 85.00 ± 7.07 | 0.5 | 0 of 5 | 45.00 ± 0.00 |" in text(elsewhere)
    own = "of one relative norm (0.01) | 2 of 2 | 15.00 ± 7.07 | 0.5 | "
    assert f"{own}2 of 3 | 46.67 ± 37.86 | 1 |  |" in text(elsewhere)  # no difference: a seed did not start
    table = pd.read_csv(equalising.EQUALISED)
    table.assign(trained="yes").to_csv(equalising.EQUALISED, index=False)
    assert f"{own}3 of 3 | 46.67 ± 37.86 | 1 | -31.67 pp (" in text(elsewhere)
    assert f"{USUAL}0 of 2 | 85.00 ± 7.07 | 0.5 |  | not trained |  |  |" in text({})


@pytest.mark.parametrize("change", [{"lr": 2}, {"precision": "fp32"}])
def test_only_the_same_training_in_bfloat16_is_beside_it(study, elsewhere, change):
    study([0.8], [0.1])
    assert "not trained" not in text(elsewhere)
    measured("plain-110", (0.9,) * 5, network=NETWORK, recipe=change)
    networks = {"plain-110-he": recipes("plain-110-he", **change) | {"start": "he"}}
    Path("recipes/equalised.json").write_text(json.dumps({"ratios": [0.01], "networks": networks}))
    assert text({"plain-110": results.read("plain-110")}).count("not trained") == 2


def test_a_training_that_fell_back_to_float32_is_not_beside_it(study, elsewhere):
    """The recipe says bfloat16, but the hardware had none."""
    study([0.8], [0.1])
    path = Path("plots/tables/plain-110/provenance.csv")
    path.write_text(path.read_text().replace("precision,bf16", "precision,fp32"))
    assert text({"plain-110": results.read("plain-110")}).count("not trained") == 1


def test_a_ratio_that_was_not_chosen_is_not_beside_it(study, elsewhere):
    study([0.8], [0.1])
    table = pd.read_csv(equalising.EQUALISED)
    table.assign(chosen=["no", "no", "no", "yes"]).to_csv(equalising.EQUALISED, index=False)
    assert text(elsewhere).count("not trained") == 1


def test_what_was_predicted_and_what_came(study):
    study([0.8, 0.9], [0.3, 0.3])
    assert "as usual: 0 of 2 seeds started, training error 85.00 ± 7.07 % (as predicted)" in text({})
    assert "norm (0.01): 2 of 2 seeds started, training error 30.00 ± 0.00 % (as predicted)" in text({})
    study([0.3, 0.9], [0.1, 0.1])
    assert text({}).count("(not as predicted)") == 2
    study([0.3, 0.9], [0.9, 0.9])  # none starts
    assert text({}).count("(not as predicted)") == 2
