"""The record of the method ``instance_unlearning``."""

from __future__ import annotations

from popinv.methods.method import StudySizes, Use, megabytes_of
from popinv_papers.instance_unlearning.section import InstanceImages, InstanceUnlearning
from popinv_papers.kit.paper import Check, Paper

# Approximate iterations of a descent.
_ITERATIONS = 1000


def _megabytes(sizes: StudySizes, asked: InstanceUnlearning) -> float:
    # The curvature takes 8000 draws along some hundred directions.
    curvature = megabytes_of(8000 * (4000 + 3 * sizes.activations))
    return max(sizes.descent_megabytes + curvature, sizes.training_megabytes) + 300


def _minutes(sizes: StudySizes, asked: InstanceUnlearning) -> float:
    # Gradients with each system left out, four to each parameter for their noise, and descents.
    slopes = 2 * asked.systems * asked.places + max(asked.noise_draws, 8 * sizes.row)
    slopes += (1 + asked.withdrawn) * (20 + _ITERATIONS + asked.steps)
    trainings = 10 * sizes.training_seconds if asked.solves else 0
    # Numbers of systems that do not divide the draws compare more slowly.
    return (5 * slopes * sizes.iteration_seconds + trainings) / 60


METHOD = Paper(
    name="instance_unlearning",
    package="popinv_papers.instance_unlearning",
    section=InstanceUnlearning,
    checks=(
        Check(
            name="instance_unlearning",
            message="forgetting sets of images",
            inputs=InstanceImages.image_files,
            settings=("seed", "size", "instance_images"),
            figures=("steps", "curves", "utility"),
            megabytes=8000,
            minutes=2400,
        ),
    ),
    use=Use(
        message="forgetting systems and solves that withdraw",
        stores=("observations", "solves", "surrogate", "estimate", "descent"),
        sections=(
            "forward",
            "law",
            "noise",
            "surrogate",
            "active_learning.recency_decay",
            "descent",
        ),
        imports=("law", "noise"),
        figures=("systems",),
        megabytes=_megabytes,
        minutes=_minutes,
    ),
)
