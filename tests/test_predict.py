import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import REPOSITORY, dataset_recipe, folders_zip, one_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

import evaluate
import fetch
import predict
import preprocess
import train
from lineage import decoding
from lineage.engine import checkpoint, tensors
from lineage.engine.experiment import Experiment
from lineage.errors import Failure, Mistake
from lineage.files import write_json

MEAN, STD = [0.5, 0.4, 0.4], [0.2, 0.2, 0.2]


def describe(**recipe):
    """Write the recipe of a tiny experiment, and return it."""
    values = {"epochs": 1, "batch_size": 16, "lr": 0.1, "schedule": "constant", "input_size": 32, "precision": "fp32"}
    about = {"name": "mine", "scale": "sample", "dataset": "signs", "classes": 6, "model": "resnet"}
    described = Experiment(**about, recipe=values | recipe, network={"depth": 8, "shortcut": "identity"})
    write_json(Path("recipes/experiments/mine.json"), described.changes())
    return described


@pytest.fixture
def place(workspace, signs):
    """A copy of the code beside initialised networks of eleven seeds, and two photographs."""
    shutil.copytree(REPOSITORY / "src", "src", ignore=shutil.ignore_patterns("__pycache__"))
    Path("photos").mkdir()
    described = describe()
    write_json(Path("recipes/datasets/signs.json"), {"classes": list("012345"), "image_size": 64})
    for seed in range(11):
        torch.manual_seed(seed)
        said = {"experiment": described.one_seed(), "mean": MEAN, "std": STD}
        checkpoint.save(Path(f"models/mine/seed-{seed}.safetensors"), described.build().state_dict(), said)
    for i in (0, 1):
        Image.fromarray(signs["images"][i]).save(f"photos/{i}.png")
    return workspace


def ask(*arguments, cwd="photos"):
    command = [sys.executable, str(Path("src/predict.py").resolve()), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def predicted(capsys, *arguments):
    """What `predict --json` says, in this process."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "REPOSITORY", Path.cwd())
        patch.setattr(sys, "argv", ["predict.py", "mine", *arguments, "--json"])
        predict.main()
    return json.loads(capsys.readouterr().out)


def stored(image, suffix, **options):
    content = io.BytesIO()
    image.save(content, suffix, **options)
    return content.getvalue()


def turned(pixels):
    """As a camera that was held upright stores it, with EXIF telling so."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return stored(Image.fromarray(np.rot90(pixels)), "TIFF", exif=exif)


def wide(pixels):
    return stored(Image.fromarray(pixels).resize((150, 70)), "JPEG")


def grey16(pixels):
    return stored(Image.fromarray(pixels.mean(2).astype(np.uint16) * 257), "PNG")


def see_through(pixels):
    return stored(Image.fromarray(np.dstack([pixels, pixels[:, :, :1]])), "WEBP", lossless=True)


CHANGES = {"tif": turned, "jpg": wide, "png": grey16, "webp": see_through}


def test_the_class_and_probability_that_evaluate_has(workspace, signs, capsys):
    """From a zip of photographs to answers.csv; then the same files by `predict`. The data set's size is another than
    theirs, and some are turned by EXIF, squashed, grey in 16 bits, or transparent. The classes agree. The probabilities
    agree within what answers.csv rounds to, half a per mille, and for the first seed within 1e-4 (predictions.csv).
    """
    Path("photos").mkdir()
    members, tests = {}, 0
    for i in np.linspace(0, len(signs["labels"]) - 1, 120).astype(int).tolist():
        part = ("test", "train", "train")[len(members) % 3]
        content = stored(Image.fromarray(signs["images"][i]), "PNG")
        suffix = "png"
        if part == "test":
            suffix = [*CHANGES][tests % 4]
            tests += 1
            content = CHANGES[suffix](signs["images"][i])
            Path(f"photos/n{i}.{suffix}").write_bytes(content)
        members[f"{part}/{signs['labels'][i]}/n{i}.{suffix}"] = content
    Path("data/sample").mkdir(parents=True)
    dataset_recipe("signs", folders_zip(Path("data/sample/signs.zip"), members), "folders", list("012345"), size=40)
    write_json(Path("recipes/labels/signs.json"), {"classes": list("012345"), "superclasses": [], "pictures": True})
    describe(seeds=2, epochs=2, lr=0.02)
    for stage, what in ((fetch, "signs"), (preprocess, "signs"), (train, "mine"), (evaluate, "mine")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [stage.__name__, what])
            stage.main()
    answers, first = (pd.read_csv(f"plots/tables/mine/{name}.csv") for name in ("answers", "predictions"))
    assert len(answers) == len(first) == tests > 30
    for seed in (1, 0):  # one by one, as answers.csv has them
        shutil.rmtree("kept", ignore_errors=True)
        shutil.copytree("models/mine", "kept")
        Path(f"models/mine/seed-{1 - seed}.safetensors").unlink()
        found = {Path(one["image"]).stem: one["classes"] for one in predicted(capsys, "photos")["images"]}
        best = [found[image][0] for image in first.image]
        assert [int(one["class"]) for one in best] == answers[f"predicted_{seed}"].tolist()
        probabilities = np.array([one["probability"] for one in best])
        assert 1000 * probabilities == pytest.approx(answers[f"confidence_{seed}"].to_numpy(), abs=0.6)
        shutil.rmtree("models/mine")
        shutil.move("kept", "models/mine")
    assert probabilities == pytest.approx(first.confidence.to_numpy(), abs=1e-4)
    assert len(set(answers.predicted_0)) > 1 and np.ptp(probabilities) > 0.05  # there is something to confuse
    both = {Path(one["image"]).stem: one["classes"] for one in predicted(capsys, "photos")["images"]}
    agree = (answers.predicted_0 == answers.predicted_1).to_numpy()
    mean = (answers.confidence_0 + answers.confidence_1).to_numpy()[agree] / 2
    said = [both[image][0]["probability"] for image in first.image[agree]]
    assert 1000 * np.array(said) == pytest.approx(mean, abs=0.6)


def test_the_mean_over_the_seeds_from_any_folder(place):
    result = ask("mine", ".", "--json", "--figure", "out.png")
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["scale"], said["seeds"], len(said["images"])) == ("sample", 11, 2)
    for one in said["images"]:
        image = Image.open(Path("photos", one["image"]))
        x = torch.from_numpy(np.asarray(image).reshape(32, 2, 32, 2, 3).mean((1, 3)).round()).float() / 255
        x = ((x - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)[None]
        mean = 0
        for seed in range(11):
            weights, about = checkpoint.load(Path(f"models/mine/seed-{seed}.safetensors"))
            network = Experiment.model_validate(about["experiment"]).build().eval()
            network.load_state_dict(weights)
            mean = mean + network(x).softmax(1)[0].detach() / 11
        assert [c["probability"] for c in one["classes"]] == pytest.approx(
            mean.sort(descending=True).values[:5].tolist(), rel=1e-3
        )
    assert Image.open("photos/out.png").width > 500


def test_each_picture_stands_beside_its_own_answers(place, signs, monkeypatch):
    Image.fromarray(signs["images"][2]).resize((400, 300)).save("photos/2.png")  # too large to be drawn as it is
    drawn = []
    monkeypatch.setattr("lineage.predicted.draw", lambda _, *beside: drawn.extend(zip(*beside[:2], strict=True)))
    monkeypatch.setattr(predict, "REPOSITORY", place)
    monkeypatch.setattr(sys, "argv", ["predict.py", "mine", "photos", "--figure", "out.png"])
    predict.main()
    assert [answer["image"] for _, answer in drawn] == [f"photos/{i}.png" for i in range(3)]
    for picture, answer in drawn:
        own = Image.open(answer["image"])
        own.thumbnail((predict.SIDE, predict.SIDE))
        assert np.array_equal(picture, own)


def test_the_table_says_what_the_weights_are(place, capsys, monkeypatch):
    monkeypatch.setattr(predict, "REPOSITORY", place)
    monkeypatch.setattr(sys, "argv", ["predict.py", "mine", "photos/1.png", "photos"])
    predict.main()
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "mine, mean of 11 seeds; scale: sample – not results"
    assert [line for line in lines if not line.startswith(" ")] == ["photos/1.png", "photos/0.png", "photos/1.png"]
    assert all(re.fullmatch(r" +\d+\.\d\d%  [0-5]", line) for line in lines if line.startswith(" "))
    assert len(lines) == 3 * (1 + predict.MOST)


def test_seeds_in_the_order_of_their_numbers(place, monkeypatch):
    asked = []
    monkeypatch.setattr(predict, "load", lambda path: asked.append(path.stem) or (describe(), None, {}))
    predict.trained("mine")
    assert asked == [f"seed-{i}" for i in range(11)]


def mistake(monkeypatch, *arguments, of=Mistake):
    monkeypatch.setattr(predict, "REPOSITORY", Path.cwd())
    monkeypatch.setattr(sys, "argv", ["predict.py", *arguments])
    with pytest.raises(of) as caught:
        predict.main()
    return " ".join(str(caught.value).split())


def test_mistakes_say_what_to_do(place, monkeypatch):
    def said(*arguments, **options):
        return mistake(monkeypatch, *arguments, **options)

    assert "close names: mine" in said("mime", "photos")
    assert "no such experiment" in said("zzzz", "photos")
    Path("empty").mkdir()
    assert said("mine", "empty") == "empty holds no images"
    assert "no file and no folder nowhere.png" in said("mine", "nowhere.png")
    with monkeypatch.context() as patch:
        patch.setattr(predict, "probabilities", lambda pixels, *_: np.full((len(pixels), 7), 1 / 7))
        assert "resnet.py gives 7 outputs for 6 classes: mend and train it again" in said("mine", "photos/0.png")
    assert ".png, .svg or .pdf" in said("mine", "photos", "--figure", "out.gif")
    Path("photos/bad.png").write_bytes(b"nothing")
    assert "bad.png cannot be read as an image: it has none of the formats" in said("mine", "photos", of=Failure)
    monkeypatch.setattr(decoding, "PIXELS", 4095)
    assert "64×64 pixels are too many: scale it down" in said("mine", "photos/0.png", of=Failure)
    known = Path("recipes/datasets/signs.json")
    write_json(known, {"classes": list("01234"), "image_size": 64})
    assert "another number of classes" in said("mine", "photos/0.png")
    write_json(known, {"classes": list("102345"), "image_size": 64})  # two have changed places
    one = {"images": np.zeros((1, 3, 2, 2), np.uint8), "labels": np.zeros(1, np.int64)}
    prepared = Path("data/tensors/signs/train.safetensors")
    tensors.save(prepared, one, list("012345"))
    assert "or in another order: run `dvc repro train@mine`" in said("mine", "photos/0.png")
    write_json(known, {"classes": list("012345"), "image_size": 64})
    sizes = f"{known} has images of 64 pixels, {prepared} of 2: run `dvc repro train@mine`"
    assert said("mine", "photos/0.png") == sizes
    prepared.write_bytes(prepared.read_bytes()[:100])
    damaged = said("mine", "photos/0.png", of=Failure)
    assert damaged.startswith(f"{prepared} is damaged (") and "run `dvc repro --force preprocess@signs`" in damaged
    known.unlink()
    assert "signs.json is missing: run `dvc repro recipes`, or, if the data set has" in said("mine", "photos/0.png")
    shutil.rmtree("models")
    assert said("mine", "photos/0.png") == "mine has not been trained here: run `dvc repro train@mine`"
    write_json(Path("metrics/data/signs.json"), {"train_images": 961})
    assert said("mine", "photos/0.png").endswith("(up to a minute on two CPU cores with AVX-512, estimated)")


def test_which_files_are_meant(workspace):
    for name in ("b.PNG", "a.jpg", "in/c.webp", "notes.txt", ".hidden/d.png", "in/.e.png"):
        path = workspace / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = predict.find(["photos"], workspace)
    assert [path.relative_to(workspace / "photos").as_posix() for path in found] == ["a.jpg", "b.PNG", "in/c.webp"]
    named = ["photos/notes.txt", "photos/.hidden/d.png", "photos/in"]  # what is named is read, whatever it is called
    assert [path.name for path in predict.find(named, workspace)] == ["notes.txt", "d.png", "c.webp"]


def test_a_figure_has_no_more_images_than_a_page(place, monkeypatch):
    many = ["photos/0.png"] * (predict.DRAWN + 1)
    assert f"up to {predict.DRAWN} images" in mistake(monkeypatch, "mine", *many, "--figure", "out.png")


def test_weights_that_do_not_fit_are_refused(place, monkeypatch):
    path = Path("models/mine/seed-10.safetensors")
    weights, about = checkpoint.load(path)
    name = next(iter(weights))
    lacking = {key: value for key, value in weights.items() if key != name}
    first = f"{name} is nothing, not {tuple(weights[name].shape)}"
    for content, words in (
        (lacking, first),
        (weights | {"more": torch.zeros(2)}, "more is (2,) torch.float32, not nothing"),
        (weights | {name: weights[name][:1]}, f"{name} is (1,"),
        (weights | {name: weights[name].double()}, "torch.float64, not "),
    ):
        checkpoint.save(path, content, about)
        said = mistake(monkeypatch, "mine", "photos", of=Failure)
        assert "seed-10.safetensors does not fit its network" in said and words in said
        assert "run `dvc repro --force train@mine`" in said
    for other in (about | {"mean": [1, 2]}, about | {"experiment": {}}, {}, []):
        checkpoint.save(path, weights, other)
        assert "damaged or of another version" in mistake(monkeypatch, "mine", "photos", of=Failure)
    path.write_bytes(path.read_bytes()[:-100])
    assert "seed-10.safetensors is damaged" in mistake(monkeypatch, "mine", "photos", of=Failure)
    weights = {key: value if value.dtype == torch.int64 else value * torch.nan for key, value in weights.items()}
    checkpoint.save(path, weights, about)
    assert "not finite" in mistake(monkeypatch, "mine", "photos", of=Failure)
    other = about["experiment"] | {"scale": "full"}
    checkpoint.save(path, weights, about | {"experiment": other})
    assert "seeds of different recipes" in mistake(monkeypatch, "mine", "photos", of=Failure)


def test_weights_that_may_not_be_read(place, monkeypatch):
    """Safetensors says of them that there are none."""
    opened = Path.open

    def refused(path, *arguments, **options):
        if path.name == "seed-3.safetensors":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    assert "seed-3.safetensors" in mistake(monkeypatch, "mine", "photos", of=PermissionError)


def test_one_line_and_the_exit_code_of_a_mistake(place):
    assert "close names: mine" in one_line(ask("mime", "."), 2)


SOUND = {
    "png": {"compress_level": 0},
    "jpeg": {},
    "webp": {"lossless": True},
    "tiff": {},
    "gif": {},
    "bmp": {},
    "ppm": {},
}


@settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", 300)),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kind=st.sampled_from(sorted(SOUND)),
    mode=st.sampled_from(["RGB", "L", "1", "P", "RGBA", "CMYK", "I;16"]),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    cut=st.none() | st.integers(0, 10**6),
    junk=st.none() | st.binary(max_size=200),
)
def test_any_bytes_are_an_image_or_one_error(tmp_path, kind, mode, changes, cut, junk):
    path = tmp_path / "image"
    content = bytearray(junk or b"")
    if junk is None:
        grey = np.arange(20 * 24, dtype=np.uint16).reshape(20, 24) * 130
        image = Image.fromarray(grey) if mode == "I;16" else Image.fromarray((grey >> 8).astype(np.uint8)).convert(mode)
        try:
            content = bytearray(stored(image, kind, **SOUND[kind]))
        except (OSError, KeyError, ValueError):  # a format that has no such mode
            return
        for position, value in changes:
            content[position % len(content)] = value
        content = content[: cut and cut % len(content)]
    path.write_bytes(content)
    try:
        squashed, small = predict.read(path, 16, shown=True)
    except Failure as error:
        assert str(error).startswith(f"{path} cannot be read as an image: ")
        assert junk is not None or changes or cut is not None or mode == "I;16"  # sound ones are read
    else:
        assert squashed.shape == (16, 16, 3) and squashed.dtype == np.uint8 and max(small.size) <= predict.SIDE
