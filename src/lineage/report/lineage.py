"""The lineage in historical order: ours beside the article's and the best published number."""

from itertools import compress

from lineage.report.markdown import Draw, link, percent, table
from lineage.report.published import PUBLISHED, Published
from lineage.report.results import PRECISION_NAMES, Result, Results
from lineage.report.study import LINEAGE

TEXT = """\
Test accuracy in per cent. *Ours*: of the weights that the recipe names (those after the last epoch, or the best on
validation). *Year*: of the network's paper; S0's residual VGG has none and stands beside ResNet. All networks of the
VGG family here have batch norm."""
NOTES = {
    "best that we found": "Many published numbers are the best epoch on the test set, or do not say how they were "
    "chosen; no verdict rests on them. Where the last cell is empty, we have not looked for one.",
    "ensemble": "*Ensemble* of all seeds: the answer is the class with the largest mean probability over the seeds.",
}


# title and side of each column; those that say nothing in any row are left out
COLUMNS = {"year": "r", "network": "l", "experiment": "l", "data": "l", "ours": "r", "n": "r", "ensemble": "r"}
COLUMNS |= {"budget": "l", "the article says": "l", "best that we found": "l"}
NOTHING = ("", "no number", "none found")


def section(results: Results, draw: Draw) -> list[str]:
    rows = [row(year, network, results[name]) for year, network, names in LINEAGE for name in names if name in results]
    waiting = [link(name) for _, _, names in LINEAGE for name in names if name not in results]
    filled = [any(one[place] not in NOTHING for one in rows) for place in range(len(COLUMNS))]
    header, align = " | ".join(compress(COLUMNS, filled)), " ".join(compress(COLUMNS.values(), filled))
    lines = table(header, align, [tuple(compress(one, filled)) for one in rows])
    notes = [note for column, note in NOTES.items() if column in compress(COLUMNS, filled)]
    lines = [*TEXT.splitlines(), *notes, "", *lines] if rows else []
    return lines + ([f"Not run yet: {', '.join(waiting)}.", ""] if rows and waiting else [])


def row(year: int, network: str, result: Result) -> tuple[str | int, ...]:
    other = PUBLISHED.get(result.name, Published())
    public = f"{other.public} ({other.source}; chosen: {other.selection})" if other.source else other.public
    ours = result.shown(percent(result.top1("test")))
    accuracy = result.together("test")
    together = "" if accuracy is None else f"{100 * accuracy:.2f}"
    budget = f"{result.budget}, {PRECISION_NAMES[result.precision]}"
    sizes = [*result.experiment.recipe.grow, result.provenance["input_size"]]
    data = f"{result.experiment.dataset}, {' to '.join(dict.fromkeys(map(str, (sizes[0], sizes[-1]))))} px"
    article = other.article or "no number"
    return (year, network, link(result.name), data, ours, result.n, together, budget, article, public)
