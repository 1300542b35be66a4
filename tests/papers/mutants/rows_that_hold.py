"""Rows of tables of claims that hold for the right formulas, without chance or at a small size."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv_papers.certified_unlearning import accounts
from popinv_papers.certified_unlearning import claims as certified
from popinv_papers.influence import exactness
from popinv_papers.instance_unlearning import chains
from popinv_papers.instance_unlearning import claims as instance


def rows_hold() -> None:
    """Check every row of certified unlearning that has no chance in it."""
    epochs = accounts.epochs_of_methods()
    second = accounts.epochs_of_second()
    result = xr.Dataset(
        {
            "epochs": (("method", "request"), list(epochs.values())),
            "epochs_of_second": (("second_method", "request"), list(second.values())),
            "epochs_by_noise": (("noise", "batch", "request"), accounts.epochs_by_noise()),
        },
        {
            "method": list(epochs),
            "second_method": list(second),
            "noise": list(accounts.MORE_NOISES),
            "batch": list(accounts.NOISE_BATCHES),
        },
    )
    found = [*certified._costs(result), *certified._stored_epochs(result)]
    assert {claim.status for claim in found} == {"holds"}


def orders_hold() -> None:
    """Check the rows on the orders of errors, of a single draw of the smallest network."""
    case = next(exactness.cases(1, 0, 20))
    measured = exactness.error_orders(case, 1)
    for kind in ("gradient", "adam"):
        for order, power in (("first", 2.0), ("second", 3.0)):
            name = f"{case.name}_{kind}_{order}_order_error_slope"
            assert abs(measured[name] - power) < 0.1


def chains_hold() -> None:
    """Check the rows on exact chains that this size can decide."""
    numbers = range(instance.CHAINS)
    cases = [chains.compare(1, number) for number in numbers]
    points = [chains.per_instance_steps(1, number) for number in numbers]
    table = list(instance._chains(cases, points, np.random.default_rng(0)))
    assert [table[i].status for i in (0, 3)] == ["holds", "holds"]
