from conftest import REPOSITORY

from lineage import params
from lineage.report import published, study
from lineage.report.published import ANSWERS, PUBLISHED, reported
from lineage.report.study import LINEAGE
from lineage.report.style import MARKS

EXPERIMENTS = params.read(REPOSITORY).experiments


def test_every_figure_belongs_to_an_experiment_and_says_how_it_was_chosen():
    assert PUBLISHED.keys() <= {name for *_, names in LINEAGE for name in names} <= EXPERIMENTS.keys()
    assert {name for name, one in PUBLISHED.items() if one.public == "none found"} == {"resnet34-signs"}
    for name, one in PUBLISHED.items():
        if one.public == "none found":
            assert not one.source + one.selection, name
        else:
            assert 68 < float(one.public) < 97, name
            assert one.source and one.selection
    assert PUBLISHED["vgg16-cifar100-article"].article.startswith("75 after 20 epochs")


def test_errors_and_accuracies_agree():
    marks = reported("cifar10-he2015")
    assert set(marks.label) | set(reported("cifar100").label) <= MARKS.keys()  # each with a marker of its own
    he = marks[(marks.label == "He et al. 2015") & (marks.family == "resnet")].set_index("depth").error
    assert he.to_dict() == {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.61}
    assert abs(float(PUBLISHED["resnet-56-cifar10-he2015"].public) - (100 - he[56])) < 1e-9
    for row in marks.itertuples():
        assert f"{row.family}-{row.depth}-cifar10-he2015" in EXPERIMENTS
    assert reported("signs32").empty


def test_answers_name_files_and_experiments_that_exist():
    for _, _, file, experiments, place, figure in ANSWERS:
        assert (REPOSITORY / file).exists(), file
        assert set(experiments.split()) <= EXPERIMENTS.keys(), experiments
        kind, _, name = figure.rpartition(".")[0].partition("-")
        assert kind in ("", "gradients", "activations", "degradation", "additions") or name in EXPERIMENTS, figure
        assert not place.endswith(".md") or place == "experiments.md" or (REPOSITORY / "docs" / place).exists()
    assert {article for article, *_ in ANSWERS} == {"S0", "S1", "S2", "S3"}


def test_what_is_wrong_with_the_file_is_a_fault(tmp_path, monkeypatch):
    faults = []
    for module in (published, study):
        monkeypatch.setattr(module, "FAULTS", faults)
    path = tmp_path / "published.yaml"
    for content in ("figures:\n<<<<<<< HEAD\n", "- mine\n"):
        path.write_text(content)
        assert study.read_blocks(path, published.EMPTY) == published.EMPTY
    path.write_text("answers: []\n")  # the others may be missing
    assert study.read_blocks(path, published.EMPTY) == published.EMPTY
    assert published._published({"mine": {"public": "75"}, "other": {"publc": "75"}}).keys() == {"mine"}
    good = {"label": "He", "group": "cifar10", "family": "plain", "part": "test", "by_depth": {20: 9.5}}
    assert published._errors([good, good | {"by_depth": 9.5}, {"label": "He"}]) == [good]
    assert study.rows_of([["S0", "VGG"], ["S0"]], [str, str], "published.yaml, answers", "two") == [("S0", "VGG")]
    unreadable, odd, misspelt, flat, lacking, short = faults
    assert flat.startswith("published.yaml, errors: {'label': 'He', 'group': 'cifar10', ") and "is not an entry" in flat
    assert lacking == (
        "published.yaml, errors: {'label': 'He'} is not an entry with by_depth, family, group, label, part "
        "(depths and errors)"
    )
    assert short == "published.yaml, answers: ['S0'] is not two"
    assert unreadable.startswith("published.yaml is not YAML in UTF-8: ")
    assert odd == "published.yaml should hold figures, errors, answers"
    wrong = "got an unexpected keyword argument 'publc'; allowed are public, source, selection, article"
    assert misspelt == f"published.yaml, figures, other: {wrong}"
