from test_models import build, count, learn, shapes
from torch import nn

from lineage.models.lenet import LeNet5


def test_sizes_and_parameters_of_figure_2():
    network = LeNet5(10, 32, channels=1)
    assert count(network) == 61_706  # the paper's 60,000 and more: every map of C3 sees all six of S2
    layers = [layer for layer in network.features if not isinstance(layer, nn.Tanh)]
    assert [type(layer) for layer in network.features] == [nn.Conv2d, nn.Tanh, nn.AvgPool2d] * 2
    assert shapes(layers, 32, channels=1) == [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5)]
    assert [layer.out_features for layer in network.head if isinstance(layer, nn.Linear)] == [120, 84, 10]


def test_it_learns(signs):
    assert learn(build("lenet", 32, 6), signs, 32, lr=3e-3)[1] < 0.05
