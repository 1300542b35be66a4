"""torch, imported when it is first used.

The import takes more than a second. What reads results, prints them or plans a study does without.
Modules therefore write ``from popinv.late import torch`` in place of ``import torch``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["torch"]

if TYPE_CHECKING:
    import torch
else:

    class _Late:
        """Stands for a module, and keeps what was asked of it."""

        def __getattr__(self, name: str) -> Any:
            import torch

            value = getattr(torch, name)
            # Later uses are as quick as those of the module itself.
            setattr(self, name, value)
            return value

    torch = _Late()
