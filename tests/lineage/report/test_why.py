import json
from dataclasses import replace
from pathlib import Path

from test_compare import measured, write_table

from lineage.report import results, why


def read(*names):
    return {name: results.read(name) for name in names}


def test_why_deep_plain_networks_fail(workspace):
    """What is changed, whether it trained, and where it was measured how its training began."""
    measured("plain-110-signs32", (0.98, 0.99))
    lines = "\n".join(why.section(read("plain-110-signs32"), None))
    assert "| nothing | 0 of 2 | 49.25 ± 0.35 |" in lines and "before the first step" not in lines
    assert "Not run yet: [plain-20-signs32]" in lines
    measured("plain-110-signs32-dirac", (0.02, 0.04))
    ratios = [{"seed": seed, "layer": "stem.0", "initial_gradient_ratio": 0.13 + seed} for seed in range(2)]
    write_table("tables/plain-110-signs32-dirac/beginnings", ratios)
    lines = "\n".join(why.section(read("plain-110-signs32", "plain-110-signs32-dirac"), None))
    assert "largest ‖gradient‖ / ‖W‖ before the first step" in lines
    dirac = "Dirac initialisation"
    assert f"| {dirac} | 0.13 … 1.1 | 2 of 2 | 1.50 ± 0.71 |" in lines
    for layers, where in ((("head", "stem.0"), " (last layer in 1 of 2)"), (("head", "head"), " (last layer)")):
        rows = [one | {"layer": layer} for one, layer in zip(ratios, layers, strict=True)]
        write_table("tables/plain-110-signs32-dirac/beginnings", rows)
        changed = "\n".join(why.section(read("plain-110-signs32", "plain-110-signs32-dirac"), None))
        assert f"| {dirac} | 0.13 … 1.1{where} | 2 of 2 |" in changed
    assert "| nothing | not measured | 0 of 2 |" in lines
    assert why.section({}, None) == []


def test_why_is_concluded_from_what_was_tried(workspace):
    """Limits on the steps that do not help, and an initialisation that does."""
    dirac, trust = {"initialisation": "dirac"}, {"trust": 0.02}
    names = [f"plain-110-signs32{kind}" for kind in ("", "-trust", "-dirac")]
    concluded = "experiments.md#plain-110-signs32) started with the limits on the steps that were tried"
    measured(names[0], (0.98, 0.99))
    measured(names[1], (0.97, 0.99), recipe=trust)
    assert concluded not in "\n".join(why.section(read(*names[:2]), None))
    measured(names[2], (0.02, 0.04), network=dirac)
    text = "\n".join(why.section(read(*names), None))
    assert concluded in text and "With another initialisation seeds started" in text
    limited = (
        "| the step of each kernel limited to 2 % of its norm, those of batch norm's parameters not limited | 0 of 2 |"
    )
    assert limited in text
    without = {"normalisation": "none"}
    measured("plain-110-signs32-no-norm", (0.98, 0.99), network=without)
    names.append("plain-110-signs32-no-norm")
    assert "may be too small" not in "\n".join(why.section(read(*names), None))  # it was not measured
    write_table(f"tables/{names[-1]}/beginnings", [{"seed": 0, "layer": "stem.0", "initial_gradient_ratio": 0.0025}])
    said = "may be too small: the largest ‖gradient‖ / ‖W‖ is 0.0025 there, times a learning rate of 1."
    assert said in "\n".join(why.section(read(*names), None))
    measured("plain-110-signs32-clip", (0.98, 0.99), recipe={"clip": 1})  # another limit that does not help
    assert concluded in "\n".join(why.section(read(names[0], "plain-110-signs32-clip", names[2]), None))
    measured(names[1], (0.02, 0.99), recipe=trust)  # a limit that helps one seed
    assert concluded not in "\n".join(why.section(read(*names), None))
    measured(names[0], (0.02, 0.99))  # a network that starts as it is
    assert "may be too small" not in "\n".join(why.section(read(*names), None))


def test_networks_on_other_data_do_not_count(workspace):
    names = ["plain-110-signs32", "plain-110-signs32-trust", "plain-110-signs32-dirac"]
    for name, errors, recipe in zip(names, (0.98, 0.98, 0.02), ((), {"trust": 0.02}, ()), strict=True):
        network = {"initialisation": "dirac"} if "dirac" in name else {}
        measured(name, (errors, errors), recipe=recipe, network=network)
    found = read(*names)
    assert why.concluded(found)
    other = found[names[1]].experiment.model_copy(update={"dataset": "feet"})
    found[names[1]] = replace(found[names[1]], experiment=other)
    assert why.concluded(found) == []


def test_networks_of_other_kinds_have_no_part_in_it(workspace, monkeypatch):
    """They may stand in the block `why`, and have neither a depth nor shortcuts."""
    measured("plain-110-signs32", (0.98, 0.99))
    measured("lenet5-cifar10")
    for place in ("recipes/experiments/lenet5-cifar10", "plots/tables/lenet5-cifar10/experiment"):
        path = Path(f"{place}.json")
        about = json.loads(path.read_text()) | {"model": "lenet", "network": {}}
        path.write_text(json.dumps(about))
    monkeypatch.setitem(why.WHY, "lenet5-cifar10", "another network")
    lines = "\n".join(why.section(read("plain-110-signs32", "lenet5-cifar10"), None))
    assert "| another network | 2 of 2 |" in lines
