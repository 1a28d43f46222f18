import pytest
from conftest import REPOSITORY
from test_compare import measured

from lineage import params
from lineage.experiments import resolve
from lineage.report import comparisons, results, study
from lineage.report.claim_measures import MEASURES
from lineage.report.comparisons import PAIRS
from lineage.report.entries import Claim, Group

EXPERIMENTS = params.read(REPOSITORY).experiments


def place(name):
    """Family, depth and group of a network that belongs to a group."""
    (found,) = [(*key, g) for g, about in study.GROUPS.items() for key, one in about.members.items() if one == name]
    return found


def test_every_experiment_of_the_study_exists():
    named = study.named()
    assert named <= EXPERIMENTS.keys()
    each = {"plain-56-signs32", "plain-56-signs32-long-short-warm-up", "lenet5-cifar10", "fp32-plain-56-signs32"}
    assert named > each | {"alexnet4-tanh-cifar10", "vgg16-cifar100-no-dropout", "resnet-110-cifar10-he2015"}
    assert {group.longer for group in study.GROUPS.values()} <= study.GROUPS.keys() | {""}


def test_an_experiment_has_one_place_and_is_what_the_place_says():
    members = [name for group in study.GROUPS.values() for name in group.members.values()]
    assert len(members) == len(set(members))
    for name in members:
        family, depth, _ = place(name)
        network = EXPERIMENTS[name]
        assert network["depth"] == depth, name
        assert (network["shortcut"] == "none") == (family == "plain"), name


def test_a_network_of_a_group_with_another_recipe_is_said_to_be_unlike_the_others():
    everything = params.read(REPOSITORY)
    for title, group in study.GROUPS.items():
        recipes = {key: resolve(everything, name).recipe for key, name in group.members.items()}
        usual = recipes[min(recipes, key=lambda key: key[1])]
        assert {depth for (_, depth), recipe in recipes.items() if recipe != usual} <= group.unlike.keys(), title


def test_every_claim_can_be_compared():
    for claim in study.CLAIMS.values():
        assert claim.measure in MEASURES or claim.untrained
        assert bool(claim.each) + bool(claim.pairs) + bool(claim.untrained) == 1
        assert not claim.each or claim.each in PAIRS
        assert claim.by and claim.text and claim.relevant >= 0


def test_blocks_may_be_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "FAULTS", [])
    (tmp_path / "study.yaml").write_text("claims:\nfigures:\nwhy: {mine: nothing}\n")
    assert study.read_blocks(tmp_path / "study.yaml", study.EMPTY) == study.EMPTY | {"why": {"mine": "nothing"}}
    assert study.FAULTS == []


def test_wrong_keys_and_the_same_id_twice(monkeypatch):
    good = {"id": "one", "by": "ours", "text": "a", "measure": "gap"}
    monkeypatch.setitem(study._STUDY, "claims", [good, good, good | {"id": "two", "relevent": 1}, {"by": "ours"}])
    monkeypatch.setattr(study, "FAULTS", [])
    assert list(study._entries(Claim, "claims")) == ["one"]
    twice, misspelt, lacking = study.FAULTS
    assert twice == "study.yaml, claims, one: another entry has the same id"
    assert misspelt.startswith(
        "study.yaml, claims, two: got an unexpected keyword argument 'relevent'; the comment above"
    )
    assert "without an id: missing 3 required positional arguments: 'id', 'text'" in lacking


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "claims:\n- {id: one}\nclaims:\n- {id: two}\n",
            "study.yaml: claims occurs twice, the second time on line",
        ),
        ("- a list\n", "study.yaml should hold articles, groups, claims, figures"),
        ("", "study.yaml should hold articles"),
        ("claims: deeper is worse\n", "study.yaml: claims should be a list"),
        ("groups: [mine]\n", "study.yaml: groups should be names with what belongs to each"),
        ("claims:\n- text: low: raises\n", "study.yaml is not YAML in UTF-8: mapping values are not allowed here"),
    ],
)
def test_a_file_that_is_no_study(tmp_path, monkeypatch, text, said):
    monkeypatch.setattr(study, "FAULTS", [])
    (tmp_path / "study.yaml").write_text(text)
    assert study.read_blocks(tmp_path / "study.yaml", study.EMPTY) == study.EMPTY
    (fault,) = study.FAULTS
    assert fault.startswith(said)


def test_entries_that_are_no_entries(monkeypatch):
    monkeypatch.setitem(study._STUDY, "claims", ["deeper is worse"])
    monkeypatch.setitem(study._STUDY, "primary", [["plain-train", "signs32"], "all", ["plain-train", "signs32", "56"]])
    lineage = [1998, ["LeNet-5", ["lenet5-cifar10"]], [1998, "LeNet-5", "lenet5-cifar10"], [1998, "LeNet-5", ["one"]]]
    lineage.append([1998, "LeNet-5", [5]])
    monkeypatch.setitem(study._STUDY, "lineage", lineage)
    monkeypatch.setattr(study, "FAULTS", [])
    assert study._entries(Claim, "claims") == {}
    assert study._rows("primary", [str, str, int], "[claim, group, depth]") == []
    assert study._rows("lineage", [int, str, list], "[year, …]") == [(1998, "LeNet-5", ["one"])]
    claim, *others = study.FAULTS
    assert claim.startswith("study.yaml, claims, entry 1: ")
    assert [fault.rpartition(" is not ")[2] for fault in others] == ["[claim, group, depth]"] * 3 + ["[year, …]"] * 4
    assert others[5] == "study.yaml, lineage: [1998, 'LeNet-5', 'lenet5-cifar10'] is not [year, …]"


def test_what_is_no_text(monkeypatch):
    monkeypatch.setitem(study._STUDY, "why", {"mine": "nothing", 5: "nothing", "other": 5})
    monkeypatch.setattr(study, "FAULTS", [])
    assert study._texts("why", "an experiment, and what it changes") == {"mine": "nothing"}
    assert [
        f"study.yaml, why: {entry} is not an experiment, and what it changes" for entry in ("5: nothing", "other: 5")
    ] == study.FAULTS


def test_wrong_keys_of_a_group(monkeypatch):
    about = {"title": "mine", "plain": {20: "a"}, "resnet": {20: "b"}}
    wrong = {
        "bad": {"longr": "good"},
        "no": {"plain": ["a"]},
        "none": {"plain": {20: None}},
        "zero": {"resnet": {0: "b"}},
    }
    wrong |= {"year": {"title": 2024}, "noted": {"note": 5}}
    wrong |= {"everywhere": {"unlike": "ran elsewhere"}, "elsewhere": {"unlike": {56: "ran elsewhere"}}}
    monkeypatch.setitem(study._STUDY, "groups", {"good": about} | {key: about | one for key, one in wrong.items()})
    study._STUDY["groups"][2015] = about  # YAML makes a number of it
    monkeypatch.setattr(study, "FAULTS", [])
    assert list(study._by_name(Group.of, "groups")) == ["good"]
    assert study.FAULTS.pop(0) == "study.yaml, groups: the name 2015 needs quotes"
    longer, no_depths, no_name, no_depth, year, noted, everywhere, elsewhere = study.FAULTS
    assert "none: `plain` has an experiment for" in no_name and "zero: `resnet` has an experiment for" in no_depth
    assert "everywhere: `unlike` has a text for each depth: {56: ran on another machine}" in everywhere
    assert "elsewhere: `unlike` names 56, which is no depth of the group" in elsewhere
    assert "year: `title` must be text, not 2024" in year and "noted: `note` must be text, not 5" in noted
    assert no_depths.startswith("study.yaml, groups, no: `plain` has an experiment for each depth")
    assert longer.startswith("study.yaml, groups, bad: got an unexpected keyword argument 'longr'; the comment above")


def test_the_primary_comparisons_are_five_that_exist():
    places = {one.place for claim in study.CLAIMS.values() for one in comparisons.comparisons(claim)}
    assert len(study.PRIMARY) == 5 and places >= study.PRIMARY


def test_each_way_round():
    """Higher errors are those of the deeper plain, of the plain, and of the shallower residual network."""
    for claim in study.CLAIMS.values():
        for one in comparisons.comparisons(claim) if claim.each else ():
            (first, deep, group), (second, shallow, other) = place(one.larger), place(one.smaller)
            assert group == other == one.group and one.depth == max(deep, shallow)
            expected = {
                "deeper plain": first == second == "plain" and deep > shallow,
                "deeper resnet": first == second == "resnet" and deep > shallow,
                "shallower resnet": first == second == "resnet" and deep < shallow,
                "plain over resnet": (first, second) == ("plain", "resnet") and deep == shallow,
            }
            assert expected[claim.each], one


def test_articles_claims_are_marked_as_theirs():
    by = {claim.id: claim.by for claim in study.CLAIMS.values()}
    assert study.ARTICLES.keys() == {"S0", "S1", "S2", "S3"}
    assert by["plain-start"] == "ours" and "ours on SIGNS" in by["residual-test"] and by["early-vanish"] == "S1"


def test_groups_go_from_shallow_to_deep(workspace):
    for name in ("resnet-110-signs32", "plain-56-signs32", "plain-110-signs32", "plain-20-cifar10", "vgg16-hands"):
        measured(name)
    names = ("vgg16-hands", "resnet-110-signs32", "plain-20-cifar10", "plain-110-signs32", "plain-56-signs32")
    found = study.groups({name: results.read(name) for name in names})
    assert list(found) == ["signs32", "cifar10"]
    assert list(found["signs32"]) == [("plain", 56), ("plain", 110), ("resnet", 110)]
