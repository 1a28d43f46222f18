"""The report's pages as lines of Markdown."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lineage.report import style
from lineage.report.verdicts import Interval

MANY = 20  # rows of a table
Draw = Callable[[Figure, str, str], list[str]]  # a figure, its file's name, and what it shows → lines


def head(title: str, scale: str) -> list[str]:
    lines = [f"# {title}", "", "Written by `src/compare.py`; `dvc repro -s compare` writes it again.", ""]
    if scale != "full":
        lines += [f"> **scale: {scale}. A run in miniature, to see that everything works: these are not results.**", ""]
    return lines


def table(header: str, align: str, rows: list[tuple]) -> list[str]:
    """Lines of Markdown; the header's columns are separated by ` | `, and `align` has an l or an r for each."""
    rules = " | ".join({"l": "---", "r": "---:"}[side] for side in align.split())
    cells = ([str(cell).replace("|", r"\|") for cell in row] for row in rows)
    return [f"| {header} |", f"| {rules} |", *(f"| {' | '.join(row)} |" for row in cells), ""]


def details(title: str, lines: list[str]) -> list[str]:
    """Lines that are shown when the reader opens them."""
    return ["<details>", f"<summary>{title}</summary>", "", *lines, "</details>", ""]


def long_table(title: str, header: str, align: str, rows: list[tuple]) -> list[str]:
    """A table; one of many rows is shown when the reader opens it."""
    lines = table(header, align, rows)
    return details(f"{title} ({len(rows)} rows)", lines) if len(rows) > MANY else lines


def listed(opening: str, items: list[str]) -> str:
    """A numbered item: its opening, and below that a line for each of its own items; one alone follows the opening."""
    return "\n".join([opening, *(f"    - {item}" for item in items)]) if len(items) > 1 else " ".join([opening, *items])


def enumerated(said: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(said[:-1]), said[-1]]))


def prediction(text: str, came: list[str]) -> list[str]:
    """What was predicted, and what came of each part of it; nothing where none of it is known."""
    return [*text.splitlines(), f"Outcome: {'; '.join(came)}.", ""] if came else []


def link(experiment: str) -> str:
    """An experiment's name, linked to its card."""
    return f"[{experiment}](experiments.md#{anchor(experiment)})"


def anchor(experiment: str) -> str:
    """What GitHub makes of the heading of an experiment's card."""
    return experiment.replace(".", "")


def figure(folder: Path, scale: str, drawn: Figure, name: str, shows: str) -> list[str]:
    """Save a figure and return the lines that show it on a page of docs/."""
    style.save(drawn, folder / name, scale)
    return [f"![{shows}](../{(folder / name).as_posix()})", ""]


def capitalised(text: str) -> str:
    """With a capital at the beginning, and the rest as it is."""
    return text[:1].upper() + text[1:]


def percent(values: pd.Series) -> str:
    """Fractions as per cent, mean and standard deviation over the seeds."""
    spread = f" ± {values.std() * 100:.2f}" if len(values) > 1 else ""
    return f"{values.mean() * 100:.2f}{spread}"


def difference_text(found: Interval, unit: str) -> str:
    """A difference in its unit (pp, epochs), or the logarithm of a ratio (×), with its interval where it has one."""
    if unit == "×":
        mean, low, high = (ratio_digits(math.exp(value)) if abs(value) < 99 else "" for value in found)
        mean = f"× {mean}"
    else:
        mean, low, high = (f"{round(value, 2) + 0.0:+.2f}" for value in found)  # no minus before 0.00
        mean = f"{mean} {unit}"
    if math.isfinite(found[1]) and not math.isfinite(found[2]):
        return f"at least {mean}"
    return f"{mean} ({low} … {high})" if math.isfinite(found[1]) else mean


def span(values: pd.Series | np.ndarray) -> str:
    """The lowest and the highest of them, or the one that all are; nothing where there is none."""
    return " … ".join(digits(value) for value in sorted({values.min(), values.max()})) if len(values) else ""


def ratio_digits(ratio: float) -> str:
    """Three digits, without an exponent up to a hundred million."""
    return f"{float(f'{ratio:.3g}'):,.0f}" if 999.5 <= ratio < 1e8 else f"{ratio:.3g}"


def digits(value: float) -> str:
    """Two significant digits, but whole numbers from a hundred to ten thousand; no exponent up to ten million."""
    if value < 99.5 or value >= 1e7:
        return f"{value:.2g}"
    return f"{value:,.0f}" if value < 10_000 else f"{float(f'{value:.2g}'):,.0f}"
