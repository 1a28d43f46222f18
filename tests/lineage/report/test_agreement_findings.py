import pandas as pd
import pytest
from test_agreeing import study  # noqa: F401 (a fixture)
from test_compare import measured

from lineage.report import agreement_findings, outcomes, results

pytestmark = pytest.mark.usefixtures("study")


def test_the_findings(monkeypatch):
    monkeypatch.setattr(agreement_findings, "SHOWN", (20, 44))
    measured("plain-44", (0.84, 0.86), network={"depth": 44})
    found = {"plain-44": results.read("plain-44")}
    said = agreement_findings.finding(found) + agreement_findings.goes_with(outcomes.gathered(found))
    rounded = "plain networks 0.01 (0.90) with 20 layers and 0.00 (0.90) with 44 layers; "
    assert f"{rounded}residual ones 0.30 (0.90) with 44 layers. In float64 itself" in said[1]
    # the lowest: of 20 layers and the second seed, 0.99999 - 0.01 / 1000, not rounded up
    assert "with the images of that batch in another order the cosine is 0.99998 or more in every" in said[1]
    assert "rounding to bfloat16 leaves little of the gradient in plain networks of 20 or more layers.**" in said[1]
    del said[1]
    numbers = "plain networks with He's initialisation 0.002, 0.000, 0.001; residual ones 0.450, 0.030, 0.420 (n = 2)."
    assert f"With 44 layers it is, with the labels, with shuffled labels, and the difference: {numbers}" in said[0]
    lowest = "Looks linear has the lowest, 3.00 %, where ‖gradient‖ / ‖W‖ is 3 and agreement 0.750; "
    assert f"{lowest}identity + 0.8 He the highest, 50.00 %, where" in said[1]
    assert "falls with that agreement" in said[1] and "(n = 1 or more)" in said[1]
    assert "in this order: looks linear, He, identity + 0.8 He. In 0 of 2 pairs of neighbours the errors" in said[1]
    table = pd.read_csv(outcomes.AGREEMENT)
    table.loc[table.initialisation == "random-0.8", "gradient_ratio"] = 100.0
    table.loc[table.initialisation == "looks-linear", "agreement"] = 0.0
    table.loc[(table.initialisation == "he") & (table.family == "plain") & (table.depth == 44), "fp32_cosine"] = 0.0
    table.to_csv(outcomes.AGREEMENT, index=False)
    assert "; rounding to float32 does so with 44.**" in agreement_findings.finding(found)[1]
    (with_ratio,) = agreement_findings.goes_with(outcomes.gathered(found))
    assert "44 layers rises with the largest ‖gradient‖ / ‖W‖ of any layer" in with_ratio
    assert agreement_findings.PLACE in said[0]
    outcomes.TRAINED.unlink()
    assert len(agreement_findings.finding(found)) == 2
    assert agreement_findings.goes_with(outcomes.gathered(found)) == []
    table.assign(bf16_cosine=float("nan")).to_csv(outcomes.AGREEMENT, index=False)  # without hardware for bfloat16
    assert len(agreement_findings.finding(found)) == 1
    table.assign(bf16_cosine=0.9).to_csv(outcomes.AGREEMENT, index=False)
    assert len(agreement_findings.finding(found)) == 1
    outcomes.AGREEMENT.unlink()
    assert agreement_findings.finding(found) == agreement_findings.goes_with(outcomes.gathered(found)) == []


def test_deepest_networks_of_other_initialisations_alone():
    found = outcomes.gathered({}).assign(depth=lambda table: table.depth.where(table.initialisation == "he", 98))
    assert agreement_findings.agreed(found) == []


@pytest.mark.parametrize(
    ("cosines", "depth"), [((0.9, 0.02, 0.01), 44), ((0.02, 0.3, 0.01), 56), ((0.02, 0.03, 0.01), 20)]
)
def test_or_more_layers_means_all_of_them(cosines, depth):
    assert agreement_findings.lost_from(pd.Series([20, 44, 56]), pd.Series(cosines)) == depth


@pytest.mark.parametrize(
    ("plain", "residual", "almost"), [(0.002, 0.45, True), (0.9, 0.45, False), (0.002, 0.01, False)]
)
def test_the_headline_follows_the_numbers(plain, residual, almost):
    table = pd.read_csv(outcomes.AGREEMENT)
    for family, agreement in (("plain", plain), ("resnet", residual)):
        table.loc[(table.family == family) & (table.depth == 44) & (table.initialisation == "he"), "agreement"] = (
            agreement
        )
    table.to_csv(outcomes.AGREEMENT, index=False)
    said = agreement_findings.finding({})[0]
    assert (
        "almost orthogonal in plain networks of 44 layers with He's initialisation, but not in residual ones.**" in said
    ) == almost
    assert said.startswith("**Before training, ")
    assert f"plain networks with He's initialisation {plain:.3f}, 0.000, " in said


def test_two_initialisations_are_no_trend():
    found = outcomes.gathered({})
    assert len(outcomes.deepest(found)) == 2 and agreement_findings.goes_with(found) == []


def test_what_goes_with_neither_measure():
    """Both in the order of the errors but for one, in which they go half of the way: rank correlations of 0.5."""
    measured("plain-44", (0.4, 0.44), network={"depth": 44})  # between the other two
    table = pd.read_csv(outcomes.AGREEMENT)
    for name, agreement, ratio in (("looks-linear", 0.2, 2.0), ("he", 0.3, 1.0), ("random-0.8", 0.1, 3.0)):
        one = (table.family == "plain") & (table.depth == 44) & (table.normalisation == "batch")
        table.loc[one & (table.initialisation == name), ["agreement", "gradient_ratio"]] = agreement, ratio
    table.to_csv(outcomes.AGREEMENT, index=False)
    found = outcomes.gathered({"plain-44": results.read("plain-44")})
    assert agreement_findings.goes_with(found)[0].startswith(
        "**From one initialisation to another, the training error of plain networks of 44 layers goes with neither of"
    )


def test_medians_are_ranked_not_means():
    """Where some seeds do not start, the mean is no measure of the network."""
    rows = [("He", 0.1, 50.0, 10.0, [5, 10, 135]), ("looks linear", 0.2, 30.0, 30.0, [29, 30, 31])]
    rows.append(("identity + 0.8 He", 0.3, 20.0, 20.0, [19, 20, 21]))
    found = pd.DataFrame(rows, columns=["words", "agreement", "mean", "median_error", "errors"])
    found = found.assign(errors=[pd.Series(one) for one in found.errors], ratio=found.median_error, n=3)
    found = found.assign(family="plain", depth=44, normalisation="batch", initialisation=["he", "looks-linear", "x"])
    found = found.assign(least_ratio=[10, 30, 19], most_ratio=[19, 30, 21])
    (said,) = agreement_findings.goes_with(found)
    overlap = "In 1 of 2 pairs of neighbours the errors of the seeds overlap, in 1 the largest ‖gradient‖ / ‖W‖."
    assert overlap in said
    assert "44 layers rises with the largest ‖gradient‖ / ‖W‖" in said
    assert "medians of 3 initialisations (n = 3 or more), in this order: He, identity + 0.8 He, looks linear." in said
    lowest = "He has the lowest, 10.00 %, where ‖gradient‖ / ‖W‖ is 10 and agreement 0.100"
    assert f"{lowest}; looks linear the highest, 30.00 %" in said
    for measure, words in (("ratio", "falls with the largest"), ("agreement", "rises with that agreement")):
        neither = found.assign(agreement=[0.2, 0.2, 0.2], ratio=[1, 1, 1])
        neither[measure] = -found.median_error if measure == "ratio" else found.median_error
        assert f"of 44 layers {words}" in agreement_findings.goes_with(neither)[0]


@pytest.mark.parametrize(("shuffled", "classless"), [(0.3, True), (0.2, False)])
def test_whether_what_batches_share_comes_from_the_classes(shuffled, classless):
    table = pd.read_csv(outcomes.AGREEMENT)
    deep = (table.depth == 44) & (table.initialisation == "he")
    table.loc[deep & (table.family == "plain"), "agreement"] = 0.002
    table.loc[deep & (table.family == "resnet"), "agreement"] = 0.45
    table.loc[deep & (table.family == "resnet"), "shuffled_agreement"] = shuffled
    table.to_csv(outcomes.AGREEMENT, index=False)
    said = agreement_findings.finding({})[0]
    left = " in residual ones. In the residual ones most of the agreement remains with shuffled labels, so that part"
    assert (left in said) == classless


def test_what_float32_changes():
    assert "which [float32](#precision) tests" in agreement_findings.trained_in_float32({})[0]
    measured("plain-56-signs32", (0.1, 0.3))
    measured("fp32-plain-56-signs32", (0.0, 0.02), recipe={"precision": "fp32"})
    both = {name: results.read(name) for name in ("plain-56-signs32", "fp32-plain-56-signs32")}
    (said,) = agreement_findings.trained_in_float32(both)
    assert "float32 and in bfloat16: 0.50 ± 0.71 % (n = 2) and 10.00 ± 7.07 % (n = 2), difference -9.50 pp (-" in said
    assert said.endswith("): not decided.")


def test_a_cosine_is_not_rounded_up():
    assert [agreement_findings.rounded_down(value) for value in (1.0, 0.999999, 0.999989, 0.9)] == [
        "0.99999",
        "0.99999",
        "0.99998",
        "0.90000",
    ]


def test_no_minus_before_nothing():
    assert [agreement_findings.shown(value) for value in (-0.0004, -0.32, 0.914)] == ["0.00", "-0.32", "0.91"]
    assert agreement_findings.shown(-0.0004, 3) == "0.000"
