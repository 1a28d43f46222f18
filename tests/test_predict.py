import json
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, one_line
from PIL import Image

import predict
from lineage.engine import checkpoint
from lineage.engine.experiment import Experiment
from lineage.files import write_json

MEAN, STD = [0.5, 0.4, 0.4], [0.2, 0.2, 0.2]


@pytest.fixture
def place(workspace):
    """A copy of the code beside initialised networks of two seeds, and two photographs."""
    shutil.copytree(REPOSITORY / "src", "src", ignore=shutil.ignore_patterns("__pycache__"))
    recipe = {"epochs": 1, "batch_size": 16, "lr": 0.1, "schedule": "constant", "input_size": 32, "precision": "fp32"}
    about = {"name": "mine", "scale": "sample", "dataset": "signs", "classes": 6, "model": "resnet", "recipe": recipe}
    described = Experiment(**about, network={"depth": 8, "shortcut": "identity"})
    write_json(Path("recipes/experiments/mine.json"), described.changes())
    write_json(Path("recipes/datasets/signs.json"), {"classes": list("012345"), "image_size": 64})
    for seed in (0, 1):
        torch.manual_seed(seed)
        said = {"experiment": described.one_seed(), "mean": MEAN, "std": STD}
        checkpoint.save(Path(f"models/mine/seed-{seed}.safetensors"), described.build().state_dict(), said)
    Path("photos").mkdir()
    with zipfile.ZipFile(REPOSITORY / "data/sample/signs.zip") as archive:
        members = [name for name in archive.namelist() if name.lower().endswith((".png", ".jpg", ".webp"))][:2]
        for i, name in enumerate(members):
            Path(f"photos/{i}{Path(name).suffix}").write_bytes(archive.read(name))
    return workspace


def ask(*arguments, cwd="photos"):
    command = [sys.executable, str(Path("src/predict.py").resolve()), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def test_the_mean_over_the_seeds_from_any_folder(place):
    result = ask("mine", ".", "--json", "--figure", "out.png")
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["scale"], said["seeds"], len(said["images"])) == ("sample", 2, 2)
    for one in said["images"]:
        image = Image.open(Path("photos", one["image"])).convert("RGB")
        assert image.size == (64, 64)
        x = torch.from_numpy(np.asarray(image).reshape(32, 2, 32, 2, 3).mean((1, 3)).round()).float() / 255
        x = ((x - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)[None]
        mean = 0
        for seed in (0, 1):
            weights, about = checkpoint.load(Path(f"models/mine/seed-{seed}.safetensors"))
            network = Experiment.model_validate(about["experiment"]).build().eval()
            network.load_state_dict(weights)
            mean = mean + network(x).softmax(1)[0].detach() / 2
        assert [float(c["probability"]) for c in one["classes"]] == pytest.approx(
            mean.sort(descending=True).values[:5].tolist(), rel=1e-3
        )
    assert Image.open("photos/out.png").width > 500
    assert "scale: sample – not results" in ask("mine", ".").stdout


@pytest.mark.slow
def test_mistakes_are_one_line(place):
    assert "close names: mine" in one_line(ask("mime", "."), 2)
    Path("empty").mkdir()
    assert "empty holds no images" in one_line(ask("mine", "../empty"), 2)
    Path("photos/bad.png").write_bytes(b"nothing")
    assert "bad.png cannot be read" in one_line(ask("mine", "bad.png"), 1)
    path = Path("models/mine/seed-1.safetensors")
    weights, about = checkpoint.load(path)
    checkpoint.save(path, dict(list(weights.items())[1:]), about)
    assert "does not fit the network" in one_line(ask("mine", "0.png" if Path("photos/0.png").exists() else "0.jpg"), 1)
    shutil.rmtree("models")
    assert "`dvc repro train@mine` trains them" in one_line(ask("mine", "."), 2)


def test_sixteen_bits_are_scaled(tmp_path):
    Image.fromarray(np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)).save(tmp_path / "g.png")
    assert predict.read_image((tmp_path / "g.png").read_bytes()).mean() == pytest.approx(127.5, abs=1)


def test_any_bytes_are_an_image_or_one_error(signs, tmp_path):
    draw, read = random.Random(0), 0
    for number in range(240):
        path = tmp_path / f"x.{('png', 'jpg', 'webp', 'tiff')[number % 4]}"
        Image.fromarray(signs["images"][number]).save(path)
        content = bytearray(path.read_bytes())
        for _ in range(draw.randint(1, 8)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        try:
            image = predict.read_image(bytes(content[: draw.choice([None, draw.randrange(len(content))])]))
        except ValueError:
            continue
        assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
        read += 1
    assert 0 < read < 240


def test_orientation_transparency_palette_cmyk_and_bombs(tmp_path, monkeypatch):
    exif, path = Image.Exif(), tmp_path / "x.jpg"
    exif[0x0112] = 6
    half = np.zeros((16, 16, 3), np.uint8)
    half[:, :8] = 255
    Image.fromarray(half).save(path, exif=exif)
    upright = predict.read_image(path.read_bytes())
    assert upright[:7].mean() > 240 and upright[9:].mean() < 15
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(path)
    assert predict.read_image(path.read_bytes())[0, 0].tolist() == pytest.approx([255, 0, 0], abs=6)
    path = tmp_path / "x.png"
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(path)
    assert predict.read_image(path.read_bytes()).min() == 255
    Image.fromarray(half).quantize(2).save(path)
    assert (predict.read_image(path.read_bytes()) == half).all()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(ValueError, match="decompression bomb"):
        predict.read_image(path.read_bytes())
