import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from test_compare import measured

from lineage.engine.experiment import Experiment
from lineage.report import equalising, outcomes, results

RECIPE = {"epochs": 3, "seeds": 2, "input_size": 32, "batch_size": 4, "lr": 1, "schedule": "steps"}
RATIOS = {0.03: 0.8, 0.01: 0.7, 0.003: 0.6}  # and the first seed's training error where it is not the network's own
PLAIN = {"he": (0.01, 0.9, 0.9), "looks-linear": (0.003, 0.0, 0.02)}  # its own, and with it both seeds' training errors


def drawn(figure, name, shows):
    plt.close(figure)
    return [f"![{shows}]({name})", ""]


@pytest.fixture
def study(workspace):
    """Plain networks of 110 layers from two initialisations, with three ratios."""
    about = {"scale": "full", "dataset": "hands", "classes": 2, "model": "resnet", "recipe": RECIPE}
    network, recipes, rows = {"depth": 110, "shortcut": "none"}, {}, []
    for start, (own, *errors) in PLAIN.items():
        name = f"plain-110-{start}"
        recipes[name] = Experiment(**about, name=name, network=network).changes() | {"start": start}
        about_run = {"network": name, "family": "plain", "depth": 110, "initialisation": start, "scale": "full"}
        for ratio, other in RATIOS.items():
            for seed, error in enumerate(errors if ratio == own else [other]):
                row = {"ratio": ratio, "seed": seed, "train_error": error, "val_error": 0.01 + error / 2}
                row |= {"train_loss": 0.5, "trained": "yes" if error < 0.4 else "no"}
                rows.append(about_run | row | {"chosen": "yes" if ratio == own else "no"})
    equalising.EQUALISED.parent.mkdir(parents=True, exist_ok=True)
    Path("recipes").mkdir(exist_ok=True)
    Path("recipes/equalised.json").write_text(json.dumps({"ratios": [*RATIOS], "networks": recipes}))
    pd.DataFrame(rows).to_csv(equalising.EQUALISED, index=False)
    plain = Experiment(**about, name="plain-110-x", network=network).changes()
    outcomes.RECIPES.write_text(json.dumps({"looks-linear": plain}))
    line = {"family": "plain", "depth": 110, "normalisation": "batch", "neighbour_error": 0.4, "layer": "stem.0"}
    line |= {
        "gradient_ratio": 3.0,
        "shuffled_agreement": 0.0,
        "bf16_cosine": 0.5,
        "fp32_cosine": 1.0,
        "reordered_cosine": 1.0,
        "scale": "full",
        "seed": 0,
    }
    both = [line | {"initialisation": name, "agreement": value} for name, value in (("he", 0.001), ("dirac", 0.2))]
    pd.DataFrame(both).to_csv(outcomes.AGREEMENT, index=False)


def test_before_it_has_run_at_this_scale(study):
    table = pd.read_csv(equalising.EQUALISED)
    table.assign(scale="sample").to_csv(equalising.EQUALISED, index=False)
    assert equalising.section({}, drawn) == equalising.finding({}) == []
    equalising.EQUALISED.unlink()
    assert equalising.section({}, drawn) == equalising.finding({}) == []


def test_each_network_with_its_own_ratio_beside_its_usual_training(study):
    measured("plain-110", (0.7, 0.9), network={"depth": 110, "shortcut": "none"})
    found = equalising.networks(equalising.read()[0], {"plain-110": results.read("plain-110")})
    he, linear = found.itertuples()
    assert (he.n, he.started, he.ratio, he.shown) == (2, 0, 0.01, "90.00 ± 0.00")
    assert he.agreement == 0.001 and linear.shown == "1.00 ± 1.41" and linear.started == 2
    assert pd.isna(linear.agreement) and linear.usually == "not trained"
    text = "\n".join(equalising.section({}, drawn))
    own = "0.003 | 2 of 2 | 1.00 ± 1.41 | 1.00 | 0.5 | 1.50 ± 0.71"
    assert f"| plain, 110 layers, looks linear |  | 80.00 | 70.00 | 0.00 | {own} | not trained |  |" in text
    table = pd.read_csv(equalising.EQUALISED)
    third = table[(table.initialisation == "looks-linear") & (table.chosen == "yes")].iloc[:1]
    pd.concat([table, third.assign(seed=2, train_error=0.9, train_loss=4.0)]).to_csv(equalising.EQUALISED, index=False)
    linear = equalising.networks(equalising.read()[0], {}).iloc[1]
    assert linear.median_error == 2  # the mean is 31 %
    assert linear.loss == pytest.approx(1)  # the geometric mean


def test_what_was_predicted_and_what_came(study):
    text = "\n".join(equalising.section({}, drawn))
    assert "He: 0 of all 4 runs started (as predicted)" in text
    assert "looks linear: 2 of 2 seeds started with its own ratio, 1 ended below 1 % (not as predicted)" in text
    table = pd.read_csv(equalising.EQUALISED)
    table.loc[(table.initialisation == "he") & (table.ratio == 0.03), "trained"] = "yes"
    table.to_csv(equalising.EQUALISED, index=False)
    text = "\n".join(equalising.section({}, drawn))
    assert "He: 1 of all 4 runs started (not as predicted)" in text


def test_the_finding(study, monkeypatch):
    assert equalising.finding({}) == []  # nothing to compare with
    usual = {"he": (0, [81, 83], "82.00 ± 1.41"), "looks-linear": (2, [49, 51], "50.00 ± 1.41")}
    before = {"family": "plain", "depth": 110, "normalisation": "batch", "agreement": 0.1, "n": 2}
    rows = [
        before | {"initialisation": name, "started": started, "median_error": sum(errors) / 2, "shown": shown}
        for name, (started, errors, shown) in usual.items()
    ]
    for row, (_, errors, _) in zip(rows, usual.values(), strict=True):
        row |= {"errors": pd.Series(errors), "losses": pd.Series([0.1, 0.4])}
    monkeypatch.setattr(equalising, "gathered", lambda _: pd.DataFrame(rows))
    (said,) = equalising.finding({})
    assert "110 layers end with a lower median training error than with gradients as they are, from 1 of 2 init" in said
    below = "From 1 of these every seed ends below every seed of usual training."
    assert f"(exploratory; n = 2, with gradients as they are 2). {below}" in said
    linear = "looks linear: 1.00 ± 1.41 %, as usual 50.00 ± 1.41 %, difference -49.00 pp (-55.08 … -42.92)"
    assert f"\n    - Plain, 110 layers, {linear}: so few seeds cannot decide." in said
    assert "He: 90.00 ± 0.00 %, as usual 82.00 ± 1.41 %, 0 of 2 seeds started, as usual 0 of 2." in said
    assert "Each network has the best of 3 such norms by the validation loss of the first seed; in 1 of the 2 " in said
    assert "networks that is the largest or the smallest, so another may be better still." in said
    assert "train anyway" not in said
    for row, errors in zip(rows, ([80, 95, 95], [1, 49, 51]), strict=True):  # the means of both of He's are 90 %
        row |= {"errors": pd.Series(errors), "median_error": errors[1]}
    (said,) = equalising.finding({})
    assert "gradients as they are, from 2 of 2" in said and "From 0 of these every seed ends below every seed" in said


def test_what_it_does_to_networks_that_train_anyway(study, monkeypatch):
    table = pd.read_csv(equalising.EQUALISED)
    table.loc[table.initialisation == "he", ["family", "train_error", "trained"]] = ["resnet", 0.0, "yes"]
    table.to_csv(equalising.EQUALISED, index=False)
    row = {"depth": 110, "normalisation": "batch", "agreement": 0.1, "n": 2, "started": 2, "shown": "0.00 ± 0.00"}
    row |= {"median_error": 0.0, "errors": pd.Series([0.0, 0.0]), "losses": pd.Series([0.1, 0.4])}
    rows = [{"family": "plain", "initialisation": "looks-linear"}, {"family": "resnet", "initialisation": "he"}]
    monkeypatch.setattr(equalising, "gathered", lambda _: pd.DataFrame([row | one for one in rows]))
    (said,) = equalising.finding({})
    assert "Training loss of networks that train anyway: residual, 110 layers, from 0.2 to 0.5." in said


@pytest.mark.parametrize(
    ("usual", "few"),
    [([40.0, 50.0, 60.0], True), ([0.0, 50.0, 60.0], False), ([40.0, 45.0, 50.0, 55.0, 60.0], False)],
)
def test_where_few_seeds_are_the_reason_that_nothing_is_decided(usual, few):
    """Three against three cannot decide. Nothing is said where the interval includes 0, nor of three against five."""
    as_usual = SimpleNamespace(n=len(usual), started=len(usual), errors=pd.Series(usual))
    one = SimpleNamespace(n=3, started=3, errors=pd.Series([1.0, 2.0, 3.0]), shown="2", usually="50", as_usual=as_usual)
    assert equalising.in_words(one).endswith(": so few seeds cannot decide") == few
