import pandas as pd
import pytest
from matplotlib import pyplot as plt
from test_compare import card, measured, write_table

from lineage import inspection
from lineage.report import inside, probes, results


@pytest.fixture
def read(workspace):
    def read(*names):
        for name in names:
            measured(name)
        return lambda: {name: results.read(name) for name in names}

    return read


@pytest.fixture
def draw():
    """Collects what is drawn."""
    drawn = {}

    def draw(figure, name, shows):
        drawn[name] = [line.get_ydata().tolist() for axis in figure.axes for line in axis.get_lines()]
        plt.close(figure)
        return [f"![{shows}]"]

    draw.drawn = drawn
    return draw


def lesioned(name, statistics=("kept", "re-estimated")):
    rows = [
        {"block": block, "trained": trained, "statistics": how, "val_error": error + 0.3 * (how == "kept")}
        | {"correlation": 1 - error}
        for trained, errors in (("yes", (0.01, 0.02, 0.04, 0.5)), ("no", (0.8, 0.81, 0.82, 0.83)))
        for block, error in zip(("intact", "a", "b", "c"), errors, strict=True)
        for how in statistics
    ]
    write_table(f"tables/{name}/lesions", rows)


def test_lesions_of_the_trained_and_of_the_untrained_network(read, draw):
    found = read("resnet-20-signs32", "resnet34-signs")
    assert probes.lesions(found(), draw) == [] and not draw.drawn
    for name in ("resnet-20-signs32", "resnet34-signs"):
        lesioned(name)
    text = "\n".join(probes.lesions(found(), draw))
    for name in ("resnet-20-signs32", "resnet34-signs"):
        assert f"| {card(name)} | yes | 3 | 1.0 | 4.0 | 50.0 | 0.96 |" in text
        assert f"| {card(name)} | no | 3 | 80.0 | 82.0 | 83.0 | 0.18 |" in text
    assert draw.drawn == {"lesions-signs32.svg": [pytest.approx([2, 4, 50])]}  # the trained one, without `intact`


def test_a_correlation_that_is_not_defined_is_a_dash(read, draw):
    """Where all answers are the same."""
    found = read("plain-20-signs32")
    lesioned("plain-20-signs32")
    table = pd.read_csv("plots/tables/plain-20-signs32/lesions.csv").assign(correlation=float("nan"))
    write_table("tables/plain-20-signs32/lesions", table.to_dict("records"))
    text = "\n".join(probes.lesions(found(), draw))
    assert f"| {card('plain-20-signs32')} | yes | 3 | 1.0 | 4.0 | 50.0 | – |" in text and "nan" not in text


def test_what_a_block_costs_plain_and_residual_networks(read, draw):
    found = read("plain-20-signs32", "resnet-20-signs32", "plain-56-signs32")
    for name in found():
        lesioned(name)
    lines = [line for line in probes.lesions(found(), draw) if "removing one block" in line]
    assert lines == [  # of 56 layers there is no residual one
        "- SIGNS, 30 epochs, 20 layers: removing one block costs 3.0 pp in the plain network (at most 49.0) and 3.0 pp "
        "in the residual network (at most 49.0)."
    ]


def test_a_network_that_did_not_start_to_train_has_nothing_to_lose(read, draw):
    found = read("plain-20-signs32", "resnet-20-signs32")
    measured("plain-20-signs32", (0.99, 0.1))  # lesions are those of the first seed
    for name in found():
        lesioned(name)
    (line,) = [line for line in probes.lesions(found(), draw) if "removing one block" in line]
    assert "costs nothing in the plain network, which did not start to train, and 3.0 pp in the residual" in line


def test_lesions_without_batch_norm_have_the_statistics_as_they_are(read, draw):
    found = read("plain-vgg-cifar10")
    lesioned("plain-vgg-cifar10", ("kept",))
    assert "| yes | 3 | 31.0 | 34.0 | 80.0 | 0.96 |" in "\n".join(probes.lesions(found(), draw))


def test_batch_norms_statistics_as_they_are_and_re_estimated(read):
    names = ("plain-20-signs32", "plain-56-signs32", "resnet-20-signs32")
    found = read(*names)
    assert probes.batch_norm(found(), None) == []
    for name, val in zip(names, (0.75, 0.5, 0.6), strict=True):
        top1 = {("train", "kept"): 0.98, ("train", "re-estimated"): 0.99, ("val", "kept"): 0.6}
        rows = [{"part": part, "statistics": how, "top1": value} for (part, how), value in top1.items()]
        write_table(f"tables/{name}/batch-norm", [*rows, {"part": "val", "statistics": "re-estimated", "top1": val}])
    text = "\n".join(probes.batch_norm(found(), None))
    assert "the validation error is lower in 1, higher in 1 and the same in 1 of 3 networks" in text
    assert "; the largest change is 15.00 pp." in text
    assert f"| {card('plain-20-signs32')} | 2.00 | 1.00 | 40.00 | 25.00 |" in text


def test_what_lrn_divides_by_before_and_after_training(read):
    found = read("alexnet4-norm-lrn-cifar10", "alexnet4-norm-none-cifar10")
    assert probes.lrn(found(), None) == []
    numbers = {"min": 1.6818, "p05": 1.7, "median": 2.8, "p95": 6.5, "max": 20.61}
    for kind in ("lrn", "untrained-lrn"):
        rows = [{"layer": f"features.{i}"} | numbers for i in (3, 7)]
        write_table(f"tables/alexnet4-norm-lrn-cifar10/{kind}", rows)
    rows = [line for line in probes.lrn(found(), None) if line.startswith("| [")]
    assert [row.split(" | ")[1:3] for row in rows] == [[f"{w} training", n] for w in ("after", "before") for n in "12"]
    assert all(row.endswith("| 1.682 | 1.700 | 2.800 | 6.500 | 20.610 |") for row in rows)


def test_the_texts_say_how_many_images_evaluate_takes():
    assert f"on {inspection.PROBES} training images" in inside.MEASURED
    assert probes.LRN.endswith(f"On {inspection.PROBES} training images, first seed.")
    lesions = " ".join(probes.LESIONS.split())
    assert f"on at most {inspection.LESIONS:,} validation images" in lesions
    assert f"from {inspection.STATISTICS} training images" in lesions
    assert f"other statistics, and at most {inspection.JUDGED} validation images" in lesions
    judged = " ".join(probes.STATISTICS.split())
    assert judged.count(f"at most {inspection.JUDGED} ") == 2 and inspection.UNTRAINED_LESIONS == 9
