import re
from dataclasses import replace

import pytest
from test_compare import measured
from test_findings import ALL, FEW, MANY, SIGNS, degrade, measure, one, said

from lineage.report import results, study
from lineage.report.depth import degradation


def test_degradation_has_its_numbers_interval_and_links(workspace):
    degraded = degrade()
    line = one(degraded, "Plain networks of 56 layers train worse than shallow ones")
    assert "[plain-56-signs32](experiments.md#plain-56-signs32) 16.50 ± 1.12 % (n = 5)" in line
    assert re.search(
        r"difference \+15\.30 pp \(\+1\d\.\d\d … \+1\d\.\d\d\), \*\[holds\]\(#claim-plain-train\)\*, primary", line
    )
    assert "plain-110" not in line


def test_what_other_groups_say_is_not_left_out(workspace):
    degrade()
    names = ["plain-20-signs32-long", "plain-56-signs32-long"]
    measure(names, ((0.02, 0.03, 0.04), (0.01, 0.03, 0.35)))
    line = one(said(*SIGNS, *names), "Plain networks of 56 layers probably do worse than shallow ones on the test set")
    opening, here, there = line.split("\n    - ")
    assert opening.endswith("on the test set (SIGNS, 30 epochs).**") and here.startswith(
        "SIGNS, 30 epochs, 56 layers: [p"
    )
    assert there.startswith("SIGNS, 100 epochs, 56 layers: 13.00 against 3.00 % (n = 3 / 3), difference +10.00 pp (")
    assert there.endswith("*[not decided](#claim-plain-test)*, exploratory.")
    line = one(said(*SIGNS, *names), "Plain networks of 56 layers train worse than shallow ones")
    assert "\n    - SIGNS, 100 epochs, 56 layers: " in line and " % (n = 3 / 3), difference +5.00 pp (" in line


def test_the_scope_of_several_groups_is_what_their_titles_share(workspace):
    degrade()
    names = ["plain-20-signs32-low-lr", "plain-56-signs32-low-lr"]
    measure(names, (FEW, MANY))
    line = one(said(*SIGNS, *names), "Plain networks of 56 layers train worse than shallow ones")
    opening, usual, low = line.split("\n    - ")
    assert opening.endswith("shallow ones (SIGNS, 30 epochs).** Error on the training images.")
    assert usual.startswith("SIGNS, 30 epochs, 56 layers: [plain-56-signs32]") and usual.endswith("primary.")
    assert low.startswith("SIGNS, 30 epochs, learning rate 0.03, 56 layers: [plain-56-signs32-low-lr]")
    measured("plain-56-signs32", (0.04, 0.05, 0.05, 0.06, 0.7))  # the primary comparison
    line = one(said(*SIGNS, *names), "Plain networks of 56 layers probably train worse than shallow ones")
    assert "ones (SIGNS, 30 epochs, learning rate 0.03); the primary comparison is not decided.**" in line


def test_what_else_differs_between_depths_is_said_with_each_comparison(workspace, monkeypatch):
    alike = degrade()
    unlike = replace(study.GROUPS["signs32"], unlike=dict.fromkeys((56, 110), "networks of 20 layers ran elsewhere"))
    monkeypatch.setitem(study.GROUPS, "signs32", unlike)
    text = "Networks of 20 layers ran elsewhere, so a part of the difference may come from that."
    for opening, times in (
        ("Plain networks of 56 layers train worse than shallow ones", 1),  # 110 layers: not compared
        ("Plain networks of 56 layers probably do worse than shallow ones on the test set", 1),
        ("More layers probably raise the test error of residual networks", 2),
        ("Shortcuts lower the test error of networks of 56 layers", 0),  # at one depth
    ):
        assert one(said(*SIGNS), opening).count(text) == times and text not in one(alike, opening)
    other = replace(unlike, unlike={110: "networks of 20 layers ran elsewhere"})
    monkeypatch.setitem(study.GROUPS, "signs32", other)
    lines = said(*SIGNS)  # of another depth nothing is said
    assert text not in one(lines, "Plain networks of 56 layers train worse than shallow ones")
    assert one(lines, "More layers probably raise the test error of residual networks").count(text) == 1
    note = (
        "Networks of 20 layers ran elsewhere. **These networks were trained for 3 epochs, not for 30 epochs.** For some"
    )
    lines = degradation({name: results.read(name) for name in SIGNS}, lambda *_: [])
    assert any(line.startswith(note) for line in lines)


def test_degradation_on_the_test_set_is_a_finding_of_its_own(workspace):
    degraded = degrade()
    line = one(degraded, "Plain networks of 56 layers probably do worse than shallow ones on the test set")
    assert "[plain-56-signs32](experiments.md#plain-56-signs32) 33.00 ± 2.24 % (n = 5)" in line
    assert re.search(r"difference \+30\.60 pp \(.*\), \*\[holds\]\(#claim-plain-test\)\*, exploratory", line)


def test_what_leans_is_not_said_as_a_fact(workspace):
    measure(SIGNS, (FEW[:3], MANY[:3], ALL[:3], FEW[:3], FEW[:3], FEW[:3]))
    lines = said(*SIGNS)
    assert "*[leans](#claim-plain-test)*" in one(
        lines, "Plain networks of 56 layers probably do worse than shallow ones on the test set"
    )
    assert "*[leans](#claim-shortcut-test)*" in one(lines, "Shortcuts probably lower the test error")


def test_a_primary_comparison_is_named_whatever_came_of_it(workspace):
    """Seeds that are all worse, but so far apart that the interval of the mean includes 0."""
    measure(SIGNS, (FEW, (0.04, 0.05, 0.05, 0.06, 0.7), ALL, FEW, FEW, FEW))
    line = one(said(*SIGNS), "Whether plain networks of 56 layers train worse than shallow ones is not decided")
    assert "difference +7.80 pp (-" in line and "*[not decided](#claim-plain-train)*, primary." in line
    assert "Each of the 5 seeds is above each of the 5 others" in line and "(2.00 to 35.00 %)" in line
    assert re.search(r"Training loss, which the verdict does not consider: × \d\.\d+ \(\d\.\d+ … \d+\.?\d*\)\.", line)
    line = one(said(*SIGNS), "Whether shortcuts lower the test error of networks of 56 layers is not decided")
    assert "(4.00 to 70.00 %)" in line
    measured("plain-56-signs32", (0.01, 0.05, 0.05, 0.06, 0.7))
    assert "is above each" not in one(said(*SIGNS), "Whether plain networks of 56 layers train")


def test_a_middle_depth_that_says_otherwise_is_not_in_the_opening(workspace):
    """It is said below."""
    degrade()
    names = [f"{family}-{depth}-cifar10" for family in ("plain", "resnet") for depth in (20, 44, 56)]
    measure(names, (FEW, FEW, MANY, FEW, MANY, FEW))
    opening, _, _, middle, *_ = one(said(*SIGNS, *names), "hortcuts lower the test error").split("\n    - ")
    assert opening.endswith(
        "**Shortcuts lower the test error of networks of 56 layers (SIGNS, 30 epochs; CIFAR-10, 12 epochs).**"
    )
    assert middle.startswith("CIFAR-10, 12 epochs, 44 layers: ") and "*[reversed](#claim-shortcut-test)*" in middle


def test_networks_of_several_depths_are_called_deep(workspace):
    degrade()
    names = ["plain-18-cifar100", "plain-34-cifar100"]
    measure(names, (FEW, MANY))
    line = one(said(*SIGNS, *names), "Deep plain networks probably do worse than shallow ones on the test set")
    assert "\n    - CIFAR-100, 30 epochs, 34 layers: [plain-34-cifar100]" in line


def test_the_depth_in_the_opening_is_that_which_it_rests_on(workspace):
    """Not that of a deeper network in another group, on which the claim only leans."""
    degrade()
    names = ["plain-20-signs32-dirac", "plain-110-signs32-dirac"]
    measure(names, (FEW[:3], MANY[:3]))
    line = one(said(*SIGNS, *names), "Plain networks of 56 layers train worse than shallow ones (SIGNS, 30 epochs).**")
    assert "\n    - SIGNS, 30 epochs, Dirac initialisation, 110 layers: " in line and "*[leans](" in line


def test_what_a_reversed_claim_says_of_the_loss(workspace):
    measure(SIGNS[3:], ((0.0001,) * 2 + (0.0002,) * 3, (0.004,) * 2 + (0.005,) * 3, FEW))
    line = one(said(*SIGNS[3:]), "residual networks on the test set")
    said_of_it = (
        "Depth probably raises it (exploratory): the claim that it does not is *[reversed](#claim-residual-train)*"
    )
    assert said_of_it in line


# a group of one depth has no networks that are not deep
ALONE = {("plain", 56): "plain-56-signs32", ("resnet", 56): "resnet-56-signs32"}


def test_shallow_networks_say_nothing_about_shortcuts_in_deep_ones(workspace, monkeypatch):
    degrade()
    for family, errors in (("plain", MANY), ("resnet", FEW)):
        measured(f"{family}-20-cifar10", errors[:3])
    shallow = ["plain-20-cifar10", "resnet-20-cifar10"]
    line = one(said(*SIGNS, *shallow), "Shortcuts lower the test error of networks of 56 layers")
    opening, deep, small = line.split("\n    - ")
    assert opening.endswith("(SIGNS, 30 epochs).**") and "[resnet-56-signs32]" in deep
    claim = "(#claim-shortcut-test)*, exploratory"
    assert small == (
        "In networks that are not deep: "
        "SIGNS, 30 epochs, 20 layers: 2.40 against 2.40 % (n = 5 / 5), "
        f"difference +0.00 pp (-0.80 … +0.80), *[does not hold]{claim}; "
        "CIFAR-10, 12 epochs, 20 layers: 33.33 against 2.33 % (n = 3 / 3), "
        f"difference +31.00 pp (+23.75 … +38.25), *[leans]{claim}."
    )
    with monkeypatch.context() as patched:
        patched.setitem(study.GROUPS, "signs32", replace(study.GROUPS["signs32"], members=ALONE))
        assert "not deep" not in one(said(*SIGNS), "hortcuts lower the test error of networks of 56 layers")
    alone = one(said(*shallow), "Whether shortcuts lower the test error of deep networks is not decided.**")
    assert "** In networks that are not deep: CIFAR-10, 12 epochs, 20 layers: 33.33 against 2.33 % (n = 3" in alone


def test_what_depth_does_to_residual_networks_on_the_test_set(workspace):
    degraded = degrade()
    line = one(degraded, "More layers probably raise the test error of residual networks (SIGNS, 30 epochs).**")
    assert (
        "110-signs32) 16.40 ± 0.55 % (n = 5), difference -14.00 pp (-" in line
        and "*[reversed](#claim-residual-test)*" in line
    )
    assert "\n    - SIGNS, 30 epochs, 56 layers: [resnet-20-signs32](" in line  # the others, too
    assert "the test set has only 12 images" in line  # the test set of this miniature


def test_what_depth_does_to_the_training_error_of_residual_networks(workspace):
    """Above the floor the errors are compared, at the floor the losses."""
    line = one(degrade(), "More layers probably raise the test error of residual networks")
    _, middle, deep = line.split("\n    - ")
    training = "Training error: [resnet-110-signs32](experiments.md#resnet-110-signs32) 8.20 ± 0.27 % (n = 5), "
    assert training in deep and "*[reversed](#claim-residual-train)*, exploratory (the claim is that depth" in deep
    assert "*[holds](#claim-residual-train)*" in middle
    for name in SIGNS[3:]:
        measured(name, (0.001, 0.002, 0.001, 0.002, 0.001))
    line = one(said(*SIGNS[3:]), "residual networks on the test set")
    assert "Training error:" not in line and "so the training losses are compared" in line


def test_residual_networks_are_a_finding_whatever_came_of_them(workspace):
    measure(SIGNS[3:], (FEW, FEW, (0.01, 0.5, 0.01, 0.3, 0.0)))
    line = one(said(*SIGNS[3:]), "Whether more layers help residual networks on the test set is not decided")
    assert "[resnet-110-signs32](experiments.md#resnet-110-signs32) 16.40 ±" in line
    measure(SIGNS[3:], (MANY, FEW, FEW))
    one(said(*SIGNS[3:]), "More layers probably help residual networks on the test set")
    for depth, errors in ((20, FEW), (56, MANY)):
        measured(f"resnet-{depth}-signs32-long", errors)
    both = said(*SIGNS[3:], "resnet-20-signs32-long", "resnet-56-signs32-long")
    one(both, "Whether more layers help residual networks on the test set may depend on the setting")
    measured("resnet-110-signs32", ALL)  # it does not start to train
    line = one(said(*SIGNS[3:]), "Whether more layers help residual networks")
    assert (
        "% (n = 5), *[not compared](#claim-residual-test)*, did not start to train: 0 of 5 against 5 of 5 seeds" in line
    )


def test_a_primary_comparison_against_the_claim_is_said(workspace):
    measure(SIGNS, (FEW, FEW, ALL, FEW, FEW, FEW))
    line = one(said(*SIGNS), "Plain networks of 56 layers probably do not train worse than shallow ones by 0.5 pp")
    assert "*[does not hold](#claim-plain-train)*, primary" in line


def test_more_epochs_and_whether_it_was_the_warm_up(workspace):
    names, usual = ["plain-20-signs32-long", "plain-56-signs32-long"], "plain-56-signs32"
    measured(usual, (0.2, 0.3, 0.25))
    for name, errors in zip(names, ((0.0001, 0.0002, 0.0003), (0.004, 0.005, 0.0045)), strict=True):
        measured(name, errors, recipe={"warm_up_steps": 2})
    assert "warm-up" not in one(said(*names, usual), "With more epochs")  # the same number of steps whatever the run
    assert not any("With more epochs" in line for line in said(*names))  # nothing is known of fewer
    measured(usual, (0.002, 0.003, 0.002))
    assert not any("With more epochs" in line for line in said(*names, usual))  # it had fallen before
    measured(usual, (0.2, 0.3, 0.25))
    for name, errors in zip(names, ((0.0001, 0.0002, 0.0003), (0.004, 0.005, 0.0045)), strict=True):
        measured(name, errors, recipe={"warm_up": 0.25})
    line = one(said(*names, usual), "With more epochs")
    assert (
        "falls to almost 0 (SIGNS, 100 epochs); their loss probably stays above" in line
        and "*[leans](#claim-plain-train)*" in line
    )
    assert "more steps and a gentler beginning cannot be told apart" in line
    control = "plain-56-signs32-long-short-warm-up"
    measured(control, (0.002, 0.004))
    line = one(said(*names, usual, control), "With more epochs")
    has = "0.15 ± 0.07 % (n = 2). Test error with the short warm-up 0.30 ± 0.14 %, with the long one 0.45 ± 0.05 %, "
    has += "difference -0.15 pp ("
    assert f"with the short one [{control}](experiments.md#{control}) has {has}" in line
    assert line.endswith("), exploratory: so few seeds cannot decide.")
    assert "cannot be told apart" not in line and "The longer warm-up alone is not the reason:" in line
    measured(control, (0.002, 0.004), network={"depth": 8})  # a control of another depth is none
    assert "cannot be told apart" in one(said(*names, usual, control), "With more epochs")
    measured(control, (0.2, 0.4))  # the short warm-up spoils it
    line = one(said(*names, usual, control), "With more epochs")
    assert "The longer warm-up alone" not in line
    assert f"With the short warm-up [{control}](experiments.md#{control}) has 15.00 ± 7.07 %" in line
    assert "so the longer warm-up may be what helps." in line


@pytest.mark.parametrize(
    ("errors", "said_of_the_loss"),
    [
        ((0.0011, 0.0012, 0.0010, 0.0012, 0.0011), "their loss probably does not stay above the shallow ones'"),
        ((0.0001, 0.005, 0.0001, 0.005, 0.0002), "whether their loss stays above the shallow ones' is not decided"),
    ],
)
def test_more_epochs_may_take_the_loss_down_as_well(workspace, errors, said_of_the_loss):
    measured("plain-56-signs32", (0.2, 0.3, 0.25))
    measured("plain-20-signs32-long", (0.0010, 0.0012, 0.0011, 0.0010, 0.0012))
    measured("plain-56-signs32-long", errors)
    names = ["plain-56-signs32", "plain-20-signs32-long", "plain-56-signs32-long"]
    assert f"(SIGNS, 100 epochs); {said_of_the_loss}.**" in one(said(*names), "With more epochs")


def test_more_epochs_where_the_verdicts_on_the_loss_differ(workspace):
    names = [f"plain-{depth}-{group}" for group in ("signs32", "cifar10") for depth in (20, 56)]
    names += [f"{name}-long" for name in names]
    low, high, either = (0.0001,) * 2 + (0.0002,), (0.004,) * 2 + (0.005,), (0.0001, 0.005, 0.0001)
    errors = [low, (0.2, 0.3, 0.25), low, (0.2, 0.3, 0.25), low, high, low, either]
    measure(names, errors)
    line = one(said(*names), "With more epochs")
    assert "(SIGNS, 100 epochs; CIFAR-10, 36 epochs); the verdicts on whether their loss stays above" in line
