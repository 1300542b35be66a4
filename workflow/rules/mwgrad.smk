"""Several objectives over one distribution: multiple Wasserstein gradient descent."""

from popinv.downstream.mwgrad.overlaid import KINDS


# Four mixtures in the plane: velocities, weights, and the accelerated variant.
rule check_mwgrad_claims:
    output:
        metrics="<results>/downstream/mwgrad/metrics.json",
        claims="<results>/downstream/mwgrad/claims.csv",
        result="<results>/downstream/mwgrad/result.zarr/zarr.json",
        figures=pictures("<results>/downstream/mwgrad", "particles", "accelerated"),
    log:
        "<results>/downstream/logs/check_mwgrad_claims.log",
    benchmark:
        "<results>/downstream/benchmarks/check_mwgrad_claims.tsv"
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        seed=lookup(dpath="seed", within=config),
        code=code_alone("check_mwgrad_claims"),
    message:
        "mwgrad: moving particles on four mixtures"
    script:
        "../scripts/check_mwgrad_claims.py"


def pair_archives(wildcards):
    """Input function: the packages that a kind of pairs takes its images from."""
    packages = dict.fromkeys(KINDS[wildcards.kind])
    return [f"<results>/downstream/data/{package}.tgz" for package in packages]


# Ensembles of networks on pairs of overlapping images, by each method: minutes, but days at the
# paper's size.
rule train_ensembles:
    input:
        archives=pair_archives,
    output:
        trained="<results>/downstream/mwgrad_images/{kind}.zarr/zarr.json",
    log:
        "<results>/downstream/logs/train_ensembles.{kind}.log",
    benchmark:
        "<results>/downstream/benchmarks/train_ensembles.{kind}.tsv"
    wildcard_constraints:
        kind="|".join(KINDS),
    resources:
        mem_mb=4000,
        runtime=5760,
    params:
        seed=lookup(dpath="seed", within=config),
        size=lookup(dpath="downstream/size", within=config),
        code=code_alone("train_ensembles"),
    message:
        "mwgrad: training ensembles on {wildcards.kind}"
    script:
        "../scripts/train_ensembles.py"


# Accuracies beside the authors' logs, and of the methods beside each other.
rule check_mwgrad_images:
    input:
        trained=expand("<results>/downstream/mwgrad_images/{kind}.zarr/zarr.json", kind=KINDS),
    output:
        metrics="<results>/downstream/mwgrad_images/metrics.json",
        claims="<results>/downstream/mwgrad_images/claims.csv",
        figures=pictures("<results>/downstream/mwgrad_images", "examples", "accuracies"),
    log:
        "<results>/downstream/logs/check_mwgrad_images.log",
    benchmark:
        "<results>/downstream/benchmarks/check_mwgrad_images.tsv"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_alone("check_mwgrad_images"),
    message:
        "mwgrad: scoring ensembles on pairs of overlapping images"
    script:
        "../scripts/check_mwgrad_images.py"


# Particles that serve a group of a study's systems at once.
rule serve_group:
    input:
        observations="<results>/{study}/observations.zarr/zarr.json",
        surrogate=final("surrogate"),
        population="<results>/{study}/population.zarr/zarr.json",
    output:
        metrics="<results>/{study}/downstream/mwgrad/metrics.json",
        result="<results>/{study}/downstream/mwgrad/result.zarr/zarr.json",
        figures=picture("<results>/{study}/downstream/mwgrad", "group"),
    log:
        "<results>/{study}/logs/serve_group.log",
    benchmark:
        "<results>/{study}/benchmarks/serve_group.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        noise=lookup(dpath="studies/{study}/noise", within=config),
        mwgrad=lookup(dpath="studies/{study}/downstream/mwgrad", within=config),
        code=code_of("serve_group", "law", "noise"),
    message:
        "{wildcards.study}: moving particles that serve a group of systems"
    script:
        "../scripts/serve_group.py"
