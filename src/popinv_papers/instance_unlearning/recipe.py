"""The images, the network and the training of the experiment on images.

Every model starts from the weights of its run, and takes the batches of its run. Models that leave
out different points differ in nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from popinv.seeds import generator
from popinv_papers.instance_unlearning.difficulty import confidences, losses_along
from popinv_papers.instance_unlearning.networks import Weights, network, stacked, taken
from popinv_papers.instance_unlearning.renyi import instance_loss, sum_noise
from popinv_papers.instance_unlearning.training import Data, Look, Rule, Steps, descend
from popinv_papers.kit.images import ImageSet

# Methods of fine-tuning, with the training from which each starts.
METHODS = {"sgld": "sgld", "sgd": "sgd", "l1": "sgd"}


@dataclass(frozen=True)
class RecipeSize:
    """Size and settings of the experiment.

    Attributes
    ----------
    width : int
        See :func:`networks.network`.
    pooled : int
        Side of the squares of pixels that are averaged to one.
    points, tested : int
        Numbers of training and of test images.
    steps, tuning : int
        Numbers of steps of training and of fine-tuning.
    group, quantiles : int
        Number of points in a forget set, and of sets by rank of the loss.
    runs, subsets : int
        Number of trainings from different weights, and of models for memorisation, in fours.
    rate, batch, sigma, clip, penalty : float
        eta, b, sigma of Langevin descent, the length of a gradient there, gamma_0 of sparse
        unlearning.
    order : int
        alpha of P(x, alpha).
    level : float
        P-value above which a set is unlearned; see :func:`difficulty.steps_to_match`.
    every : int
        Number of steps between records.
    """

    width: int = 8
    pooled: int = 2
    points: int = 3000
    tested: int = 2000
    steps: int = 500
    tuning: int = 600
    group: int = 100
    quantiles: int = 8
    runs: int = 5
    subsets: int = 24
    rate: float = 0.2
    batch: float = 128
    sigma: float = 0.0148
    clip: float = 4.0
    penalty: float = 1e-3
    order: int = 8
    level: float = 0.05
    every: int = 100


SIZES = {
    "workstation": RecipeSize(),
    # The paper's networks and numbers are unknown to us. This size suits its data sets.
    "paper": RecipeSize(
        width=32,
        pooled=1,
        points=20_000,
        tested=5000,
        steps=6000,
        tuning=3000,
        group=500,
        quantiles=10,
        runs=5,
        subsets=40,
        rate=0.1,
        sigma=0.0105,
        every=300,
    ),
}


def datasets(images: ImageSet, size: RecipeSize, seed: int, number: int = 0) -> tuple[Data, Data]:
    """Draw training and test points, in units of the training points' spread.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    drawn = []
    for part, count, pixels, labels in (
        ("train", size.points, images.train, images.train_labels),
        ("test", size.tested, images.test, images.test_labels),
    ):
        if count > len(labels):
            raise ValueError(f"{count} images requested, but the {part} set has {len(labels)}")
        rng = generator(seed, f"instance_unlearning/{part}", number)
        rows = np.sort(rng.choice(len(labels), count, replace=False))
        values = pixels[rows].astype(np.float32) / 255
        # Channels come first; grey images have one.
        values = values[:, None] if values.ndim == 3 else values.transpose(0, 3, 1, 2)
        values = avg_pool2d(torch.from_numpy(values), size.pooled).numpy()
        drawn.append((values, labels[rows].astype(np.int64)))
    mean, spread = drawn[0][0].mean(), drawn[0][0].std()
    train, test = (
        Data(torch.from_numpy(np.ascontiguousarray((v - mean) / spread)), torch.from_numpy(labels))
        for v, labels in drawn
    )
    return train, test


class Recipe:
    """Data, network and settings; its methods train models and evaluate them."""

    def __init__(self, train: Data, test: Data, size: RecipeSize, seed: int) -> None:
        self.train, self.test, self.size, self.seed = train, test, size, seed
        _, channels, rows, columns = train.images.shape
        self.network = network((channels, rows, columns), train.classes, size.width)

    def rule(self, method: str) -> Rule:
        """Return how the method takes its steps."""
        size = self.size
        return Rule(
            size.rate,
            size.batch,
            sigma=size.sigma if method == "sgld" else 0.0,
            penalty=size.penalty if method == "l1" else 0.0,
            clip=size.clip if method == "sgld" else 0.0,
        )

    def noise(self, recorded: np.ndarray, training: str) -> float:
        """Return the noise on a sum of gradients.

        Plain descent adds none: it is treated as if its own noise were normal, with the largest
        gradient as standard deviation. The ranking is then nearly by the sum of squares.
        """
        size = self.size
        if training == "sgld":
            return sum_noise(size.rate, size.sigma, size.batch)
        return float(recorded.max())

    def losses(
        self, recorded: np.ndarray, lengths: np.ndarray, training: str, factor: float = 1.0
    ) -> np.ndarray:
        """Return P(x, alpha) of every point from norms of shape (runs, records, points).

        Langevin descent clips the gradients. A factor multiplies the noise.
        """
        noise, clip = factor * self.noise(recorded, training), self.rule(training).clip
        norms = np.minimum(recorded, clip) if clip else recorded
        share = self.size.batch / len(self.train)
        return instance_loss(norms, lengths, share, noise, self.size.order)

    def begin(self, run: int, models: int) -> Weights:
        """Return a stack that starts from the same weights."""
        rng = generator(self.seed, "instance_unlearning/weights", run)
        return taken(stacked([self.network.initial(rng)]), np.zeros(models, dtype=int))

    def trained(
        self, method: str, run: int, kept: np.ndarray, part: str, look: Look | None = None
    ) -> tuple[Weights, dict[str, np.ndarray]]:
        """Train a stack, each model on its own points; the batches belong to the run."""
        steps = Steps(self.size.steps, self.seed, f"instance_unlearning/{method}/{run}")
        start = self.begin(run, len(kept))
        return descend(start, self.network, self.train, kept, self.rule(method), steps, look, part)

    def right(self, weights: Weights, groups: np.ndarray) -> np.ndarray:
        """Return each model's accuracy on its own group, shape (groups,)."""
        logits, labels = self._own_logits(weights, groups)
        return (logits.argmax(2) == labels).float().mean(1).numpy()

    def beliefs(self, weights: Weights, groups: np.ndarray) -> np.ndarray:
        """Return each model's confidence in the points of its own group, shape of ``groups``."""
        logits, labels = self._own_logits(weights, groups)
        own = torch.softmax(logits, dim=2).gather(2, labels[..., None])
        return own[..., 0].double().numpy()

    def _own_logits(
        self, weights: Weights, groups: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each model's logits of its own group (groups, size, classes), and the labels."""
        own = self.train.of(groups.ravel())
        images = own.images.reshape(*groups.shape, *own.images.shape[1:])
        with torch.no_grad():
            logits = torch.func.vmap(self.network.logits)(weights, images)
        return logits, own.labels.reshape(groups.shape)

    def tested(self, stacks: list[Weights]) -> float:
        """Return the mean accuracy on the test images."""
        rights = [confidences(self.network, stack, self.test)[1].mean() for stack in stacks]
        return float(np.mean(rights))

    def own_losses(self, start: Weights, end: Weights, groups: np.ndarray) -> np.ndarray:
        """Return each pair's losses along its line on its own group, shape (groups, places)."""
        rows = []
        for model, group in enumerate(groups):
            first, last = (taken(weights, np.array([model])) for weights in (start, end))
            rows.append(losses_along(self.network, first, last, self.train.of(group))[0])
        return np.array(rows)
