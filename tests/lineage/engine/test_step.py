import contextlib

import pytest
import torch
from test_training import BASE, begin, deterministic, fit, network  # noqa: F401
from torch import nn

from lineage.engine import step
from lineage.engine.recipe import Recipe
from lineage.errors import Failure


def test_weight_decay_spares_biases_and_batch_norm():
    net = network()
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(1e-3 if p.ndim > 1 else 1.0)
    before = [p.detach().clone() for p in net.parameters()]
    # a rate so small that gradients do nothing beside a weight decay so large
    fit(net, Recipe(**{**BASE, "lr": 1e-7, "epochs": 1}, weight_decay=1e5))
    for old, new in zip(before, net.parameters(), strict=True):
        ratio = (new / old).mean().item()
        assert ratio < 0.95 if new.ndim > 1 else ratio == pytest.approx(1, abs=1e-4)
    fit(net, Recipe(**{**BASE, "lr": 1e-7, "epochs": 1}, weight_decay=1e5, decay="all"))
    assert all(p.detach().abs().max() < 0.98 for p in net.parameters())


def test_cutmix_weighs_the_two_labels_by_their_shares():
    run = begin(network().eval(), Recipe(**BASE, cutmix=1.0))
    batch = run.train.batch(torch.arange(8), run.step.choices)
    assert 0 < batch.share.min() < batch.share.max() <= 1
    logits = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    loss, labels = step.cross_entropy(logits, batch, 0.1)
    targets = batch.share[:, None] * nn.functional.one_hot(batch.labels, 4)
    targets = targets + (1 - batch.share[:, None]) * nn.functional.one_hot(batch.others, 4)
    expected = nn.functional.cross_entropy(logits, targets, label_smoothing=0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.equal(labels[batch.share > 0.5], batch.labels[batch.share > 0.5])
    assert torch.equal(labels[batch.share < 0.5], batch.others[batch.share < 0.5])


def largest_step(**recipe):
    """The longest step that any kernel takes in an epoch, as a fraction of its norm."""
    net = network()
    run, longest = begin(net, Recipe(**BASE | {"lr": 5.0, "schedule": "constant", "epochs": 1}, **recipe)), []
    take = run.step.take

    def watched():
        before = [p.detach().clone() for p in net.parameters()]
        take()
        moves = zip(before, net.parameters(), strict=True)
        longest.append(max(((new - old).norm() / old.norm()).item() for old, new in moves if old.ndim > 1))

    run.step.take = watched
    run.epoch()
    assert len(longest) == 8
    assert net[1].bias.any()  # a shift of batch norm, which begins at 0 and has no limit
    return max(longest)


def test_trust_limits_the_step_of_each_kernel():
    assert largest_step() > 0.1
    assert largest_step(trust=0.02) == pytest.approx(0.02, rel=1e-3)


def test_clip_limits_the_gradient():
    net = network()
    run = begin(net, Recipe(**BASE | {"batch_size": 64, "epochs": 1}, clip=1e-3))
    run.epoch()
    assert torch.stack([p.grad.norm() for p in net.parameters()]).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_the_average_trails_the_weights():
    recipe = Recipe(**BASE | {"ema": 0.9, "epochs": 1})
    run, net = begin(network(), recipe), network()
    expected = {name: tensor.clone() for name, tensor in net.state_dict().items() if tensor.is_floating_point()}
    take, seen = run.step.take, []

    def watched():
        take()
        for name, tensor in run.step.network.state_dict().items():
            if name in expected:
                expected[name] = 0.9 * expected[name] + 0.1 * tensor
        seen.append(1)

    run.step.take = watched
    run.epoch()
    assert len(seen) == 8
    for name, value in expected.items():
        assert torch.allclose(run.weights()[name], value, atol=1e-5), name
        assert not torch.equal(value, run.step.network.state_dict()[name])


@pytest.fixture
def pretended(monkeypatch):
    """CUDA's part in a capture, on the CPU: streams do nothing, and a graph holds nothing; what ends its capture can be
    said.
    """
    faults = []

    class Stream:
        def wait_stream(self, other):
            pass

    class Graph:
        def replay(self):
            return "replayed"

    class Capture(contextlib.AbstractContextManager):
        def __init__(self, graph, stream):
            assert isinstance(graph, Graph) and isinstance(stream, Stream)

        def __exit__(self, *_):
            if faults:
                raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", Capture)
    step._side_stream.cache_clear()
    yield faults
    step._side_stream.cache_clear()


def test_a_capture_leaves_no_trace(pretended):
    run = begin(network(), Recipe(**BASE, ema=0.9))
    run.epoch()
    before = step.copies(run.step.state())
    assert run.step.captured()() == "replayed"
    after = run.step.state()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is not None for parameter in run.step.parameters)  # of the captured step alone


def test_a_capture_before_the_first_step_leaves_an_optimiser_without_memory(pretended):
    run = begin(network(), Recipe(**BASE))
    before = step.copies(run.step.state())
    run.step.network.eval()
    run.step.captured()
    after = run.step.state()
    assert run.step.network.training  # it is a step of training that is captured
    assert after.keys() > before.keys()
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]) if name in before else not tensor.any(), name


@pytest.mark.parametrize(
    ("cause", "raised", "said"),
    [
        (
            RuntimeError("operation not permitted when stream is capturing\nmore"),
            Failure,
            r"^cannot capture a CUDA graph \(operation not permitted when stream is capturing\): CUDA_GRAPHS=0",
        ),
        (AssertionError(), Failure, r"^cannot capture a CUDA graph \(AssertionError\): CUDA_GRAPHS=0 in front"),
        (torch.cuda.OutOfMemoryError("tried to allocate 2 GiB"), torch.cuda.OutOfMemoryError, "2 GiB"),
    ],
)
def test_a_capture_that_fails_says_what_ended_it_and_what_to_do(pretended, monkeypatch, cause, raised, said):
    run, taken = begin(network(), Recipe(**BASE)), []

    def take():
        taken.append(1)
        if len(taken) > 3:  # after the rehearsals
            pretended.append(cause)
            raise cause

    monkeypatch.setattr(run.step, "take", take)
    with pytest.raises(raised, match=said):
        run.step.captured()


def test_all_captures_share_a_stream(pretended, monkeypatch):
    seen = []
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: seen.append(stream) or contextlib.nullcontext())
    for _ in range(2):
        begin(network(), Recipe(**BASE)).step.captured()
    assert len(seen) == 2 and seen[0] is seen[1]


def test_a_step_trains_on_images_with_the_recipes_square_cut_out():
    net, seen = network(), []
    net.register_forward_pre_hook(lambda _, x: seen.append(x[0].clone()))
    run = begin(net, Recipe(**BASE, cutout=3))
    run.step.which.copy_(torch.arange(8))
    run.step.take()
    whole, cut = (run.train.batch(torch.arange(8), run.step.choices, side).images for side in (0, 3))
    assert torch.equal(seen[0], cut) and not torch.equal(cut, whole)
