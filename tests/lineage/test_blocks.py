import pytest
from pydantic import ValidationError

from lineage.blocks import Archive, Dataset, Deepened, Initialisations, Part

SAMPLE = {"format": "folders", "name": "mine.zip", "sha256": "0" * 64}


def dataset(**changes):
    return Dataset.model_validate({"classes": "daisy rose", "image_size": 64, "sample": SAMPLE} | changes)


def test_classes_in_one_text_or_in_a_list():
    assert dataset().classes == dataset(classes=["daisy", "rose"]).classes == ("daisy", "rose")
    assert dataset(classes=[0, 1]).classes == ("0", "1")


def test_labels_have_the_superclass_of_each_class():
    labels = dataset(superclasses={"shrub": "rose", "herb": ["daisy"]}, pictures=False).labels()
    assert labels == {"classes": ("daisy", "rose"), "superclasses": ["herb", "shrub"], "pictures": False}
    assert dataset().labels()["superclasses"] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": [True, False]}, "YAML reads this name as true: put it in quotes"),  # yes and no
        ({"classes": [1.0, "a"]}, "YAML reads this name as 1.0: put it in quotes"),
        ({"classes": [None, "a"]}, "YAML reads this name as null: put it in quotes"),
        ({"classes": [["a"], "b"]}, "a name of a class is a text"),
        ({"classes": "daisy daisy"}, "a class stands there twice"),
        ({"superclasses": {"herb": "daisy"}}, "each class belongs to one of them, unlike rose"),
        ({"superclasses": {"herb": "daisy", "shrub": "rose daisy"}}, "unlike daisy"),
        ({"validation": 1.0}, "Input should be less than 1"),
        ({"validation": 0}, "Input should be greater than 0"),
        ({"sample": SAMPLE | {"sha256": "0"}}, "String should match pattern"),
    ],
)
def test_what_a_dataset_may_not_say(changes, said):
    with pytest.raises(ValidationError, match=said):
        dataset(**changes)


@pytest.mark.parametrize(("format", "count"), [("h5", 1), ("h5", 3), ("folders", 2), ("cifar-python", 2)])
def test_an_archive_has_as_many_files_as_are_read(format, count):
    files = [{"name": f"{i}.x", "sha256": "0" * 64} for i in range(count)]
    with pytest.raises(ValidationError, match=f"files: {format} has {2 if format == 'h5' else 1}, not {count}"):
        Archive(format=format, files=files)
    Archive(format=format, files=(files * 2)[: 2 if format == "h5" else 1])


def test_a_part_of_a_recipe_may_leave_a_key_to_the_others():
    assert Part.model_validate({"lr": 0.1, "epochs": None}).model_dump(exclude_none=True) == {"lr": 0.1}
    with pytest.raises(ValidationError, match="greater than 0"):
        Part.model_validate({"lr": 0})


def test_what_the_stages_may_not_be_told():
    with pytest.raises(ValidationError, match="56 layers are no more than the shallow network has, 56"):
        Deepened(recipe="why", shallow=56, deep=56, seeds=1)
    with pytest.raises(ValidationError, match="String should match pattern"):
        Initialisations(recipe="why", depth=20, names=["random"], seeds=1)
