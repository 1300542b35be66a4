"""Our devices move as those of AIHWKit do, where that is installed."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.peers.analog import UnusableError, aihwkit_conductances
from popinv.downstream.analog.devices import asymmetric_linear, pulsed_update, update
from popinv.seeds import generator


def test_the_asymmetric_linear_device_is_aihwkits_soft_bounds():
    pytest.importorskip("aihwkit", reason="AIHWKit is not installed")
    reach, granularity, start, copies = 0.7, 1e-4, 0.3, 400
    rng = generator(1, "test/aihwkit")
    changes = 0.02 * rng.choice([-1, 1], 60) * rng.uniform(0.5, 1, 60)
    try:
        theirs = aihwkit_conductances(reach, granularity, start, changes, copies)
    except UnusableError as error:
        pytest.skip(str(error))
    model, ours, exact = asymmetric_linear(reach), [], [start]
    w = np.full(copies, start)
    for change in changes:
        uniform = (rng.random(copies), rng.random(copies))
        w = pulsed_update(model, w, np.full(copies, change), None, granularity, uniform)
        ours.append(w)
        exact.append(float(update(model, np.float64(exact[-1]), np.float64(change))))
    theirs = theirs.mean(axis=1)
    # Their copies share the pulses of the input, whose chance does not average out.
    np.testing.assert_allclose(theirs, exact[1:], atol=4e-3)
    np.testing.assert_allclose(np.array(ours).mean(axis=1), theirs, atol=4e-3)
    # Without the device's asymmetry it would go elsewhere by far.
    assert abs(start + np.cumsum(changes) - theirs).max() > 0.05
