"""The plugin by which Snakemake finds what `popinv run` prints: ``snakemake --logger popinv``."""

from popinv.workflow.display import LogHandler as LogHandler
