import re
from pathlib import Path

import numpy as np
from test_compare import measured
from test_findings import one, said

NONE, LRN, BATCH = (f"alexnet4-norm-{norm}-cifar10" for norm in ("none", "lrn", "batch"))
HIGH, LOW = (0.40, 0.41, 0.42, 0.40, 0.41), (0.20, 0.21, 0.20, 0.19, 0.20)


def test_a_part_that_lowers_the_test_error(workspace):
    measured(NONE, HIGH, recipe={"lr": 0.1})
    measured(LRN, LOW, recipe={"lr": 0.1})
    line = one(said(NONE, LRN), "LRN")
    assert "**Local response normalisation (LRN) probably lowers the test error of a four-layer network" in line
    first, second = (
        line.index("40.80 ± 0.84 % (n = 5), [alex"),
        line.index("20.00 ± 0.71 % (n = 5), difference +20.80 pp"),
    )
    assert first < second
    assert "*[holds](#claim-lrn-helps)*, exploratory." in line
    trained = f"[{NONE}](experiments.md#{NONE}) 20.40 ± 0.42 % (n = 5), [{LRN}](experiments.md#{LRN}) 10.00 ± 0.35 % ("
    assert f"Training error: {trained}n = 5). All three normalisations have one recipe, which was chosen for" in line
    assert "LRN's alpha was not tuned ([" in line and "earning rate" not in line
    measured(LRN, LOW, recipe={"lr": 0.03})
    assert "(n = 5). Learning rates 0.1 and 0.03. All three" in one(said(NONE, LRN), "LRN")


def test_one_that_raises_it_or_does_not_lower_it(workspace):
    measured(LRN, LOW)
    measured(BATCH, HIGH)
    line = one(said(LRN, BATCH), "Batch norm instead of LRN probably raises the test error of a four-layer network")
    assert "difference -20.80 pp" in line and "*[reversed](#claim-batch-norm)*" in line
    measured(BATCH, LOW[::-1])
    line = one(said(LRN, BATCH), "Batch norm instead of LRN probably does not lower the test error of a four-layer")
    assert " by 8.33 pp or more.**" in line  # one of 12 test images
    assert "*[does not hold](#claim-batch-norm)*" in line


def test_what_is_not_decided_or_cannot_be_compared(workspace):
    measured("plain-vgg-cifar10", (0.3, 0.1, 0.2))
    measured("residual-vgg-cifar10", (0.2, 0.3, 0.1))
    measured("residual-vgg-projection-cifar10", (1.0, 0.1, 0.2))
    measured("residual-vgg-always-convolved-cifar10", (0.01, 0.02, 0.01))
    kinds = ("", "-projection", "-always-convolved")
    lines = said("plain-vgg-cifar10", *(f"residual-vgg{kind}-cifar10" for kind in kinds))
    own = one(
        lines, "S0's shortcut (a convolution) in every block lowers the test error of VGG on CIFAR-10 is not decided"
    )
    assert "[residual-vgg-always-convolved-cifar10](" in own and "*[not decided](#claim-vgg-shortcut)*" in own
    opening = "**Whether an identity shortcut in every block lowers the test error of VGG on CIFAR-10 is not decided.**"
    assert opening in one(lines, "an identity shortcut")
    assert "parameters" not in own
    table = Path("plots/tables/residual-vgg-always-convolved-cifar10/provenance.csv")
    table.write_text(table.read_text().replace("1234567", "1543209"))
    own = one(said("plain-vgg-cifar10", "residual-vgg-always-convolved-cifar10"), "S0's shortcut (a convolution)")
    assert "The second network has 25 % more parameters. With S0's shortcuts only one learning rate [was tried" in own
    line = one(lines, "a projection")
    assert "**Whether a projection instead of the identity where the channels differ lowers the test error" in line
    assert "did not start to train: 0 of 3 against 1 of 3 seeds" in line


RELU, TANH, SIGMOID = (f"alexnet4-{name}-cifar10" for name in ("relu", "tanh", "sigmoid"))


def test_the_speed_of_the_activations(workspace):
    """The error of an epoch is the first one's over its number: 0.25 in epoch 2, at 1.5 epochs, if that is 0.5."""
    measured(RELU, (0.5, 0.51, 0.5, 0.49), epochs=6, recipe={"lr": 0.01})
    assert not [line for line in said(RELU) if "sooner" in line]
    measured(TANH, (1.0, 0.99, 1.0, 1.0), epochs=6)
    opening = "ReLU probably reaches a training error of 25 % sooner than tanh.**"
    first, *lines = one(said(RELU, TANH), opening).split("\n    - ")
    assert "Tanh has learning rate 1, ReLU 0.01, each chosen with the first seed" in lines[0]
    assert re.search(
        r"Without that seed \(n = 3 / 3\) the difference is \+1\.98 epochs \(.*?\): \*leans\*, too few seeds", lines[0]
    )
    assert first.endswith("Epochs until then, in a four-layer network (cuda-convnet's *layers-18pct*) on CIFAR-10.")
    ends = f"[{TANH}](experiments.md#{TANH}) 3.49 ± 0.02 (there), [{RELU}](experiments.md#{RELU}) 1.51 ± 0.03 (there)"
    ends = ends.replace("there", "4 of 4 seeds get there")
    assert lines[0].startswith(f"{ends}, difference +1.98 epochs (") and "*[holds](#claim-relu-tanh)*" in lines[0]
    assert lines[1].startswith("Krizhevsky et al. (2012) say six times as fast: × 2.31 (") and "#claim-six" in lines[1]
    slow = np.mean([np.interp(0.4, [error / 3, error / 2], [2.5, 1.5]) for error in (1.0, 0.99, 1.0, 1.0)])
    fast = np.mean([np.interp(0.4, [error / 2, error], [1.5, 0.5]) for error in (0.5, 0.51, 0.5, 0.49)])
    assert lines[2].startswith("Epochs of tanh minus those of ReLU, until the training error is 50 %: ")
    assert f", 40 %: {slow - fast:+.2f} epochs (" in lines[2] and ", 30 %: " in lines[2]
    assert "10 %" not in lines[2]  # tanh never gets there
    measured(SIGMOID, (1.0, 1.0, 1.0, 0.4), epochs=3)
    line = one(said(RELU, SIGMOID), "sooner than the sigmoid")
    assert "1.25 (1 of 4 seeds get there), [alexnet4-relu" in line and "six times" not in line
    assert "The sigmoid ran on an Intel Xeon, ReLU on an AMD EPYC, so a part of the difference may come from" in line
    measured(SIGMOID, (0.9,) * 4, epochs=3)
    assert "[alexnet4-sigmoid-cifar10](experiments.md#alexnet4-sigmoid-cifar10) never (0 of 4 seeds get there)" in one(
        said(RELU, SIGMOID), "sooner than the sigmoid"
    )
    measured(TANH, (0.3, 0.31, 0.3, 0.3), epochs=6)
    measured(RELU, (1.0, 0.99, 1.0, 1.0), epochs=6)
    assert one(said(RELU, TANH), "**ReLU probably reaches a training error of 25 % later than tanh.**")


def test_a_part_without_its_counterpart_is_left_out(workspace):
    measured(LRN, LOW)
    assert not [line for line in said(LRN) if "LRN" in line]
