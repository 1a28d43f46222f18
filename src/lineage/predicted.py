"""What `predict` draws: each image beside its most likely classes."""

import io
from pathlib import Path

from matplotlib import pyplot as plt
from PIL import Image

from lineage.files import write_bytes
from lineage.report.card_figures import TRAIN
from lineage.report.style import STYLE


def drawable(name: str) -> str:
    """A file's name with a question mark for what no font has: bytes that are no text, and control characters."""
    text = name.encode(errors="replace").decode()
    return "".join(one if one.isprintable() else "?" for one in text)


def draw(path: Path, pictures: list[Image.Image], answers: list[dict], title: str) -> None:
    """Write the figure, in the format of its suffix. An answer has the name of its `image` and its `classes`, each with
    its `class` and `probability`.
    """
    with plt.rc_context(STYLE | {"axes.grid": False}):
        size = (6, 0.6 + 1.7 * len(pictures))
        figure, axes = plt.subplots(len(pictures), 2, figsize=size, layout="constrained", squeeze=False)
        for (left, right), picture, answer in zip(axes, pictures, answers, strict=True):
            left.imshow(picture)
            left.axis("off")
            left.set_title(drawable(Path(answer["image"]).name)[-40:], fontsize=8, parse_math=False)
            names = [one["class"] for one in answer["classes"]]
            right.barh(range(len(names)), [100 * one["probability"] for one in answer["classes"]], color=TRAIN)
            right.set_yticks(range(len(names)), names, parse_math=False)
            right.set(xlim=(0, 100), xlabel="probability in %")
            right.invert_yaxis()
        figure.suptitle(title, fontsize=9)
        content = io.BytesIO()
        figure.savefig(content, format=path.suffix[1:])
        plt.close(figure)
    write_bytes(path, content.getvalue())
