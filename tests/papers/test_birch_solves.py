"""Sharing a round's solves among unequal machines."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import replace

import numpy as np
import pytest

from popinv.charts.matplotlib_writer import drawn
from popinv_papers.birch.method import Birch
from popinv_papers.birch.solve_sharing import (
    Machines,
    RoundTimes,
    advise_solves,
    best_split,
    chunk_sizes,
    chunks_of,
    divided,
    equal_split,
    least_makespan,
    makespans,
    pulled,
    rehearse,
)
from popinv_papers.birch.theory import ProblemConstants, least_time
from popinv_papers.birch.use import draw_solves

CASES = [((1.0, 1.0), 5), ((1.0, 2.5), 7), ((0.3, 1.0, 1.1), 6), ((1.0, 1.9, 4.0), 9)]


def constant(machines: Machines) -> RoundTimes:
    return RoundTimes.drawn(machines, 1, 1)


@pytest.mark.parametrize(("seconds", "solves"), CASES)
@pytest.mark.parametrize("overhead", [0.0, 0.7])
def test_the_best_split_is_that_of_all_splits(seconds, solves, overhead):
    machines = Machines(seconds, overhead)

    def makespan(counts: tuple[int, ...]) -> float:
        return max(overhead + h * n for h, n in zip(seconds, counts, strict=True) if n)

    every = itertools.product(range(solves + 1), repeat=len(seconds))
    best = min(makespan(counts) for counts in every if sum(counts) == solves)
    found = best_split(machines, solves)
    assert sum(found) == solves
    assert makespan(found) == pytest.approx(best)
    assert float(divided(constant(machines), found)[0]) == pytest.approx(best)
    assert least_makespan(machines, solves) <= best


def test_the_best_split_is_in_proportion_to_speed():
    # Speeds of 10, 5 and 2.5 solves a second.
    assert best_split(Machines((0.1, 0.2, 0.4)), 700) == [400, 200, 100]
    assert equal_split(Machines((0.4, 0.1, 0.2)), 8) == [2, 3, 3]


def test_the_bound_is_that_of_the_paper_without_its_first_term():
    # L Delta / eps = 1e-9 gradients beside 90 for the noise.
    problem = ProblemConstants(1.0, 1e-9, 90e9, 1.0)
    seconds = (1.0, 2.0, 3.0)
    assert least_makespan(Machines(seconds), 90) == pytest.approx(least_time(problem, seconds))
    assert least_makespan(Machines(seconds, 2.0), 90) == pytest.approx(2 + 90 / (11 / 6))


def by_events(rates, overhead, units):
    """Return the makespan of pulled chunks by events; of idle machines the first pulls first."""
    idle = [(0.0, place) for place in range(len(rates))]
    last = 0.0
    for unit in units:
        time, place = heapq.heappop(idle)
        time += overhead + rates[place] * unit
        last = max(last, time)
        heapq.heappush(idle, (time, place))
    return last


def test_pulled_chunks_end_as_their_events_do():
    machines = Machines((2.0, 0.5, 1.0), 0.25, 0.4, 0.3)
    times, chunks = RoundTimes.drawn(machines, 20, 3), chunks_of(37, 5)
    assert chunks == [5] * 7 + [2]
    units = times.units(chunks)
    expected = [
        by_events(times.rates[draw][times.order[draw]], 0.25, units[draw]) for draw in range(20)
    ]
    assert sorted(times.order[0]) == [0, 1, 2]
    assert len({tuple(order) for order in times.order}) > 3
    np.testing.assert_allclose(pulled(times, chunks), expected)


def test_constant_times_have_makespans_in_closed_form():
    machines = Machines((1.0, 2.0), 0.5)
    times = replace(constant(machines), order=np.array([[0, 1]]))
    # The fast machine's chunks end at 2.5 and 5, the slow one's at 4.5, when it takes the fourth.
    assert float(pulled(times, [2] * 3)[0]) == 5.0
    assert float(pulled(times, [2] * 4)[0]) == 9.0
    # A single chunk is taken by whoever asks first.
    assert float(pulled(times, [2])[0]) == 2.5
    assert float(pulled(replace(times, order=np.array([[1, 0]])), [2])[0]) == 4.5
    assert float(divided(times, [6, 0])[0]) == 6.5
    assert float(divided(times, [3, 3])[0]) == 6.5
    assert float(times.least(6)[0]) == least_makespan(machines, 6) == 4.5


def test_times_of_chunks_have_their_mean_and_variation():
    machines = Machines((1.0, 3.0), 0.0, 0.5, 0.2)
    times = RoundTimes.drawn(machines, 20_000, 2)
    np.testing.assert_allclose(times.rates.mean(axis=0), [1.0, 3.0], rtol=0.02)
    np.testing.assert_allclose(times.rates.std(axis=0), [0.2, 0.6], rtol=0.05)
    units = times.units([4, 25])
    # A sum of c times has the variation of one, over the root of c.
    np.testing.assert_allclose(units.mean(axis=0), [4, 25], rtol=0.02)
    np.testing.assert_allclose(units.std(axis=0) / units.mean(axis=0), [0.25, 0.1], rtol=0.05)
    assert (times.units([0, 3])[:, 0] == 0).all()


def test_no_way_beats_the_bound_and_pulling_adapts_to_machines_that_are_slower_than_stated():
    known = makespans(Machines((0.1, 0.1, 0.2, 0.4), 0.0, 0.3, 0.0), 1000, 1)
    other = makespans(Machines((0.1, 0.1, 0.2, 0.4), 0.0, 0.3, 0.3), 1000, 1)
    for found in (known, other):
        # The bound is that of 1000 mean times; sums of 1000 differ by a percent.
        every = (found["equal"], found["by_speed"], *found["pulled"].values())
        assert min(every) > 0.99 * found["bound"]
        assert found["pulled"][1] < 1.02 * found["bound"]
    assert known["by_speed"] < 1.05 * known["bound"]
    assert other["by_speed"] > 1.15 * other["bound"]
    assert known["equal"] == pytest.approx(1000 / 4 * 0.4, rel=0.02)


def test_chunk_sizes_reach_from_one_to_the_round():
    assert chunk_sizes(7) == [1, 2, 3, 4, 5, 6, 7]
    assert chunk_sizes(1) == [1]
    sizes = chunk_sizes(100_000)
    assert sizes[-1] == 100_000
    assert 100_000 / sizes[0] <= 5000
    assert max(b / a for a, b in itertools.pairwise(sizes)) < 1.3


def test_processes_take_the_time_of_their_chunks():
    # Sleeps end late, never early, so that only lower bounds hold on a busy machine.
    assert rehearse([0.01, 0.03], 0.02, [4.0, 2.0]) >= 0.08
    assert rehearse([0.01, 10.0], 0.02, [4.0, 0.0]) < 10
    assert rehearse([0.02, 0.05], 0.0, [1.0] * 6, [0, 1]) >= 0.08
    # The first in the order takes the first chunk, and no chunk is left for the other.
    assert rehearse([10.0, 0.01], 0.0, [1.0], [1, 0]) < 10


def test_the_advice_names_a_way_a_chunk_size_and_shares():
    stated = {"near": 0.02, "far": 0.06}
    machines = Machines(tuple(stated.values()), 0.0, 0.3, 0.5)
    result, metrics = advise_solves(stated, machines, 40, 2, 1, rehearsal=0.2)
    assert metrics["solves_share_near"] + metrics["solves_share_far"] == 40
    assert metrics["solves_share_near"] == 30
    assert metrics["solves_advice"] == "pulled"
    size = metrics["solves_chunk_size"]
    assert float(result["makespan"].sel(chunk_size=size)) == float(result["makespan"].min())
    near = result["makespan"] <= 1.05 * metrics["solves_bound_seconds"]
    sizes = result["chunk_size"].values[near.values]
    assert metrics["solves_largest_chunk_near_bound"] == sizes.max()
    assert metrics["solves_smallest_chunk_near_bound"] == sizes.min()
    assert result["rehearsal_measured"].shape == (3, 2)
    # A process that sleeps is never early, and an equal share does not depend on who is first.
    assert metrics["solves_equal_rehearsed_over_predicted_least"] >= 0.99
    assert len(drawn(draw_solves(result)).axes) == 1


@pytest.mark.full
def test_a_costly_chunk_leaves_no_size_near_the_bound_and_one_chunk_each():
    stated = {"first": 0.1, "second": 0.1, "third": 0.2, "fourth": 0.4}
    machines = Machines(tuple(stated.values()), 2.0, 0.0, 0.0)
    _, metrics = advise_solves(stated, machines, 1000, 2, 1, rehearsal=0.1)
    assert metrics["solves_largest_chunk_near_bound"] == "none"
    assert metrics["solves_advice"] == "by_speed"
    assert "no chunk size is within 5 %" in metrics["solves_statement"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("machines", {"alone": 0.1}, "at least 2"),
        ("machines", {"one": 0.1, "two": 0.0}, "greater than 0"),
        ("machines", [0.1, 0.2], "valid dictionary"),
        ("chunk_overhead", -1.0, "greater than or equal to 0"),
        ("machine_variation", 3.0, "less than or equal to 2"),
        ("repeats", 1, "greater than or equal to 2"),
        ("machine", {}, "Extra inputs"),
    ],
)
def test_bad_keys_are_refused(key, value, message):
    with pytest.raises(ValueError, match=message):
        Birch(**{key: value})
