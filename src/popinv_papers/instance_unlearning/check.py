"""The test problem: exact chains, a network that forgets images, and utility at equal epsilon."""

from __future__ import annotations

from pathlib import Path

from popinv.threads import fixed_threads
from popinv_papers.instance_unlearning import problem
from popinv_papers.instance_unlearning.chains import chain_metrics, compare, per_instance_steps
from popinv_papers.instance_unlearning.claims import CHAINS, claims
from popinv_papers.instance_unlearning.equal_epsilon import CONVEX, curves
from popinv_papers.instance_unlearning.experiment import memorised_share, solve
from popinv_papers.instance_unlearning.figures import draw_curves, draw_steps, draw_utility
from popinv_papers.instance_unlearning.recipe import SIZES, Recipe, datasets
from popinv_papers.kit.images import SETS, read_folder, read_images
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome


def check(given: CheckInput) -> CheckOutcome:
    """Compare bounds with exact chains, unlearn sets of images, and unlearn at equal epsilon."""
    seed, size, name = given.seed, SIZES[given.size], given.instance_images
    images = read_images(given.files[0], name) if name in SETS else read_folder(Path(name))
    with fixed_threads():
        recipe = Recipe(*datasets(images, size, seed), size, seed)
        memorised = memorised_share(recipe)
        outcomes = {training: solve(recipe, training, memorised) for training in ("sgld", "sgd")}
        utility = curves(images, CONVEX[given.size], size, seed)
    chains = per_instance_steps(seed)
    numbers = range(CHAINS)
    metrics = problem.metrics(chain_metrics(compare(seed)), chains, outcomes, utility, size)
    result = problem.result_dataset(outcomes, utility, size)
    return CheckOutcome(
        metrics=metrics,
        figures={
            "steps": draw_steps(result),
            "curves": draw_curves(result),
            "utility": draw_utility(result),
        },
        result=result,
        claims=claims(
            [compare(seed, number) for number in numbers],
            [per_instance_steps(seed, number) for number in numbers],
            outcomes,
            utility,
            size,
            seed,
        ),
    )
