"""The measurements of growth: every stage does its work, and exponents are those of powers."""

from __future__ import annotations

import pytest
from tiers import parameters, thinned

from benchmarks.scaling import SIZES, fitted_exponent, measure


# The two-stage fit takes seconds.
@pytest.mark.full
@pytest.mark.firedrake
@parameters("stage", *thinned([name for name in SIZES if name != "two_stage"], 3))
def test_every_stage_is_measured_at_its_smallest_size(stage):
    measurement = measure(stage, SIZES[stage][0])
    assert measurement["seconds"] > 0
    assert measurement["bytes"] >= 0


def test_a_power_law_has_its_exponent():
    assert fitted_exponent([(n, 3 * n**1.5) for n in (10, 100, 1000)]) == pytest.approx(1.5)
