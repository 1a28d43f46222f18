"""predict: what an experiment's trained networks see in your images.

    python src/predict.py resnet34-signs hand.jpg photos/ --figure out.png

For people; not a stage. Prints the five most likely classes of each image with their probabilities, averaged over the
seeds; `--json` prints them as JSON. Images of any size and mode are squashed to the data set's size, as in training.
Works from any folder; expect seconds. The weights say themselves which recipe and scale they come from.
"""

from lineage.errors import Failure, Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import difflib
import io
import json
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from lineage.engine import augment, checkpoint, device, training
from lineage.engine.experiment import Experiment
from lineage.files import read_json, write_bytes

REPOSITORY = Path(__file__).resolve().parents[1]
MOST, DRAWN = 5, 60  # classes of an image; images in a figure
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # none that runs other programs
SUFFIXES = {".avif", ".bmp", ".gif", ".jpg", ".jpeg", ".jp2", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}


def read_image(content: bytes) -> np.ndarray:
    """H×W×3 uint8: upright, 16 bits scaled to 8, transparency on white. Raises `ValueError` for what is no image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = ImageOps.exif_transpose(Image.open(io.BytesIO(content), formats=FORMATS))
            if image.mode.startswith("I"):
                image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
            if image.mode == "F":
                raise ValueError("floating-point images have no defined range")
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return np.asarray(image.convert("RGB"))
    except MemoryError:
        raise
    except Exception as error:  # whatever a decoder raises is the file's fault
        raise ValueError(str(error) or type(error).__name__) from None


def find(arguments: list[str], here: Path) -> list[Path]:
    """The files that are meant, folders with all images in them. Raises `Mistake`."""
    found = []
    for name in arguments:
        path = here / name
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not path.is_file() and not inside:
            raise Mistake(f"{name} holds no images" if path.is_dir() else f"{name} is missing")
        found += [path] if path.is_file() else inside
    return found


def load(path: Path) -> tuple[Experiment, torch.nn.Module, dict]:
    """One seed's experiment, network and description; names, shapes and types are checked. Raises `Failure`."""
    again = f"run `dvc repro --force train@{path.parent.name}`"
    try:
        weights, about = checkpoint.load(path)
        experiment = Experiment.model_validate(about["experiment"])
        with torch.device("meta"):  # nothing is initialised
            network = experiment.build()
        mean, std = (torch.tensor(about[key]).reshape(3) for key in ("mean", "std"))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Failure(f"{path} is damaged or of another version ({error}): {again}") from None
    expected = {name: (value.shape, value.dtype) for name, value in network.state_dict().items()}
    if {name: (value.shape, value.dtype) for name, value in weights.items()} != expected:
        raise Failure(f"{path} does not fit the network of its recipe: {again}")
    network.load_state_dict(weights, assign=True)
    return experiment, network, about | {"mean": mean, "std": std}


def probabilities(pixels: np.ndarray, experiment: Experiment, network: torch.nn.Module, about: dict) -> np.ndarray:
    """N×classes of N×S×S×3 uint8 images, as `evaluate` sees them."""
    recipe, place = experiment.recipe, device.choose()
    device.prepare(place, recipe.threads)
    x, labels = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), torch.zeros(len(pixels), dtype=torch.long)
    images = augment.Images(x, labels, about["mean"], about["std"], recipe.input_size, place, layout=recipe.layout)
    network.to(place, memory_format=augment.LAYOUTS[recipe.layout])
    with torch.no_grad():
        return torch.softmax(training.predict(network, images, recipe.precision).double(), 1).cpu().numpy()


def draw(path: Path, pictures: list[np.ndarray], answers: list[dict], title: str) -> None:
    from lineage.report.style import plt

    figure, axes = plt.subplots(len(pictures), 2, figsize=(6, 0.6 + 1.7 * len(pictures)), squeeze=False)
    for (left, right), picture, answer in zip(axes, pictures, answers, strict=True):
        left.imshow(picture)
        left.axis("off")
        left.set_title(Path(answer["image"]).name[-40:], fontsize=8, parse_math=False)
        names = [one["class"] for one in answer["classes"]]
        right.barh(range(len(names)), [100 * one["probability"] for one in answer["classes"]], color="#08306b")
        right.set_yticks(range(len(names)), names)
        right.set(xlim=(0, 100), xlabel="probability in %")
        right.invert_yaxis()
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:], dpi=120)
    write_bytes(path, content.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="a key of `experiments` in experiments.yaml")
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    parser.add_argument("--json", action="store_true", help="instead of the table")
    parser.add_argument("--figure", help="draw each image with its bars: out.png, .svg or .pdf")
    given, here = parser.parse_args(), Path.cwd()
    name = given.experiment
    os.chdir(REPOSITORY)
    known = [path.stem for path in Path("recipes/experiments").glob("*.json")]
    if name not in known:
        close = ", ".join(difflib.get_close_matches(name, known)) or "see experiments.yaml"
        raise Mistake(f"{name} is no experiment; close names: {close}")
    files = sorted(Path("models", name).glob("seed-*.safetensors"))
    if not files:
        raise Mistake(f"models/{name} has no trained weights: `dvc repro train@{name}` trains them")
    if given.figure and Path(given.figure).suffix not in (".png", ".svg", ".pdf"):
        raise Mistake("--figure: the name should end in .png, .svg or .pdf")
    paths = find(given.images, here)
    if given.figure and len(paths) > DRAWN:
        raise Mistake(f"--figure draws up to {DRAWN} images, not {len(paths)}")
    total, pixels, pictures = 0, [], []
    experiment = load(files[0])[0]
    data = read_json(Path("recipes/datasets", f"{experiment.dataset}.json"))
    for path in paths:
        try:
            image = Image.fromarray(read_image(path.read_bytes()))
        except (ValueError, OSError) as error:
            raise Failure(f"{path} cannot be read as an image: {error}") from None
        pixels.append(np.asarray(image.resize((data["image_size"],) * 2, Image.Resampling.BILINEAR)))
        image.thumbnail((256, 256))
        pictures.append(np.asarray(image))
    for file in files:
        total = total + probabilities(np.stack(pixels), *load(file)) / len(files)
    if total.shape[1] != len(data["classes"]) or not np.isfinite(total).all():
        raise Failure(f"models/{name} does not fit its data set: run `dvc repro --force train@{name}`")
    answers = []
    for path, row in zip(paths, total, strict=True):
        best = [{"class": data["classes"][i], "probability": float(row[i])} for i in np.argsort(-row)[:MOST]]
        answers.append({"image": str(path.relative_to(here) if path.is_relative_to(here) else path), "classes": best})
    sample = "" if experiment.scale == "full" else f"; scale: {experiment.scale} – not results"
    title = f"{name}, mean of {len(files)} seed(s){sample}"
    if given.json:
        about = {"experiment": name, "scale": experiment.scale, "seeds": len(files), "images": answers}
        print(json.dumps(about, indent=1, ensure_ascii=False))
    else:
        print(title)
        for answer in answers:
            print(answer["image"])
            for one in answer["classes"]:
                print(f"  {one['probability']:7.2%}  {one['class']}")
    if given.figure:
        draw(here / given.figure, pictures, answers, title)


if __name__ == "__main__":
    run(main)
