"""predict: what an experiment's trained networks see in your images.

    python src/predict.py resnet34-signs hand.jpg photos/ --figure out.png

For people; not a stage. Prints the five most likely classes of each image with their probabilities, averaged over the
seeds; `--json` prints them as JSON. Images are read as `fetch` reads those of an archive: grey or coloured, 8 or 16
bits, up to 35 million pixels, squashed to the data set's size. Works from any folder; expect seconds. The weights say
themselves which recipe and scale they come from.
"""

from lineage.errors import Failure, Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open

from lineage import decoding, effort
from lineage.engine import augment, checkpoint, device, tensors, training
from lineage.engine.experiment import Experiment, read_experiment
from lineage.files import check_name, read_json

REPOSITORY = Path(__file__).resolve().parents[1]
MOST, DRAWN, SIDE = 5, 60, 256  # classes of an image; images in a figure, and their pixels at most


def find(arguments: list[str], here: Path) -> list[Path]:
    """The files that are meant, folders with all images in them. Raises `Mistake`."""
    suffixes = {suffix for suffix, format in Image.registered_extensions().items() if format in decoding.IMAGES}
    found = []
    for name in arguments:
        path = here / name
        inside = [p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file()]
        inside = [p for p in inside if not any(part[0] == "." for part in p.relative_to(path).parts)]  # hidden
        if not path.is_file() and not inside:
            raise Mistake(f"{name} holds no images" if path.is_dir() else f"there is no file and no folder {name}")
        found += [path] if path.is_file() else sorted(inside)
    return found


def read(path: Path, size: int, shown: bool) -> tuple[np.ndarray, Image.Image | None]:
    """The image as `fetch` would store it (size×size×3, uint8), and, if it is to be shown, a small one to look at.
    Raises `Failure`.
    """
    try:
        whole = decoding.decode(path.read_bytes())
    except (ValueError, OSError) as error:
        raise Failure(f"{path} cannot be read as an image: {error}") from None
    if not shown:
        return decoding.squash(whole, size), None
    small = Image.fromarray(whole)
    small.thumbnail((SIDE, SIDE))
    return decoding.squash(whole, size), small


def load(path: Path) -> tuple[Experiment, torch.nn.Module, dict]:
    """One seed's experiment, network and description; names, shapes and types are checked. Raises `Failure`."""
    again = f"run `dvc repro --force train@{path.parent.name}`"
    try:
        if path.is_file():
            path.open("rb").close()  # of one that may not be read safetensors says that there is none
        weights, about = checkpoint.load(path)
        experiment = Experiment.model_validate(about["experiment"])
        with torch.device("meta"):  # nothing is initialised
            network = experiment.build()
        about |= {key: torch.tensor(about[key]).reshape(3) for key in ("mean", "std")}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Failure(f"{path} is damaged or of another version ({error}): {again}") from None
    sides = weights, network.state_dict()
    for name in sorted(sides[0].keys() | sides[1].keys()):
        there, wanted = (f"{tuple(s[name].shape)} {s[name].dtype}" if name in s else "nothing" for s in sides)
        if there != wanted:
            raise Failure(f"{path} does not fit its network: {name} is {there}, not {wanted}; {again}")
    network.load_state_dict(weights, assign=True)
    return experiment, network, about


def probabilities(pixels: np.ndarray, experiment: Experiment, network: torch.nn.Module, about: dict) -> np.ndarray:
    """N×classes of N×S×S×3 uint8 images, as `evaluate` computes them."""
    recipe, place = experiment.recipe, device.choose()
    device.prepare(place, recipe.threads)
    x, labels = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), torch.zeros(len(pixels), dtype=torch.long)
    images = augment.Images(x, labels, about["mean"], about["std"], recipe.input_size, place, layout=recipe.layout)
    network.to(place, memory_format=augment.LAYOUTS[recipe.layout])
    with torch.no_grad():
        return torch.softmax(training.predict(network, images, recipe.precision).double(), 1).cpu().numpy()


def trained(name: str) -> list[tuple[Experiment, torch.nn.Module, dict]]:
    """An experiment's seeds, each as `load` returns it. Raises `Mistake` where it has none, `Failure`."""
    check_name(name)
    experiment = read_experiment(name)
    files = sorted(Path("models", name).glob("seed-*.safetensors"), key=lambda path: (len(path.name), path.name))
    if not files:
        time = effort.how_long(experiment)
        raise Mistake(f"{name} has not been trained here: run `dvc repro train@{name}`{time and f' ({time})'}")
    seeds = [load(file) for file in files]
    if any(experiment != seeds[0][0] for experiment, _, _ in seeds):
        raise Failure(f"models/{name} has seeds of different recipes: run `dvc repro --force train@{name}`")
    return seeds


def prepared_with(prepared: Path) -> tuple[list[str], int]:
    """The classes, and the size in pixels, of a file of images that `preprocess` has written. Raises `Failure`."""
    prepared.open("rb").close()  # of one that may not be read safetensors says that there is none
    try:
        with safe_open(prepared, "numpy") as file:
            return json.loads((file.metadata() or {})["classes"]), file.get_slice("images").get_shape()[-1]
    except (SafetensorError, KeyError) as error:
        again = f"run `dvc repro --force preprocess@{prepared.parent.name}`"
        raise Failure(f"{prepared} is damaged ({error}): {again}") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="a key of `experiments` in experiments.yaml")
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--figure", help="draw each image with its bars: out.png, .svg or .pdf")
    given, here = parser.parse_args(), Path.cwd()
    paths = find(given.images, here)
    if given.figure and (Path(given.figure).suffix not in (".png", ".svg", ".pdf") or len(paths) > DRAWN):
        raise Mistake(f"--figure takes a name that ends in .png, .svg or .pdf, and up to {DRAWN} images")
    os.chdir(REPOSITORY)
    name, seeds = given.experiment, trained(given.experiment)
    known, scale = Path("recipes/datasets", f"{seeds[0][0].dataset}.json"), seeds[0][0].scale
    if not known.is_file():
        other = f"or, if the data set has another name now, `dvc repro train@{name}`"
        raise Mistake(f"{known} is missing: run `dvc repro recipes`, {other}")
    data = read_json(known)
    if len(data["classes"]) != seeds[0][0].classes:
        raise Mistake(f"{known} has another number of classes than models/{name}: run `dvc repro train@{name}`")
    prepared = tensors.path(seeds[0][0].dataset, "train")
    if prepared.is_file():  # what was trained with, if it is still here
        classes, size = prepared_with(prepared)
        again = f"run `dvc repro train@{name}`"
        if classes != data["classes"]:
            raise Mistake(f"{known} has other classes than {prepared}, or in another order: {again}")
        if size != data["image_size"]:
            raise Mistake(f"{known} has images of {data['image_size']} pixels, {prepared} of {size}: {again}")
    pixels, pictures = zip(*(read(path, data["image_size"], bool(given.figure)) for path in paths), strict=True)
    mean = sum(probabilities(np.stack(pixels), *seed) for seed in seeds) / len(seeds)
    if mean.shape[1] != len(data["classes"]):
        source = f"src/lineage/models/{seeds[0][0].model}.py"
        raise Mistake(
            f"{source} gives {mean.shape[1]} outputs for {len(data['classes'])} classes: mend and train it again"
        )
    if not np.isfinite(mean).all():
        raise Failure(f"models/{name} answers with numbers that are not finite: its training diverged")
    answers = []
    for path, row in zip(paths, mean, strict=True):
        best = [{"class": data["classes"][i], "probability": float(row[i])} for i in np.argsort(-row)[:MOST]]
        answers.append({"image": str(path.relative_to(here) if path.is_relative_to(here) else path), "classes": best})
    title = f"{name}, mean of {len(seeds)} seeds" if len(seeds) > 1 else f"{name}, one seed"
    title += "" if scale == "full" else f"; scale: {scale} – not results"
    if given.json:
        about = {"experiment": name, "scale": scale, "seeds": len(seeds), "images": answers}
        print(json.dumps(about, indent=1, ensure_ascii=False))
    else:
        print(title)
        for answer in answers:
            print(answer["image"])
            print(*(f"  {one['probability']:7.2%}  {one['class']}" for one in answer["classes"]), sep="\n")
    if given.figure:
        from lineage import predicted  # loads Matplotlib

        predicted.draw(here / given.figure, list(pictures), answers, title)


if __name__ == "__main__":
    run(main)
