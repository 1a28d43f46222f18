"""The figures by epoch that study.yaml asks for."""

from lineage.report import figures
from lineage.report.entries import AXES
from lineage.report.markdown import Draw
from lineage.report.results import Results
from lineage.report.study import FIGURES


def section(results: Results, draw: Draw) -> list[str]:
    """The figures of study.yaml of which two experiments or more have run."""
    lines = []
    for one in FIGURES.values():
        named = {label: results[name].history for label, name in one.experiments.items() if name in results}
        if len(named) > 1:
            title = f"{one.title} (mean; band: lowest to highest)"
            drawn = figures.lines(named, one.shows, AXES[one.shows], title, one.mark)
            lines += draw(drawn, f"{one.id}.svg", f"{AXES[one.shows]} by epoch: {one.title}")
    return lines
