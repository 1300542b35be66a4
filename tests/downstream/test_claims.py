"""Tables of claims and metrics, as they are written."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from popinv.downstream.claims import Claim, compared, flat, flatten, write_claims, write_metrics


def test_metrics_are_numbers_or_texts():
    assert flat({"a": np.float64(1.5), "b": True, "c": "x"}) == {"a": 1.5, "b": 1, "c": "x"}
    with pytest.raises(ValueError, match="metric 'a' is a list"):
        flat({"a": [1, 2]})


def test_metrics_are_written_as_they_are(tmp_path):
    write_metrics({"a": np.float64(1.5), "b": True}, tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"a": 1.5, "b": 1}


def test_a_claim_is_a_row(tmp_path):
    write_claims([Claim("a, b", "paper", 0.123456, "text", True)], tmp_path / "claims.csv")
    text = (tmp_path / "claims.csv").read_text().splitlines()
    assert text == ["claim,source,expected,ours,holds", '"a, b",paper,0.1235,text,yes']


def test_entries_are_named_by_their_coordinates():
    values = xr.DataArray(
        [[1.0, 2.0], [3.0, 4.0]],
        {"rule": ["sign", "plain"], "epsilon": [0.5, 1.0]},
        ("rule", "epsilon"),
    )
    assert flatten(values, "loss_{rule}_at_{epsilon:g}") == {
        "loss_sign_at_0.5": 1.0,
        "loss_sign_at_1": 2.0,
        "loss_plain_at_0.5": 3.0,
        "loss_plain_at_1": 4.0,
    }
    assert flatten(values.sum("epsilon").astype(int), "{rule}") == {"sign": 3, "plain": 7}


def test_a_comparison_states_its_limit():
    row = compared("small", "paper", 0.4, "below", 0.5)
    assert row == Claim("small", "paper", "below 0.5", 0.4, True)
    assert not compared("large", "paper", 0.4, "above", 0.5).holds
    assert compared("none", "paper", 0.0, "below", 1e-9, expected=0.0).expected == 0.0
