"""The ensembles of networks that mwgrad's test problem on images compares."""

from popinv.downstream.data.packages import archive_path
from popinv.downstream.mwgrad.ensemble_runs import METHODS as ENSEMBLE_METHODS
from popinv.downstream.mwgrad.ensemble_runs import RECIPES
from popinv.downstream.mwgrad.overlaid import KINDS


def pair_archives(wildcards):
    """Input function: the packages with the images of a kind of pairs."""
    return [archive_path(package) for package in dict.fromkeys(KINDS[wildcards.kind])]


def ensemble_checkpoint(wildcards):
    """Params function: where a training keeps its progress, which outlives a kill."""
    run = "{kind}.{recipe}.{method}_{start}".format(**wildcards)
    return f"{config['results']}/.checkpoints/downstream/train_ensemble.{run}.zarr.zip"


def ensemble_rates(wildcards):
    """Input function: the search for the own recipe's rate; the authors' recipes need none."""
    if wildcards.recipe != "own":
        return []
    return f"{config['results']}/downstream/mwgrad_images/{wildcards.kind}/rates/{wildcards.method}.zarr.zip"


# Try learning rates for one method, from a start that no claim is measured on.
rule search_ensemble_rate:
    input:
        archives=pair_archives,
    output:
        rates="<results>/downstream/mwgrad_images/{kind}/rates/{method}.zarr.zip",
        made="<results>/downstream/made/search_ensemble_rate.{kind}.{method}.json",
    log:
        "<results>/downstream/logs/search_ensemble_rate.{kind}.{method}.log",
    benchmark:
        "<results>/downstream/benchmarks/search_ensemble_rate.{kind}.{method}.tsv"
    wildcard_constraints:
        kind="|".join(KINDS),
        method="|".join(ENSEMBLE_METHODS),
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        seed=lookup(dpath="seed", within=config),
        size=lookup(dpath="downstream/size", within=config),
        code=code_alone("search_ensemble_rate"),
    message:
        "mwgrad: trying learning rates for {wildcards.method} on {wildcards.kind}"
    script:
        "../scripts/search_ensemble_rate.py"


# Train an ensemble of networks on pairs of overlapping images, by one method from one start. This
# takes seconds, but hours at the paper's size; a job that was killed continues.
rule train_ensemble:
    input:
        archives=pair_archives,
        rates=ensemble_rates,
    output:
        trained="<results>/downstream/mwgrad_images/{kind}/{recipe}/{method}_{start}.zarr.zip",
        made="<results>/downstream/made/train_ensemble.{kind}.{recipe}.{method}_{start}.json",
    log:
        "<results>/downstream/logs/train_ensemble.{kind}.{recipe}.{method}_{start}.log",
    benchmark:
        "<results>/downstream/benchmarks/train_ensemble.{kind}.{recipe}.{method}_{start}.tsv"
    wildcard_constraints:
        kind="|".join(KINDS),
        recipe="|".join(RECIPES),
        method="|".join(ENSEMBLE_METHODS),
        start="[0-9]",
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        seed=lookup(dpath="seed", within=config),
        size=lookup(dpath="downstream/size", within=config),
        code=code_alone("train_ensemble"),
        checkpoint=ensemble_checkpoint,
    message:
        "mwgrad: training by {wildcards.method} on {wildcards.kind}, {wildcards.recipe}"
    script:
        "../scripts/train_ensemble.py"
