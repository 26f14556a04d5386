"""Find out what the machine can do: devices, precision, memory."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any, Literal

import torch

from stylenet.choices import check_choice
from stylenet.errors import InputError, RunError, argument
from stylenet.memory import free_main_memory

Precision = Literal["auto", "32", "bf16", "fp16"]


def pick_device(name: str = "auto") -> torch.device:
    """Return a device by its name; ``auto`` takes the accelerator that torch sees, else the processor.

    Raises:
        InputError: for a device that is not there.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {name!r} is not to be had here: use cpu, or leave it out") from error
    return device


def gains_from_bf16(device: torch.device) -> bool:
    """Return whether convolutions run faster in bfloat16 than in float32: on tensor cores from Ampere on, AMX, and some
    processors with AVX512-BF16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    if _processor_has("_is_amx_tile_supported"):
        return True
    # With AVX512-BF16 alone, AMD's processors are faster in bfloat16 than in float32, and Intel's slower (docs/notes). A
    # measurement on the spot would tell too, but not the same on a busy machine.
    return _processor_has("_is_avx512_bf16_supported") and _made_by_amd()


def _processor_has(probe: str) -> bool:
    """Ask torch what the processor can do; older releases of torch know fewer answers."""
    return bool(getattr(torch.cpu, probe, lambda: False)())


def _made_by_amd() -> bool:
    description = Path("/proc/cpuinfo")
    return "AuthenticAMD" in (description.read_text() if description.is_file() else platform.processor())


def can_compile(device: torch.device) -> bool:
    """Return whether ``torch.compile`` finds what it needs: Triton for a GPU, a C++ compiler for a processor."""
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    compilers = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    return device.type == "cpu" and any(shutil.which(compiler) for compiler in compilers)


def gains_from_fp16(device: torch.device) -> bool:
    """Return whether a device has fast convolutions in float16 and none in bfloat16: Volta and Turing have."""
    return device.type == "cuda" and (7, 0) <= torch.cuda.get_device_capability(device) < (8, 0)


def pick_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type of the convolutions of a trained network; losses, Gram matrices and pixels are float32 whatever it is.

    ``auto`` is bfloat16 where the device gains from it, float16 where it gains from that alone, and float32 elsewhere.

    Raises:
        InputError: for another word.
    """
    check_choice("precision", precision, Precision)
    if precision == "auto":
        if gains_from_bf16(device):
            return torch.bfloat16
        return torch.float16 if gains_from_fp16(device) else torch.float32
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "32": torch.float32}[precision]


def pick_loss_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type of the loss network's convolutions: as :func:`pick_precision`, but never float16.

    Activations of the original VGG reach tens of thousands, and float16 ends at 65,504.

    Raises:
        InputError: for ``fp16``, or another word.
    """
    if precision == "fp16":
        raise InputError("precision is fp16, in which the loss network overflows: use auto, 32 or bf16")
    dtype = pick_precision(precision, device)
    return torch.float32 if dtype == torch.float16 else dtype


def free_memory(device: torch.device) -> int:
    """Return the bytes that a run may count on."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_main_memory()


def check_memory(work: str, needed: float, way_out: str | None = None) -> None:
    """Fail for work that the system would kill for want of memory, before it begins. What may be swapped counts as free, and
    what the C library has kept of earlier work is given back first.

    Args:
        work: what is to be done, in the plural, for the message.
        needed: bytes that it needs at least.
        way_out: what to do, for the message; a smaller ``size`` by default.

    Raises:
        RunError: if they are not there.
    """
    if needed <= free_main_memory():
        return
    give_back_memory()
    free = free_main_memory(swap=True)
    if needed > free:
        has = f"need {needed / 1e9:.2f} GB of memory or more, and {free / 1e9:.2f} GB are free"
        raise RunError(f"{work} {has}: {way_out or 'take a smaller ' + argument('size')}")


def keep_freed_memory() -> None:
    """Tell glibc to keep what is freed, for the rest of the process.

    A step frees and takes tensors of tens of megabytes. By default glibc hands each back to the system, and its pages are
    faulted in anew at the next step. Other C libraries are left as they are.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)


def give_back_memory() -> None:
    """Tell glibc to hand freed memory back now: beside a picture of a gigabyte, the copies made on the way to it would count
    as much again."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def versions() -> dict[str, str]:
    """Return the versions of everything that decides what a number in a log was measured with."""
    import torchvision

    import stylenet

    return {
        "stylenet": stylenet.__version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def processor_cores() -> int:
    """Return how many cores of the processor this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
