"""Training the default study's surrogate beside two plain PyTorch loops.

The same network from the same weights, on the same batches with the same schedule and loss. The
plain loops are given the rows standardised and the network built; the package does that itself,
and can stop and go on anywhere.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

from benchmarks import default_study
from benchmarks.peers.training import batches_of, data_loader, fit, indexed
from benchmarks.rows import Contest, Row
from popinv.seeds import generator
from popinv.surrogate.training import TrainingData, TrainingSettings, prepare, train

__all__ = ["contest", "rows"]

_ROWS, _EPOCHS = 1000, 40
_PEERS = {
    "dataloader": ("PyTorch loop: DataLoader, AdamW", data_loader, {}),
    "indexed_fused": ("PyTorch loop: tensors indexed, AdamW(fused=True)", indexed, {"fused": True}),
}


def rows() -> list[Row]:
    """Return the rows."""
    return [
        Row(
            name=f"surrogate_training/{name}",
            work=f"{_EPOCHS} epochs on {_ROWS} solves of the default study, 3 layers of 128",
            peer=words,
            packages=("torch",),
            target=1.0,
            prepare=functools.partial(_contest, loader, options),
        )
        for name, (words, loader, options) in _PEERS.items()
    ]


def _contest(loader: Any, options: dict[str, Any]) -> Contest:
    return contest(*default_study.training(_ROWS, _EPOCHS), loader, options)


def contest(
    data: TrainingData, settings: TrainingSettings, loader: Any, options: dict[str, Any]
) -> Contest:
    """Return the package's training beside a plain loop; the answer is the best validation loss.

    The two losses differ only by rounding, which training amplifies.
    """
    made = prepare(data, settings)
    count = len(made.training[0])

    def shuffle(epoch: int) -> Any:
        return generator(settings.seed, f"{settings.stage}/batches", epoch).permutation(count)

    order = batches_of(count, settings.batch_size, shuffle)
    batches = loader(made.training, order)

    def plain() -> float:
        return fit(
            copy.deepcopy(made.network),
            batches,
            made.validation,
            made.error_map,
            settings.learning_rate,
            settings.max_epochs,
            settings.max_epochs * len(order(0)),
            **options,
        )

    return Contest(
        ours=lambda: min(train(data, settings, progress=False)[1]["validation_loss"]),
        peer=plain,
        tolerance=0.1,
    )
