"""The findings on networks that differ in one part alone: what that part does to the test error."""

from lineage.report.measured import Measured, difference, sides
from lineage.report.openings import opened
from lineage.report.verdicts import NOT_RUN, REVERSED

# Of a claim about the test error: what is said to lower it, and whose.
PARTS = {
    "lrn-helps": ("local response normalisation (LRN)", "a four-layer network after Krizhevsky et al. (2012)"),
    "batch-norm": ("batch norm instead of LRN", "a four-layer network after Krizhevsky et al. (2012)"),
    "vgg-shortcut": ("a shortcut in every block", "VGG"),
    "projection": ("a projection instead of the identity on every shortcut", "VGG with residual blocks"),
    "always-convolved": ("S0's convolution instead of the identity on every shortcut", "VGG with residual blocks"),
}


def parts(m: Measured) -> list[str]:
    """A finding for each part whose two networks have run."""
    said = []
    for claim, (part, network) in PARTS.items():
        for one in (one for place, one in m.judgements.items() if place[0] == claim and one.verdict != NOT_RUN):
            error = f"the test error of {network}"
            against = f"raises {error}" if one.verdict == REVERSED else f"does not lower {error}"
            opening = opened([one], part, f"lowers {error}", against)
            without, with_it = (m.error(name, "test") for name in sides(one))
            said.append(f"{opening} {without}, {with_it}, difference {difference(one)}.")
    return said
