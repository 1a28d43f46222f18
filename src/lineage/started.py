"""Whether a network has started to train, which the report and the sweep judge alike."""

STARTED = 0.8  # of the mistakes of one who guesses: whoever makes more on the training images has not started to train


def most_mistakes(classes: int) -> float:
    """The largest training error of a network that has started to train, as a fraction."""
    return STARTED * (1 - 1 / classes)
