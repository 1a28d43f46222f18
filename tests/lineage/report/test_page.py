from conftest import REPOSITORY

from lineage import params
from lineage.report import page


def test_the_lineage_exists():
    assert set(page.LINEAGE) <= params.read(REPOSITORY / "params.yaml").experiments.keys()


def test_a_page_without_any_results(workspace):
    lines = page.results({}, ["vgg16-cifar100"], workspace, "full")
    assert "At scale full with the present recipe: vgg16-cifar100." in lines
    assert not list(workspace.iterdir())
    assert any(line.startswith("| S0 | AlexNet") for line in lines)
