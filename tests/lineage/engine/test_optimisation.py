import inspect

import pytest
import torch
from torch.nn import functional as F

from lineage.engine import optimisation
from lineage.engine.recipe import Recipe

RECIPE = {"epochs": 1, "batch_size": 1, "lr": 0.1, "schedule": "constant", "input_size": 8}


def rates(schedule, steps, warm_up=0.25, warm_up_steps=0):
    recipe = Recipe(**RECIPE | {"schedule": schedule}, warm_up=warm_up, warm_up_steps=warm_up_steps)
    return [optimisation.learning_rate(recipe, step, steps) for step in range(steps)]


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100, 450])
def test_onecycle_reaches_its_peak_exactly_and_ends_low(steps):
    lr = rates("onecycle", steps)
    assert max(lr) == 0.1
    assert min(lr) > 0
    top = lr.index(0.1)
    assert lr[: top + 1] == sorted(lr[: top + 1])
    assert lr[top:] == sorted(lr[top:], reverse=True)
    if steps >= 100:
        assert lr[-1] < 0.002
        assert top == round(steps / 4) - 1


def test_onecycle_rises_and_falls_in_equal_steps():
    """Linearly to the peak at the end of the warm-up, then linearly to one such step above zero."""
    assert rates("onecycle", 8) == pytest.approx([0.05, 0.1] + [0.1 * left / 6 for left in (6, 5, 4, 3, 2, 1)])


def test_warm_up_of_the_others_is_a_tenth():
    lr = rates("constant", 100, 0.05)
    assert lr == pytest.approx([0.01] * 5 + [0.1] * 95)
    lr = rates("steps", 64000, 400 / 64000)
    assert (lr[0], lr[399], lr[400]) == pytest.approx((0.01, 0.01, 0.1))
    assert rates("steps", 8, 0)[0] == 0.1


def test_steps_fall_where_the_paper_says():
    lr = rates("steps", 64000, 0)
    assert (lr[31_999], lr[32_000], lr[47_999], lr[48_000]) == pytest.approx((0.1, 0.01, 0.01, 0.001))


def test_a_warm_up_in_steps_does_not_stretch():
    short, long = (rates("onecycle", steps, 0, 112) for steps in (450, 1500))
    assert short[:112] == long[:112]
    assert short[:112] == rates("onecycle", 450, 0.25)[:112]
    assert max(long) == long[111] == 0.1


def moved(steps, **recipe):
    """Where a weight of 1 with a gradient of 0.5 is after so many steps."""
    weight = torch.ones(2, 2, requires_grad=True)
    recipe = Recipe(**RECIPE | recipe)
    groups = [{"params": [weight], "weight_decay": recipe.weight_decay}]
    optimiser = optimisation.OPTIMISERS[recipe.optimiser](groups, torch.tensor(recipe.lr), recipe)
    for _ in range(steps):
        weight.grad = torch.full((2, 2), 0.5)
        optimiser.step()
    return weight[0, 0].item()


def test_sgd_by_hand():
    assert moved(2, nesterov=False) == pytest.approx(1 - 0.05 - 0.1 * (0.9 * 0.5 + 0.5))
    assert moved(1) == pytest.approx(1 - 0.1 * (0.5 + 0.9 * 0.5))
    assert moved(1, nesterov=False, weight_decay=0.2) == pytest.approx(1 - 0.1 * (0.5 + 0.2))


def test_adam_by_hand():
    """Kingma & Ba 2015, algorithm 1; the weight decay is part of the gradient."""
    weight, mean, square, lr, decay = 1.0, 0.0, 0.0, 0.01, 0.3
    parameter = torch.ones(2, 2, requires_grad=True)
    recipe = Recipe(**RECIPE | {"optimiser": "adam", "lr": lr})
    groups = [{"params": [parameter], "weight_decay": decay}]
    adam = optimisation.OPTIMISERS["adam"](groups, torch.tensor(lr), recipe)
    for step, gradient in enumerate((0.5, -0.2, 0.1), 1):
        parameter.grad = torch.full((2, 2), gradient)
        adam.step()
        gradient += decay * weight
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        weight -= lr * (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)) ** 0.5 + 1e-8)
    assert parameter[0, 0].item() == pytest.approx(weight, rel=1e-6)


def test_adam_does_not_warn_of_the_rehearsals_of_a_cuda_graph():
    """Torch asks for an attribute of its own before it warns."""
    groups = [{"params": [torch.ones(2, 2, requires_grad=True)], "weight_decay": 0.0}]
    optimiser = optimisation.OPTIMISERS["adam"](groups, torch.tensor(0.1), Recipe(**RECIPE))
    assert optimiser._warned_capturable_if_run_uncaptured
    assert "_warned_capturable_if_run_uncaptured" in inspect.getsource(torch.optim.Optimizer)


def orthogonalised(matrix):
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ right


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (8, 8)])
def test_orthogonal_keeps_the_singular_vectors_alone(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 100
    found = optimisation.orthogonal(matrix)
    assert found.shape == shape and found.dtype == matrix.dtype
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6 and values.max() < 1.25
    assert F.cosine_similarity(found.flatten(), orthogonalised(matrix).flatten(), 0) > 0.98
    assert not optimisation.orthogonal(torch.zeros(shape)).any()
    for scale in (1e-36, 1e30):
        other = optimisation.orthogonal(matrix * scale)
        assert F.cosine_similarity(found.flatten(), other.flatten(), 0) > 0.99


def test_orthogonal_is_jordans_iteration():
    """Of a matrix whose singular values differ by two orders of magnitude, where each iteration counts."""
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(16, 60), full_matrices=False)
    matrix = left @ torch.diag(torch.logspace(0, -2, 16)) @ right
    jordans = torch.optim._muon._zeropower_via_newtonschulz(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7).float()
    assert F.cosine_similarity(optimisation.orthogonal(matrix).flatten(), jordans.flatten(), 0) > 0.998


def test_muon_by_hand():
    """Two steps of a kernel, along the singular vectors of its gradient with Nesterov momentum, and of a matrix and a
    vector, which are SGD's.
    """
    generator = torch.Generator().manual_seed(0)
    weights = {shape: torch.randn(shape, generator=generator) for shape in ((12, 4, 3, 3), (5, 12), (5,))}
    gradients = [{shape: torch.randn(shape, generator=generator) for shape in weights} for _ in range(2)]
    recipe = Recipe(**RECIPE | {"optimiser": "muon", "muon_step": 0.1, "weight_decay": 0.01})
    moved = {}
    for name in ("muon", "sgd"):
        lr = torch.tensor(recipe.lr)
        parameters = {shape: weight.clone().requires_grad_() for shape, weight in weights.items()}
        groups = [{"params": list(parameters.values()), "weight_decay": recipe.weight_decay}]
        optimiser = optimisation.OPTIMISERS[name](groups, lr, recipe)
        moved[name] = []
        for step, chosen in enumerate(gradients):
            lr.fill_(recipe.lr / (1 + step))  # the second step is half as long
            for shape, gradient in chosen.items():
                parameters[shape].grad = gradient.clone()
            optimiser.step()
            assert all(torch.equal(parameters[shape].grad, gradient) for shape, gradient in chosen.items())
            moved[name].append({shape: parameter.detach().clone() for shape, parameter in parameters.items()})
    assert all(torch.equal(muon[s], sgd[s]) for muon, sgd in zip(*moved.values(), strict=True) for s in ((5, 12), (5,)))
    kernel = (12, 4, 3, 3)
    first, second = (chosen[kernel] for chosen in gradients)
    before, norm = weights[kernel], weights[kernel].norm()
    along = [first + 0.9 * first, second + 0.9 * (0.9 * first + second)]
    for after, direction, length in zip((step[kernel] for step in moved["muon"]), along, (0.1, 0.05), strict=True):
        wanted = orthogonalised(direction.flatten(1)).view_as(before)
        expected = before - length * norm * wanted / wanted.norm()
        assert after.norm().item() == pytest.approx(norm.item(), rel=1e-5)
        expected *= norm / expected.norm()
        assert F.cosine_similarity((after - before).flatten(), (expected - before).flatten(), 0) > 0.98
        assert ((after - before).norm() / norm).item() == pytest.approx(length, rel=0.02)
        before = after


def test_muon_leaves_what_has_no_gradient_alone_and_a_kernel_of_zeros_finite():
    kernels = [torch.ones(2, 2, 3, 3, requires_grad=True), torch.zeros(2, 2, 3, 3, requires_grad=True)]
    recipe = Recipe(**RECIPE | {"optimiser": "muon", "muon_step": 0.1})
    optimiser = optimisation.OPTIMISERS["muon"]([{"params": kernels, "weight_decay": 0.0}], torch.tensor(0.1), recipe)
    kernels[1].grad = torch.ones_like(kernels[1])
    optimiser.step()
    assert bool((kernels[0] == 1).all()) and kernels[0].grad is None
    assert torch.isfinite(kernels[1]).all()
    kernels[0].grad = torch.zeros_like(kernels[0])
    optimiser.step()
    assert bool((kernels[0] == 1).all())


def test_muon_stays_finite_while_the_momentum_of_a_kernel_fades():
    kernel = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    recipe = Recipe(**RECIPE | {"optimiser": "muon", "muon_step": 0.1})
    optimiser = optimisation.OPTIMISERS["muon"]([{"params": [kernel], "weight_decay": 0.0}], torch.tensor(0.1), recipe)
    norm = kernel.norm().item()
    kernel.grad = torch.ones_like(kernel)
    for _ in range(1000):  # from 1 through numbers whose squares are 0
        optimiser.step()
        kernel.grad = torch.zeros_like(kernel)
    assert torch.isfinite(kernel).all() and kernel.norm().item() == pytest.approx(norm, rel=1e-4)


def test_steps_beyond_the_trust_are_shortened():
    before = [torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.0])]
    weights = [torch.tensor([3.0, 5.0]), torch.tensor([3.0, 4.01]), torch.tensor([3.0, 4.0])]
    optimisation.shorten(weights, before, 0.02)
    assert weights[0].tolist() == pytest.approx([3, 4.1])  # 2 % of 5
    assert weights[1].tolist() == pytest.approx([3, 4.01])
    assert weights[2].tolist() == [3, 4]
