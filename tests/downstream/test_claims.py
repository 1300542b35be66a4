"""Tables of claims and metrics, as they are written."""

from __future__ import annotations

import json

import numpy as np
import pytest

from popinv.downstream.claims import Claim, flat, write_claims, write_metrics


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
