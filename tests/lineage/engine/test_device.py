import os
import platform
import resource
import warnings
from types import SimpleNamespace

import pytest
import torch

from lineage.engine import device
from lineage.errors import Mistake


@pytest.fixture(autouse=True)
def deterministic():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = torch.utils.deterministic.fill_uninitialized_memory = True
    device.prepare(torch.device("cpu"), 1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("value", "wanted"), [(None, True), ("1", True), ("0", False)])
def test_cuda_graphs_unless_they_are_switched_off(monkeypatch, value, wanted):
    monkeypatch.delenv("CUDA_GRAPHS", raising=False)
    if value:
        monkeypatch.setenv("CUDA_GRAPHS", value)
    assert device.graphs_wanted() == wanted


def test_what_cannot_be_deterministic_is_an_error():
    assert torch.get_num_threads() == 1
    assert torch.get_deterministic_debug_mode() == 2  # an error, not a warning
    assert (torch.tensor([1e-38]) * 0.1).item() == 0  # numbers too small for the usual form
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.benchmark and not torch.utils.deterministic.fill_uninitialized_memory


@pytest.mark.parametrize("native", [True, False])
def test_bf16_where_the_hardware_has_it_and_fp32_elsewhere(monkeypatch, native):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    cpu = torch.device("cpu")
    assert device.precision_on(cpu, "bf16") == ("bf16" if native else "fp32")
    assert device.precision_on(cpu, "fp32") == "fp32"
    with device.autocast(cpu, "bf16"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if native else torch.float32)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep memory as they see fit")
def test_what_a_step_frees_is_at_hand_for_the_next():
    faults = []  # of the memory of each round: 4 blocks of 16 MiB, or 16,384 pages that the system has to clear
    for _ in range(8):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [torch.ones(2**22) for _ in range(4)]
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        del blocks
    assert min(faults) < 1000, faults


@pytest.mark.parametrize(
    ("built_with", "driver", "hidden", "fails"),
    [
        ("13.0", True, None, True),
        ("13.0", True, "0", True),
        ("13.0", True, "", False),
        ("13.0", False, None, False),
        (None, True, None, False),  # torch for CPUs alone
    ],
)
def test_a_gpu_that_torch_cannot_use_is_a_mistake_unless_the_cpu_is_asked_for(
    monkeypatch, built_with, driver, hidden, fails
):
    def is_available():
        warnings.warn("CUDA initialization: The NVIDIA driver on your system is too old\nmore", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.version, "cuda", built_with)
    monkeypatch.setattr(device, "_has_nvidia_driver", lambda: driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what torch says of it goes into the message
        if not fails:
            assert device.choose() == torch.device("cpu")
            return
        with pytest.raises(Mistake, match=r"580 that CUDA 13\.0 needs") as error:
            device.choose()
    assert "is too old)" in str(error.value) and "CUDA_VISIBLE_DEVICES= (empty)" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def gpu(monkeypatch):
    """Pretend a GPU of this compute capability."""

    def pretend(*capability):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80", "sm_90a", "sm_100", "compute_120"])
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")

    return pretend


@pytest.mark.parametrize("capability", [(7, 5), (9, 0), (12, 1)])
def test_the_first_gpu_where_there_is_one(gpu, capability):
    gpu(*capability)
    assert device.choose() == torch.device("cuda")


@pytest.mark.parametrize("capability", [(7, 0), (6, 1)])
def test_a_gpu_that_torch_was_not_built_for_is_a_mistake(gpu, capability):
    gpu(*capability)
    with pytest.raises(Mistake, match=r"Some GPU has compute capability \d\.\d, and this PyTorch needs 7\.5 or more"):
        device.choose()


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_that_a_gpu_only_emulates_is_not_used(monkeypatch, native):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert device.precision_on(torch.device("cuda"), "bf16") == ("bf16" if native else "fp32")


@pytest.mark.parametrize(("loaded", "tool"), [(True, None), (False, "/usr/bin/nvidia-smi"), (False, None)])
def test_either_trace_of_a_driver_is_enough(monkeypatch, loaded, tool):
    monkeypatch.setattr(device, "Path", lambda _: SimpleNamespace(exists=lambda: loaded))
    monkeypatch.setattr(device.shutil, "which", lambda _: tool)
    assert device._has_nvidia_driver() == (loaded or tool is not None)


def test_cublas_is_told_before_its_first_use(monkeypatch, unchanged):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    device.prepare(torch.device("cpu"), 1)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
