"""The ensembles of networks that mwgrad's test problem on images compares."""

from popinv.downstream.data.packages import archive_path
from popinv.downstream.mwgrad.overlaid import KINDS


def pair_archives(wildcards):
    """Input function: the packages with the images of a kind of pairs."""
    return [archive_path(package) for package in dict.fromkeys(KINDS[wildcards.kind])]


# Train ensembles of networks on pairs of overlapping images, by each method. This takes minutes,
# but days at the paper's size.
rule train_ensembles:
    input:
        archives=pair_archives,
    output:
        trained="<results>/downstream/mwgrad_images/{kind}.zarr.zip",
        made="<results>/downstream/made/train_ensembles.{kind}.json",
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
