"""Pictures of the systems of the studies, and of the rules themselves."""

import hashlib
from pathlib import Path


def shown_systems(wildcards):
    """Input function: the population from which a study's systems are taken."""
    study, folder = study_of(wildcards), f"<results>/{wildcards.study}"
    if not study.has_states():
        raise WorkflowError(
            f"{wildcards.study}: its forward model is of kind '{study.forward.kind}', a "
            "simulator of your own, which returns only observations. It has no states to draw."
        )
    if study.is_synthetic():
        return {
            "observations": f"{folder}/observations.zarr.zip",
            "solves": f"{folder}/rounds/truth/solves.zarr.zip",
        }
    return {
        "observations": of_all("observations")(wildcards),
        "population": f"{folder}/population.zarr.zip",
    }


def known_noise(wildcards):
    """Input function: the truth of a synthetic study."""
    if not study_of(wildcards).is_synthetic():
        return {}
    return {"truth": f"<results>/{wildcards.study}/truth.zarr.zip"}


# Draw a few systems with their sensors.
rule draw_systems:
    input:
        unpack(shown_systems),
    output:
        systems="<results>/{study}/gallery/systems.png",
        numbers="<results>/{study}/gallery/systems.csv",
        made="<results>/{study}/made/draw_systems.json",
    log:
        "<results>/{study}/logs/draw_systems.log",
    benchmark:
        "<results>/{study}/benchmarks/draw_systems.tsv"
    resources:
        **request_of("draw_systems"),
    params:
        **params_of("draw_systems"),
    message:
        "{wildcards.study}: drawing a few systems whole"
    script:
        "../scripts/stage.py"


# Draw the noise before and after: the start, the recovered noise, and the truth if it is known.
rule draw_noise:
    input:
        unpack(known_noise),
        observations=of_all("observations"),
        population="<results>/{study}/population.zarr.zip",
    output:
        noise="<results>/{study}/gallery/noise.png",
        numbers="<results>/{study}/gallery/noise.csv",
        made="<results>/{study}/made/draw_noise.json",
    log:
        "<results>/{study}/logs/draw_noise.log",
    benchmark:
        "<results>/{study}/benchmarks/draw_noise.tsv"
    resources:
        **request_of("draw_noise"),
    params:
        **params_of("draw_noise"),
    message:
        "{wildcards.study}: drawing the noise before and after"
    script:
        "../scripts/stage.py"


def hash_of_rules(wildcards):
    """Params function: hash of the default study and of all rules, which their picture follows."""
    folder = PROJECT
    files = [folder / "Snakefile", folder / "config" / "config.yaml"]
    files += sorted((folder / "workflow" / "rules").glob("*.smk"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


# The rules of the default study, as Snakemake plans its jobs.
rule draw_rules:
    output:
        rules="<results>/gallery/rules.svg",
    log:
        "<results>/gallery/logs/draw_rules.log",
    benchmark:
        "<results>/gallery/benchmarks/draw_rules.tsv"
    localrule: True
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        folder=str(PROJECT),
        rules=hash_of_rules,
        code=code_alone("draw_rules"),
    message:
        "drawing the rules of the default study"
    script:
        "../scripts/draw_rules.py"


# Every picture of the studies of the configuration.
rule gallery:
    input:
        "<results>/gallery/rules.svg",
        expand("<results>/{study}/gallery/noise.png", study=STUDIES),
        [
            f"<results>/{study}/gallery/systems.png"
            for study, section in STUDIES.items()
            if section.has_states()
        ],
