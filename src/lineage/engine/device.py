"""The device that a network trains on, and how torch is told to be deterministic there."""

import ctypes
import os
import shutil
import warnings
from pathlib import Path

import torch

from lineage.errors import Mistake

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def choose() -> torch.device:
    """The first GPU, or else the CPU. Raises `Mistake` where the machine has NVIDIA's driver but torch cannot use it:
    a training on the CPU instead would take days before anyone notices. Also raises it for a GPU that is too old.
    """
    with warnings.catch_warnings(record=True) as said:  # why there is no CUDA
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            _check_generation()
            return torch.device("cuda")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if torch.version.cuda and not hidden and _has_nvidia_driver():
        reason = f" ({str(said[-1].message).splitlines()[0]:.200})" if said else ""
        raise Mistake(
            f"the machine has an NVIDIA driver, but CUDA is unavailable{reason}: the driver may be older than the 580 "
            f"that CUDA {torch.version.cuda} needs, or the card unsupported; CUDA_VISIBLE_DEVICES= (empty) in front of "
            "the command goes on with the CPU"
        )
    return torch.device("cpu")


def _check_generation() -> None:
    """Raises `Mistake` for a GPU that is older than those for which torch has been built."""
    major, minor = torch.cuda.get_device_capability()
    built_for = [arch.removeprefix("sm_") for arch in torch.cuda.get_arch_list()]  # sm_75, sm_90a, …
    oldest = min((int(arch) for arch in built_for if arch.isdecimal()), default=0)
    if 10 * major + minor < oldest:
        raise Mistake(
            f"{torch.cuda.get_device_name()} has compute capability {major}.{minor}, and this PyTorch needs "
            f"{oldest // 10}.{oldest % 10} or more: CUDA_VISIBLE_DEVICES= (empty) in front of the command goes on with "
            "the CPU"
        )


def _has_nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def name(device: torch.device) -> str:
    """As a person knows it: a GPU's name, or the CPU with the instructions that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.backends.cpu.get_cpu_capability()}"


def prepare(device: torch.device, threads: int) -> None:
    """Make torch deterministic: what cannot be is an error. The number of CPU threads counts too, because it orders
    sums.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first use
    torch.set_deterministic_debug_mode("error")  # as torch.use_deterministic_algorithms, which loads a compiler as well
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # fp32 means it
    torch.backends.cuda.matmul.allow_tf32 = False  # NVIDIA's containers switch it on
    torch.set_num_threads(threads)
    if device.type == "cpu":
        torch.set_flush_denormal(True)
        keep_memory()


def keep_memory() -> None:
    """Let this process keep the memory that a step frees, for the next one: else glibc gives large blocks back and
    the system hands out and clears them again, page by page, a third of a large network's time. Other C libraries do
    as they do.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt:
        mallopt(-4, 0)  # M_MMAP_MAX: no blocks of their own
        mallopt(-1, -1)  # M_TRIM_THRESHOLD: the heap does not shrink


def graphs_wanted() -> bool:
    """Whether a step on a GPU runs as a CUDA graph: not with CUDA_GRAPHS=0 in front of the command."""
    return os.environ.get("CUDA_GRAPHS") != "0"


def precision_on(device: torch.device, wanted: str) -> str:
    """The precision that a recipe's `wanted` one becomes: `bf16` needs hardware, or else takes up to a hundred times
    as long as float32.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return wanted if native else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which networks run; without its cache of cast weights, which a CUDA graph must not use."""
    precision = precision_on(device, precision)
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32", cache_enabled=False)
