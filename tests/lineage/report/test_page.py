import re

from conftest import REPOSITORY

from lineage import params
from lineage.report import page
from lineage.report.published import ANSWERS


def test_the_lineage_exists():
    assert set(page.LINEAGE) <= params.read(REPOSITORY / "params.yaml").experiments.keys()


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
