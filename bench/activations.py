"""activations: what ReLU saves beside tanh and the sigmoid (S3: "cheaper to compute"), alone and within a network.

    python bench/activations.py

Times, by turns, the activation alone (forward and backward, 128×32×16×16 numbers, what the four-layer network's first
one sees of 128 images) and a whole training step of that network. Prints the median of the ratios to ReLU,
repetition by repetition, with the least and the greatest. Run it on an idle machine, anywhere; a minute on two cores.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))
from lineage.errors import Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from lineage import models
from lineage.options.alexnet import Options

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
BATCH = 128


def alone(name: str, device: torch.device) -> Callable[[], None]:
    """The activation, forward and backward."""
    x = torch.randn(BATCH, 32, 16, 16, device=device, requires_grad=True)
    upstream = torch.randn_like(x)

    def step() -> None:
        x.grad = None
        ACTIVATIONS[name](x).backward(upstream)

    return step


def in_a_network(name: str, device: torch.device) -> Callable[[], None]:
    """A training step of the four-layer network."""
    torch.manual_seed(0)
    network = (
        models.build("alexnet", 10, 32, Options(depth=4, activation=name))
        .to(device, memory_format=torch.channels_last)
        .train()
    )
    x = torch.randn(BATCH, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    y = torch.arange(BATCH, device=device) % 10
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, fused=True)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(network(x), y).backward()
        optimiser.step()

    return step


def seconds(step: Callable[[], None], times: int, device: torch.device) -> float:
    """Of one step, the mean of so many."""
    began = time.perf_counter()
    for _ in range(times):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / times


def compare(title: str, make: Callable, repeats: int, times: int, device: torch.device) -> None:
    steps = {name: make(name, device) for name in ACTIVATIONS}
    took: dict[str, list[float]] = {name: [] for name in ACTIVATIONS}
    for step in steps.values():
        seconds(step, 2, device)
    for _ in range(repeats):
        for name, step in steps.items():
            took[name].append(seconds(step, times, device))
    print(f"\n{title}: milliseconds a step, and in multiples of ReLU's (median, least – greatest of {repeats})")
    for name, values in took.items():
        ratios = [value / relu for value, relu in zip(values, took["relu"], strict=True)]
        spread = f"{statistics.median(ratios):.2f}  ({min(ratios):.2f} – {max(ratios):.2f})"
        print(f"  {name:8} {1e3 * statistics.median(values):8.2f} ms  {spread}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="measurements of each (15)")
    parser.add_argument("--steps", type=int, default=20, help="steps per measurement (20)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (2)")
    args = parser.parse_args()
    if min(args.repeats, args.steps, args.threads) < 1:
        raise Mistake("--repeats, --steps and --threads must be above 0")
    if args.threads > os.cpu_count():
        raise Mistake(f"--threads {args.threads} are more than this machine has cores, {os.cpu_count()}")
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"on {device}, {args.threads} threads, torch {torch.__version__}, float32")
    compare("the activation alone", alone, args.repeats, args.steps, device)
    compare("a step of the four-layer network", in_a_network, args.repeats, args.steps, device)


if __name__ == "__main__":
    run(main)
