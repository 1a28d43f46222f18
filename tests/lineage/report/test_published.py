import re

from conftest import REPOSITORY

from lineage import params
from lineage.report.published import ANSWERS, ERRORS, PUBLISHED

EXPERIMENTS = params.read(REPOSITORY / "params.yaml").experiments


def test_every_figure_belongs_to_an_experiment_and_says_how_it_was_chosen():
    assert PUBLISHED.keys() <= EXPERIMENTS.keys()
    for one in PUBLISHED.values():
        assert 50 < float(one.public.split(" ±")[0]) < 100
        assert one.source and one.selection


def test_the_marks_are_those_of_the_table():
    for label, family, depth, part, error in ERRORS:
        name = f"{family}-{depth}-cifar10"
        assert name in EXPERIMENTS and 0 < error < 20
        if label == "He et al. 2015" and family == "resnet":
            assert PUBLISHED[name].public.startswith(f"{100 - error:.2f}") and part == "test"


def test_sections_name_files_and_experiments_that_exist():
    for _, _, where, experiments in ANSWERS:
        for file in re.findall(r"`([^`]+)`", where):
            assert (REPOSITORY / file).exists(), file
        if "-" in experiments and "…" not in experiments:
            assert set(experiments.split(", ")) <= EXPERIMENTS.keys(), experiments
    assert {article for article, *_ in ANSWERS} == {"S0", "S1", "S2", "S3"}
