"""How hard single points, systems and solves are to unlearn by fine-tuning."""

from pathlib import Path

from popinv.downstream.images import SETS
from popinv.downstream.instance_unlearning.colour_images import files_of


def unlearned_images(wildcards):
    """Input function: the package of images, or the files of a folder of the user's."""
    images = config["downstream"]["instance_images"]
    if images in SETS:
        return {"images": [f"<results>/downstream/data/{images}.tgz"]}
    return {"images": [str(file) for file in files_of(Path(images))]}


# Exact chains, and a classifier of images that forgets sets of them.
rule check_instance_claims:
    input:
        unpack(unlearned_images),
    output:
        metrics="<results>/downstream/instance_unlearning/metrics.json",
        claims="<results>/downstream/instance_unlearning/claims.csv",
        result="<results>/downstream/instance_unlearning/result.zarr/zarr.json",
        figures=pictures("<results>/downstream/instance_unlearning", "steps", "curves"),
    log:
        "<results>/downstream/logs/check_instance_claims.log",
    benchmark:
        "<results>/downstream/benchmarks/check_instance_claims.tsv"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        seed=lookup(dpath="seed", within=config),
        size=lookup(dpath="downstream/size", within=config),
        images=lookup(dpath="downstream/instance_images", within=config),
        code=code_alone("check_instance_claims"),
    message:
        "instance_unlearning: forgetting sets of images"
    script:
        "../scripts/check_instance_claims.py"


# One system of a study withdraws, and some of its solves.
rule withdraw_systems:
    input:
        observations="<results>/{study}/observations.zarr/zarr.json",
        solves=final("solves"),
        surrogate=final("surrogate"),
        estimate=final("estimate"),
        descent="<results>/{study}/descent.zarr/zarr.json",
    output:
        metrics="<results>/{study}/downstream/instance_unlearning/metrics.json",
        result="<results>/{study}/downstream/instance_unlearning/result.zarr/zarr.json",
        figures=picture("<results>/{study}/downstream/instance_unlearning", "systems"),
    log:
        "<results>/{study}/logs/withdraw_systems.log",
    benchmark:
        "<results>/{study}/benchmarks/withdraw_systems.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        noise=lookup(dpath="studies/{study}/noise", within=config),
        surrogate=lookup(dpath="studies/{study}/surrogate", within=config),
        recency_decay=lookup(dpath="studies/{study}/active_learning/recency_decay", within=config),
        descent=lookup(dpath="studies/{study}/descent", within=config),
        instance_unlearning=lookup(
            dpath="studies/{study}/downstream/instance_unlearning", within=config
        ),
        code=code_of("withdraw_systems", "law", "noise", "network"),
    message:
        "{wildcards.study}: forgetting systems and solves that withdraw"
    script:
        "../scripts/withdraw_systems.py"
