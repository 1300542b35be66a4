"""Environment variables that make the numerics the same on other processors.

Libraries choose their kernels by the processor: AVX-512 where there is one, AVX2 elsewhere. Sums
are then taken in another order, and the last digits differ. Libraries read these variables when
they are imported, so they have to be in the environment in which the jobs start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version

CHOSEN = "POPINV_INSTRUCTION_SET"
"""Variable that names the instruction set, for the records of the jobs."""

# Sums depend on the number of threads too, and the processes share the cores already.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Variables that keep the numerics to one thread."""


def numerics_environment(
    chosen: str, now: Mapping[str, str], compiler_flags: Iterable[str] = ()
) -> dict[str, str]:
    """Return the variables to set before the jobs start.

    Parameters
    ----------
    chosen : {"native", "avx2", "portable"}
        `native` leaves the choice to the libraries. `avx2` is the same on all Intel processors with
        AVX2. `portable` is also the same on AMD processors, where MKL has no kernels with AVX2
        that give Intel's results; its matrix products are slower.
    now : mapping of str to str
        The present environment. Flags of the compiler in it are kept.
    compiler_flags : iterable of str
        Variables with the flags of what solvers compile.
    """
    if chosen == "native":
        return {**ONE_THREAD, CHOSEN: chosen}
    # NumPy 2.4 has given its groups of instructions new names.
    groups = "X86_V3" if _release("numpy") >= (2, 4) else "AVX2 FMA3"
    return {
        **ONE_THREAD,
        CHOSEN: chosen,
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2" if chosen == "avx2" else "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_ENABLE_CPU_FEATURES": groups,
        "NUMBA_CPU_NAME": "haswell",
        # Without this, numba adds the features of the processor at hand.
        "NUMBA_CPU_FEATURES": "",
        # What solvers compile; the last -march holds.
        **{flags: f"{now.get(flags, '')} -march=haswell".strip() for flags in compiler_flags},
        # The C library has an exponential for each generation of processors.
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ",
    }


def _release(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version(package).split(".")[:2])
