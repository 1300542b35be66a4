"""Proposals whose corrections fold too often are replaced, system by system."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from popinv.inference.integrate import integrals
from popinv.inference.integrate.integrals import Integrals

SYSTEMS, SIZE = 4, 20


class Proposals:
    """Draws whose corrections fold in systems 1 (in its second half alone) and 3 (in both)."""

    def __init__(self, rows: torch.Tensor) -> None:
        self.rows, self.asked = rows, []

    def of(self, rows: torch.Tensor) -> Proposals:
        self.asked.append(rows.tolist())
        return Proposals(self.rows[rows])

    def _weighted(self, settings, modes, corrections):
        value = 10.0 * corrections + self.rows.to(torch.float64)
        each = value[:, None].repeat(1, 2 * SIZE)
        log_weight = each.clone()
        if corrections:
            log_weight[1, SIZE + 1 :] = -torch.inf
            log_weight[3, 1:] = -torch.inf
        return each[..., None].clone(), log_weight, each.clone()


@pytest.mark.parametrize("corrections", [0, 1])
def test_systems_with_few_usable_draws_take_plain_proposals(corrections, monkeypatch):
    monkeypatch.setattr(integrals, "summarised", lambda *fields: fields)
    proposals = Proposals(torch.arange(SYSTEMS))
    modes = SimpleNamespace(omega=torch.zeros((SYSTEMS, 1)), of=lambda rows: None)
    settings = SimpleNamespace(draws=2 * SIZE)
    omega, log_weight, each, *_ = Integrals.evaluate(proposals, settings, modes, corrections)
    expected = [10.0, 1.0, 12.0, 3.0] if corrections else [0.0, 1.0, 2.0, 3.0]
    for found in (omega[..., 0], log_weight, each):
        assert found.isfinite().all()
        assert found[:, 0].tolist() == expected
    assert proposals.asked == ([[1, 3]] if corrections else [])
