import re

from conftest import REPOSITORY

from lineage import params
from lineage.report import page
from lineage.report.published import ANSWERS


def test_the_lineage_exists():
    assert set(page.LINEAGE) <= params.read(REPOSITORY).experiments.keys()


def test_a_page_without_any_results(workspace):
    lines = page.results({}, ["vgg16-cifar100"], workspace, "full")
    assert any(line.startswith("| vgg16-cifar100 | not run at scale full | – |") for line in lines)
    assert not list(workspace.iterdir())


def test_every_link_within_the_page_has_its_heading(workspace):
    lines = page.results({}, [], workspace, "full")
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in lines if line.startswith("#")}
    links = set(re.findall(r"\]\(#([^)]+)\)", "\n".join(lines)))
    assert links <= headings and "claims" in links
    assert len([line for line in lines if re.match(r"\| S[0-3] \|", line)]) >= len(ANSWERS)


def test_every_line_of_a_table_has_as_many_cells(workspace):
    lines = page.results({}, ["vgg16-cifar100", "plain-20-signs32"], workspace, "full")
    for table in "\n".join(lines).split("\n\n"):
        if table.startswith("|"):
            assert len({line.count(" | ") for line in table.splitlines()}) == 1, table


def test_large_numbers_are_readable():
    assert page.millions(269722) == "0.27 M"
    assert page.millions(313.4e6) == "313 M"
    assert page.millions(1.2534e9) == "1.25 G"
    assert page.millions(15.47e9) == "15.5 G"


def test_only_figures_that_exist_are_linked(workspace):
    figure = "gradients.svg"
    assert "| gradients |" in "\n".join(page.where_answered({}, workspace))
    (workspace / figure).touch()
    assert f"| [gradients](../{(workspace / figure).as_posix()}) |" in "\n".join(page.where_answered({}, workspace))
