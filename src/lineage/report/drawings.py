"""The figures by epoch that study.yaml asks for."""

from lineage.errors import Mistake
from lineage.report import figures
from lineage.report.markdown import Draw
from lineage.report.results import Results
from lineage.report.study import FIGURES
from lineage.report.style import LINES

AXES = {"train_error": "training error in %", "val_error": "validation error in %"}


def section(results: Results, draw: Draw) -> list[str]:
    """The figures of study.yaml of which two experiments or more have run. Raises `Mistake`."""
    lines = []
    for one in FIGURES.values():
        if one.shows not in AXES or not 2 <= len(one.experiments) <= len(LINES):
            wanted = f"`shows` is one of {', '.join(AXES)}, and 2 to {len(LINES)} experiments"
            raise Mistake(f"study.yaml, figures, {one.id}: {wanted}")
        named = {label: results[name].history for label, name in one.experiments.items() if name in results}
        if len(named) > 1:
            title = f"{one.title} (mean; band: lowest to highest)"
            drawn = figures.lines(named, one.shows, AXES[one.shows], title, one.mark)
            lines += draw(drawn, f"{one.id}.svg", f"{AXES[one.shows]} by epoch: {one.title}")
    return lines
