"""A fixed number of threads for the numerics, independent of the machine.

The last digit of sums in matrix products depends on the number of threads. That number is therefore
part of the computation, not of the machine: with one thread, the same configuration gives the same
arrays on any number of cores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController

from popinv.late import torch


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """Return the libraries of linear algebra that are loaded with so many modules.

    To look for them takes milliseconds. Further ones come with further modules.
    """
    return ThreadpoolController()


@contextmanager
def fixed_threads(count: int = 1) -> Iterator[None]:
    """Set the threads of torch and of NumPy's linear algebra, and put them back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with _libraries(len(sys.modules)).limit(limits=count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
