import re
from pathlib import Path

from test_compare import card, measured

from lineage.report import page, results
from lineage.report.published import ANSWERS

SIGNS = [f"{family}-{depth}-signs32" for family in ("plain", "resnet") for depth in (20, 56)]


def full_page(*names):
    for name in names:
        measured(name, (0.3, 0.31, 0.32, 0.3) if name == "plain-56-signs32" else (0.02, 0.03, 0.02, 0.03))
    return page.results({name: results.read(name) for name in names}, ["resnet34-signs"], Path("figures"), "full")


def test_a_page_without_any_results(workspace):
    lines = page.results({}, ["vgg16-cifar100", "vgg16-cifar100-article"], workspace, "full")
    assert f"- {card('vgg16-cifar100')}" in lines
    assert "**0 of 2 experiments have been run**; 1 of the others" in "\n".join(lines)
    assert not list(workspace.iterdir())


def test_where_it_has_run():
    assert page.where({"device": "cpu", "instructions": "AVX512"}) == "cpu with AVX512"
    assert page.where({"device": "NVIDIA H100", "instructions": ""}) == "NVIDIA H100"
    assert (
        page.where({"device": "cpu"})
        == "cpu with an earlier version of the code, which did not record the instruction set"
    )


def test_answers_come_first(workspace):
    """What has run, the findings, degradation, why, the lineage, claims, inside, precision, the rest."""
    titles = [line.removeprefix("## ") for line in full_page(*SIGNS) if line.startswith("## ")]
    assert titles == [
        "Findings",
        "Degradation",
        "Why do deep plain networks fail?",
        "The lineage",
        "Claims",
        "Inside the networks",
        "What the articles' defects cost",
        "Precision",
        "Experiments that have not run",
        "Where each section of the articles is answered",
    ]


def test_every_link_within_the_page_has_its_target(workspace):
    for lines in (page.results({}, [], workspace, "full"), full_page(*SIGNS)):
        text = "\n".join(lines)
        titles = [re.sub(r"[^\w -]", "", line.lstrip("# ")) for line in lines if line.startswith("#")]
        targets = {title.lower().replace(" ", "-") for title in titles}  # as GitHub makes them
        places = re.findall(r'<a id="([^"]+)">', text)
        links = set(re.findall(r"\]\(#([^)]+)\)", text))
        assert links <= targets | set(places) and "claims" in links
        assert len(places) == len(set(places))
        assert len([line for line in lines if re.match(r"\| S[0-3] \|", line)]) == len(ANSWERS)


def test_every_line_of_a_table_has_as_many_cells(workspace):
    lines = full_page(*SIGNS)
    for table in "\n".join(lines).split("\n\n"):
        if table.startswith("|"):
            assert len({line.count(" | ") for line in table.splitlines()}) == 1, table


def test_a_row_for_each_experiment_above_the_cards(workspace):
    measured("vgg16-hands")
    found = {"vgg16-hands": results.read("vgg16-hands")}
    lines = page.experiments(found, ["lenet5-hands"], [["its card"]], "full")
    header = lines.index("| experiment | test accuracy (%) | validation | training | n | budget |")
    row = "| [vgg16-hands](#vgg16-hands) | 89.00 ± 1.41 | 91.20 ± 1.13 | 94.50 ± 0.71 | 2 | 3 epochs |"
    assert lines[header + 2 : header + 5] == [row, "", "its card"]
    recipe = "[recipe](../recipes/experiments/lenet5-hands.json), `dvc repro evaluate@lenet5-hands`"
    assert lines[-2] == f'- <a id="lenet5-hands"></a>lenet5-hands: {recipe}'


def test_only_figures_that_exist_are_linked(workspace):
    figure = "gradients.svg"
    assert "[gradients](.." not in "\n".join(page.where_answered({}, workspace)).replace("[gradients.py](", "")
    (workspace / figure).touch()
    assert f"| [gradients](../{(workspace / figure).as_posix()}) |" in "\n".join(page.where_answered({}, workspace))
