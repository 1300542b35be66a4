"""A fixed number of threads for the numerics, independent of the machine.

The last digit of sums in matrix products depends on the number of threads. That number is therefore
part of the computation, not of the machine: with one thread, the same configuration gives the same
arrays on any number of cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from popinv.late import torch


@contextmanager
def fixed_threads(count: int = 1) -> Iterator[None]:
    """Set the threads of torch and of NumPy's linear algebra, and put them back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(limits=count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
