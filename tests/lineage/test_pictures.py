from pathlib import Path

import numpy as np
from conftest import sha256

from lineage import pictures


def test_a_strip_comes_back_tile_by_tile(workspace):
    tiles = np.random.default_rng(0).integers(0, 256, (5, 7, 7, 3), np.uint8)
    pictures.write_strip(Path("a.png"), tiles)
    assert (pictures.read_strip(Path("a.png")) == tiles).all()
    first = sha256("a.png")
    pictures.write_strip(Path("a.png"), tiles)
    assert sha256("a.png") == first


def test_each_kernel_goes_from_black_to_white():
    weight = np.random.default_rng(0).normal(size=(4, 3, 7, 7)).astype(np.float32)
    weight[3] = 0.5  # one that says nothing
    tiles = pictures.filters(weight)
    assert tiles.shape == (4, 7, 7, 3) and tiles.dtype == np.uint8
    assert (tiles[:3].min((1, 2, 3)) == 0).all() and (tiles[:3].max((1, 2, 3)) == 255).all()
    assert (tiles[3] == 0).all()
    row, column, channel = np.unravel_index(weight[0].transpose(1, 2, 0).argmax(), (7, 7, 3))
    assert tiles[0, row, column, channel] == 255
