"""What a step does on a GPU. Without one, on fake CUDA tensors, which have a shape and a device but no numbers: no
operation mixes devices, waits for the device, or is one that torch refuses there in deterministic mode. With one, that
every family trains to the same bits, with a CUDA graph and without.
"""

from collections import Counter
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lineage import models
from lineage.engine import device, step, training
from lineage.engine.augment import LAYOUTS, Images
from lineage.engine.recipe import Recipe
from lineage.options import options_of

CPU = torch.device("cpu")
# the 41 places of torch 2.11's libtorch_cuda that call alertNotDeterministic, by the operation that leads there
REFUSED = {
    "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward",
    "adaptive_max_pool2d_backward",
    "avg_pool3d_backward",
    "max_pool3d_with_indices_backward",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d_backward",
    "grid_sampler_2d_backward",
    "grid_sampler_3d_backward",
    "index_reduce",
    "_ctc_loss_backward",
    "max_unpool2d",
    "max_unpool3d",
    "nll_loss2d_forward",
    "reflection_pad1d_backward",
    "reflection_pad3d_backward",
    "replication_pad1d_backward",
    "replication_pad2d_backward",
    "replication_pad3d_backward",
    "scatter",
    "scatter_reduce",
    "histc",
    "bincount",
    "median",
    "kthvalue",
    "put",
    "_embedding_bag_dense_backward",
    "upsample_linear1d_backward",
    "upsample_bilinear2d_backward",
    "upsample_bicubic2d_backward",
    "upsample_trilinear3d_backward",
    "_upsample_bilinear2d_aa_backward",
    "_upsample_bicubic2d_aa_backward",
}
# those that hand a number, or a size that depends on numbers, back to Python
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero", "item"}


class Watch(TorchDispatchMode):
    """Counts the operations and notes each fault; the fused optimisers, which fake tensors lack, it checks as CUDA's
    kernels do.
    """

    def __init__(self):
        super().__init__()
        self.seen, self.faults = Counter(), set()

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        name, kwargs = op.overloadpacket.__name__, kwargs or {}
        plain = name if name in WAITING else name.rstrip("_")
        self.seen[plain] += 1
        if plain in REFUSED | WAITING:
            self.faults.add(plain)
        if plain in ("index", "index_put") and any(i is not None and i.dtype == torch.bool for i in args[1]):
            self.faults.add(f"{plain} by a mask, which waits for the number of places")
        if plain.startswith("_fused_") and args[0][0].is_cuda:
            for tensors in filter(None, args[:4]):  # ATen/native/ForeachUtils.h: check_fast_path_restrictions
                for one, other in zip(args[0], tensors, strict=True):
                    assert (one.device, one.dtype, one.shape) == (other.device, other.dtype, other.shape)
            assert kwargs["lr"].is_cuda
            return None
        result = op(*args, **kwargs)
        if len({leaf.device for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)}) > 1:
            self.faults.add(f"{plain} between devices")
        return result


class Case(NamedTuple):
    model: str
    options: dict
    size: int
    recipe: dict


CASES = {
    "lenet": Case("lenet", {}, 32, {"cutmix": 1.0}),
    "four layers, lrn": Case("alexnet", {"depth": 4, "normalisation": "lrn", "activation": "tanh"}, 32, {}),
    "alexnet": Case("alexnet", {"normalisation": "batch"}, 64, {"optimiser": "adam", "clip": 1.0}),
    "resnet": Case("resnet", {"depth": 8, "shortcut": "identity"}, 32, {"rotate": 15, "zoom": 0.1, "trust": 0.1}),
    "bottleneck": Case("resnet", {"depth": 50, "shortcut": "projection", "stem": "imagenet"}, 32, {"layout": "NCHW"}),
    "plain, dirac": Case(
        "resnet",
        {"depth": 8, "shortcut": "none", "normalisation": "none", "initialisation": "dirac"},
        32,
        {"clip": 1.0, "trust": 0.01, "decay": "all"},
    ),
    "vgg": Case("vgg", {"depth": 11, "dropout": 0.1}, 64, {"ema": 0.9, "cutout": 8, "label_smoothing": 0.1}),
    "vgg that grows": Case("vgg", {"depth": 11}, 64, {"grow": {32: 0.3, 48: 0.3}, "cutmix": 0.5, "epochs": 3}),
    "classic": Case("vgg", {"depth": 11, "head": "classic"}, 32, {"precision": "fp32", "nesterov": False}),
    "residual vgg": Case(
        "residual_vgg", {"shortcut": "projection"}, 32, {"keep": "best", "optimiser": "muon", "muon_step": 0.1}
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def task(case, place):
    """A network, images for training and for validation, and a recipe."""
    base = {"epochs": 2, "batch_size": 4, "lr": 0.01, "schedule": "constant", "shift": 2, "flip": True}
    recipe = Recipe(**base | {"input_size": case.size} | case.recipe)
    torch.manual_seed(0)
    network = models.build(case.model, 4, case.size, options_of(case.model)(**case.options))
    for module in network.modules():  # as `Module.to`, which fake tensors refuse
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                layout = LAYOUTS[recipe.layout] if parameter.ndim == 4 else torch.preserve_format
                module._parameters[name] = nn.Parameter(parameter.detach().to(place, memory_format=layout))
        for name, buffer in list(module._buffers.items()):
            module._buffers[name] = buffer.to(place)
    pixels = torch.arange(8 * 3 * 32 * 32).view(8, 3, 32, 32).mul(37).remainder(251).byte()
    about = pixels, torch.arange(8) % 4, torch.full((3,), 0.5), torch.full((3,), 0.3)
    train, val = (Images(*about, case.size, place, pad, recipe.layout) for pad in (recipe.shift, 0))
    return network, train, val, recipe


@pytest.fixture(autouse=True)
def deterministic():
    threads = torch.get_num_threads()
    device.prepare(CPU, 1)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@every_case
def test_no_operation_of_a_step_waits_or_is_refused(case):
    run = training.Training(*task(case, CPU), 0)
    with Watch() as watch:
        run.step.take()
    assert not watch.faults
    assert watch.seen["convolution_backward"]


def test_no_operation_between_the_steps_of_an_epoch_waits():
    run, waited = training.Training(*task(CASES["lenet"], CPU), 0), []
    with Watch() as watch:
        run.epoch(lambda: waited.append(sum(watch.seen[name] for name in WAITING)))
    assert waited[0] == waited[-1] and len(waited) == 2
    assert watch.seen["_local_scalar_dense"] > waited[-1]  # the epoch's end waits, once


@pytest.fixture
def fake_cuda(monkeypatch):
    """A GPU without one: tensors that say they are on it, and what they lack."""
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: True)

    def optimiser(groups, lr, recipe, make=step.OPTIMISERS):
        rate = type("Rate", (float,), {"is_cuda": True})(0.1)  # a number: optimisers compare it with 0 when made
        made = make[recipe.optimiser](groups, rate, recipe)
        for group in made.param_groups:
            assert group["lr"] is rate  # the tensor itself, which a CUDA graph reads at each replay
            assert group.get("capturable", True)  # or else Adam refuses to be captured
            group["lr"] = lr
        return made

    monkeypatch.setattr(step, "OPTIMISERS", dict.fromkeys(step.OPTIMISERS, optimiser))
    with FakeTensorMode():
        yield torch.device("cuda:0")


@pytest.mark.parametrize(("variable", "graph"), [("1", True), ("0", False)])
def test_a_step_on_a_gpu_is_a_graph_unless_they_are_switched_off(fake_cuda, monkeypatch, variable, graph):
    monkeypatch.setenv("CUDA_GRAPHS", variable)
    run = training.Training(*task(CASES["lenet"], fake_cuda), 0)
    assert run._graph == graph
    monkeypatch.setattr(run.step, "captured", lambda: "the graph")
    assert run._prepared(32) == ("the graph" if graph else run.step.take)


@every_case
def test_a_step_on_a_gpu_stays_there(case, fake_cuda, monkeypatch):
    network, train, val, recipe = task(case, fake_cuda)
    if recipe.ema:  # not in the module `copy` itself: pytest needs that one to report a failure
        monkeypatch.setattr(step, "copy", SimpleNamespace(deepcopy=lambda _: task(case, fake_cuda)[0]))
    runs = [training.Training(network, train, val, recipe, 0, graph=False)]

    def backward(loss):  # autograd's engine wants a device
        assert loss.is_cuda
        for parameter in runs[-1].step.parameters:
            parameter.grad = torch.empty_like(parameter)

    monkeypatch.setattr(Tensor, "backward", backward)
    watch = Watch()
    for size in [*recipe.grow, case.size]:
        train.input_size = size
        with watch:
            runs[-1].step.take()
    state = {name: tensor.cpu() for name, tensor in runs[-1].state()[0].items()}
    runs.append(training.Training(network, train, val, recipe, 0, graph=False))  # without an optimiser's memory
    runs[-1].resume(state, {"history": []})
    with watch:
        runs[-1].step.take()
    assert not watch.faults
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    steps = len(recipe.grow) + 2  # one of each size, and one resumed
    assert watch.seen["convolution"] == steps * convolutions
    groups = [group for group in runs[0].step.optimiser.param_groups if group["params"]]
    fused = "adam" if recipe.optimiser == "adam" else "sgd"  # Muon leaves matrices and vectors to SGD
    assert watch.seen[f"_fused_{fused}"] == steps * len(groups)
    assert all(tensor.is_cuda for run in runs for tensor in run.step.state().values())
    assert training.predict(runs[0].result, val, recipe.precision, 3).is_cuda


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
@every_case
def test_every_family_trains_to_the_same_bits(case):
    """Twice eager and twice with a CUDA graph."""
    place, ends = torch.device("cuda"), []
    device.prepare(place, 1)
    for graph in (False, True, False, True):
        network, *others = task(case, place)
        run = training.Training(network, *others, 0, graph)
        before = {name: tensor.detach().clone() for name, tensor in network.named_parameters()}
        while not run.finished:
            run.epoch()
        assert not run.diverged
        assert any(not torch.equal(before[name], tensor) for name, tensor in network.named_parameters())
        ends.append({name: tensor.cpu() for name, tensor in run.weights().items()})
    for end in ends[1:]:
        assert all(torch.equal(tensor, end[name]) for name, tensor in ends[0].items())
