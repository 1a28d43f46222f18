from dataclasses import replace

from test_compare import measured, write_table
from test_findings import SIGNS, degrade, measure, one, said

from lineage.report import study

FAILED = "ended above 80 % of the error at chance level"


def test_what_did_not_start_is_no_difference_in_percentage_points(workspace):
    degraded = degrade()
    line = one(degraded, "did not start to train")
    assert "[plain-110-signs32](experiments.md#plain-110-signs32): 5 of 5 seeds" in line and "p = 0.0079" in line
    residual = "With shortcuts, [resnet-110-signs32](experiments.md#resnet-110-signs32): 0 of 5 (*[holds]"
    assert residual in line and "(#claim-shortcut-start)*, exploratory, p = 0.0079)." in line
    assert " pp" not in line


def test_what_was_measured_of_a_network_that_did_not_start(workspace, monkeypatch):
    """How far a first step turns the weights before training, and after it that of the first layer."""
    degrade()
    layers = [{"layer": f"stages.{i}", "gradient": 10.0**-i, "weight": 40, "response": 0.5} for i in range(4)]
    write_table("tables/plain-110-signs32/layers", layers)
    ratios = [{"seed": seed, "layer": "stem.0", "initial_gradient_ratio": 3e6 + 1e6 * seed} for seed in range(5)]
    write_table("tables/plain-110-signs32/beginnings", ratios)
    elsewhere = replace(study.GROUPS["signs32"], unlike={110: "the network of 110 layers ran elsewhere"})
    monkeypatch.setitem(study.GROUPS, "signs32", elsewhere)
    line = one(said(*SIGNS), "did not start to train")
    assert "p = 0.0079). The network of 110 layers ran elsewhere. With shortcuts, [resnet-110-signs32](" in line
    before = "the largest ‖gradient‖ / ‖W‖ of any layer is 3,000,000 … 7,000,000 (over the seeds)."
    assert line.endswith(f" Before training {before} After training, that of the first layer is 0.025 (first seed).")
    ratios = [{"layer": "stem.0", "initial_gradient_ratio": ratio} for ratio in (0.3, 0.6)]
    write_table("tables/plain-20-signs32/beginnings", ratios)
    shallow = "(over the seeds; [plain-20-signs32](experiments.md#plain-20-signs32): 0.3 … 0.6). After training,"
    assert shallow in one(said(*SIGNS), "did not start to train")


def test_some_seeds_are_not_some_networks(workspace):
    degrade()
    measured("plain-110-signs32", (0.30, 0.34, 0.36, 0.33, 0.99))
    line = one(said(*SIGNS), "did not start to train")
    assert "**Some seeds of deep plain networks did not start to train.**" in line
    assert f"[plain-110-signs32](experiments.md#plain-110-signs32): 1 of 5 seeds {FAILED}" in line
    assert "After training" not in line  # which is measured of the first seed, and that has started


def test_seeds_that_diverged_did_not_stay_near_guessing(workspace):
    degrade()
    measured("plain-110-signs32", (0.99, 0.98, 0.97, 0.99, 0.98), diverged=True)
    line = one(said(*SIGNS), "did not start to train")
    assert "5 of 5 seeds did not start or diverged" in line and "ended above" not in line


def test_a_network_that_failed_is_told_although_a_deeper_one_started(workspace):
    degrade()
    names = [f"plain-{depth}-cifar10" for depth in (20, 44, 56)]
    measure(names, ((0.1, 0.12, 0.1), (0.98, 0.97, 0.99), (0.3, 0.31, 0.3)))
    line = one(said(*SIGNS, *names), "did not start to train")
    assert f"[plain-44-cifar10](experiments.md#plain-44-cifar10): 3 of 3 seeds {FAILED}" in line
    assert "plain-56-cifar10" not in line


def test_networks_of_which_all_seeds_failed_are_not_only_some_seeds(workspace):
    """Whatever comes after them."""
    degrade()
    names = ["plain-20-cifar10", "plain-56-cifar10"]
    measure(names, ((0.1, 0.12, 0.1), (0.3, 0.31, 0.99)))
    assert "**Some deep plain networks did not start" in one(said(*SIGNS, *names), "seeds are counted.")


def test_the_dirac_initialisation(workspace):
    degraded = degrade()
    assert not any("Dirac" in line for line in degraded)
    measured("plain-110-signs32-dirac", (0.4, 0.3, 0.5))
    line = one(
        said(*SIGNS, "plain-110-signs32-dirac"),
        "3 of 3 seeds of plain networks of 110 layers started to train, without it 0 of 5.**",
    )
    assert (
        "[plain-110-signs32](experiments.md#plain-110-signs32) 0 of 5 seeds started, training error 48.80 ± 0.57 %"
        in line
    )
    assert "3 of 3 seeds started, training error 20.00 ± 5.00 %" in line
    assert "*[holds](#claim-dirac-start)*, exploratory, p = 0.018" in line
    measured("plain-56-signs32-dirac", (0.02, 0.03, 0.02))  # beside it, what it does to networks that start anyway
    both = one(said(*SIGNS, "plain-110-signs32-dirac", "plain-56-signs32-dirac"), "started to train, without it 0 of 5")
    better = "Plain networks of 56 layers probably train better with the Dirac initialisation (SIGNS, 30 epochs)."
    assert f"0 of 5.** **{better}** This" in both
    measured("plain-110-signs32-dirac", (0.97, 0.98, 0.99))
    assert one(said(*SIGNS, "plain-110-signs32-dirac"), "with the Dirac initialisation is not decided")
    measured("plain-56-signs32-dirac", (0.02, 0.03, 0.02))  # an exploratory comparison that holds
    line = one(
        said(*SIGNS, "plain-56-signs32-dirac"), "Plain networks of 56 layers probably train better with the Dirac"
    )
    assert "ran on" not in line


ELSEWHERE = " ran on an AMD EPYC, {} on an Intel Xeon with AMX, so a part of the difference may come from that."


def test_where_the_dirac_initialisation_is_not_all_that_differs(workspace):
    measured("plain-56-cifar10", (0.36, 0.35, 0.37, 0.36), network={"depth": 56})
    measured("plain-56-cifar10-dirac", (0.2, 0.19, 0.21, 0.2), network={"depth": 56})
    opening = "Plain networks of 56 layers probably train better with the Dirac initialisation (CIFAR-10, 12 epochs).**"
    line = one(said("plain-56-cifar10", "plain-56-cifar10-dirac"), opening)
    who, other = "The network with the usual initialisation", "that with Dirac's"
    assert line.endswith(f"*[holds](#claim-dirac-train)*, exploratory). {who}{ELSEWHERE.format(other)}")


def test_what_the_dirac_initialisation_leaves(workspace):
    measured("plain-56-cifar10-dirac", (0.2, 0.19, 0.21, 0.2), network={"depth": 56})
    measured("resnet-56-cifar10", (0.1, 0.11, 0.1, 0.11))
    measured("plain-20-cifar10", (0.21, 0.2, 0.19, 0.2))
    lines = said("plain-56-cifar10-dirac", "resnet-56-cifar10", "plain-20-cifar10")
    line = one(lines, "higher test error")
    who = "**Plain networks of 56 layers with the Dirac initialisation"
    opening = f"{who} probably have a higher test error than residual ones"
    assert f"{opening} with the usual initialisation (CIFAR-10, 12 epochs).**" in line
    errors = (
        "20.00 ± 0.82 % (n = 4), [resnet-56-cifar10](experiments.md#resnet-56-cifar10) 10.50 ± 0.58 % (n = 4), "
        "difference +9.50 pp"
    )
    assert f"Test error: [plain-56-cifar10-dirac](experiments.md#plain-56-cifar10-dirac) {errors}" in line
    assert "*[holds](#claim-dirac-gap)*, exploratory. Training error: [plain-56-cifar10-dirac]" in line
    assert line.endswith(f"The residual network{ELSEWHERE.format('the plain one')}")
    line = one(lines, "a higher training error than shallow ones with the usual initialisation is not decided")
    trained = "10.00 ± 0.41 % (n = 4), [plain-20-cifar10](experiments.md#plain-20-cifar10) 10.00 ± 0.41 % (n = 4)"
    shown = f"Training error: [plain-56-cifar10-dirac](experiments.md#plain-56-cifar10-dirac) {trained}, difference +0"
    assert shown in line and "(#claim-dirac-depth)*, exploratory. Test error: [plain-56" in line
    assert "The networks of 20 layers ran on an Intel Xeon without AMX, those with the Dirac initialisation on" in line
    measured("plain-20-cifar10", (0.41, 0.4, 0.39, 0.4))
    lower = (
        "probably have a lower training error than shallow ones with the usual initialisation (CIFAR-10, 12 epochs)."
    )
    assert lower in one(said("plain-56-cifar10-dirac", "plain-20-cifar10"), "shallow ones")
