"""A GPU that is pretended, to find where tensors of two devices meet on a machine without one.

Torch's device ``meta`` stands for the GPU: a tensor that is moved there is one of ``meta`` to
torch and to the code under test, and keeps its numbers out of sight. Every operation on it is
done by the processor on these numbers, so that loops, branches on a number and results are real.
As with CUDA, an operation on tensors of both devices is an error, unless one is a single number,
and so is ``.numpy()`` of a tensor that is there. It is stricter than CUDA in one thing: an index
has to be where the tensor is.

It cannot show what only a GPU does: its rounding, its precision, its memory, its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

__all__ = ["GPU", "Elsewhere", "pretended_gpu"]

GPU = torch.device("meta")
_MOVING = ("aten::_to_copy", "aten::copy_")


class _There(torch.Tensor):
    """A tensor on the pretended GPU; ``numbers`` is the processor's tensor behind it."""

    numbers: torch.Tensor
    # Methods are those of any tensor; only operations are looked at, below autograd.
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def of(numbers: torch.Tensor) -> _There:
        # A conjugate or a zero that is only marked as one could not be marked on the outside.
        numbers = numbers.resolve_conj().resolve_neg()
        if numbers._is_zerotensor():
            numbers = numbers.clone()
        made = torch.Tensor._make_wrapper_subclass(
            _There,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=GPU,
        )
        made.numbers = numbers
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _operate(func, args, kwargs or {})

    @property
    def data(self) -> torch.Tensor:
        return self.detach()

    @data.setter
    def data(self, new: torch.Tensor) -> None:
        # Torch would take over shape and strides of ``new`` and not know of its numbers.
        if not isinstance(new, _There):
            raise RuntimeError(f"set_data: a tensor of {new.device} for one of {self.device}")
        self.numbers = new.numbers


def _operate(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    leaves = torch.utils._pytree.tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    there = [t for t in tensors if isinstance(t, _There)]
    here = [t for t in tensors if not isinstance(t, _There) and t.dim() > 0]
    if there and here and func._schema.name not in _MOVING:
        raise RuntimeError(
            f"Expected all tensors to be on the same device: {func} is given tensors of "
            f"{', '.join(str(t.device) for t in tensors)}"
        )
    device = kwargs.get("device")
    on_gpu = bool(there) if device is None else torch.device(device) == GPU
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    outside = {id(t.numbers): t for t in there}
    args, kwargs = tree_map(lambda x: x.numbers if isinstance(x, _There) else x, (args, kwargs))
    answer = func(*args, **kwargs)
    if isinstance(answer, torch.Tensor) and id(answer) in map(id, here):
        return answer  # ``copy_`` from there to here

    def outer(x: Any) -> Any:
        if not isinstance(x, torch.Tensor) or not on_gpu:
            return x
        # What was changed in place is the same tensor as before.
        return outside[id(x)] if id(x) in outside else _There.of(x)

    return tree_map(outer, answer)


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _operate(func, args, kwargs or {})


class _Construction(TorchFunctionMode):
    """Numbers given to ``torch.tensor`` and ``as_tensor`` would be lost on the way to ``meta``."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        return func(*args, **kwargs)


@contextmanager
def pretended_gpu() -> Iterator[torch.device]:
    """Give a device that behaves as a GPU, as long as the context lasts."""
    with _Construction(), _Operations():
        yield GPU


@dataclass(frozen=True)
class Elsewhere:
    """A device that is not the processor, real or pretended."""

    device: torch.device

    def agree(self, there: Any, here: Any, tolerance: float, exact: bool = True) -> None:
        """Compare with the processor's answer.

        It is the same to the bit on the pretended GPU, unless ``exact`` is False: forward-mode
        derivatives take other steps there.
        """
        if self.device == GPU and exact:
            np.testing.assert_array_equal(there, here)
        else:
            size = np.nanmax(np.abs(here))
            np.testing.assert_allclose(there, here, rtol=tolerance, atol=tolerance * size)
