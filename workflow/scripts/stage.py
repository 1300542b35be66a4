"""Run the stage of a rule: read its inputs, call its function, and write what it returns."""

from popinv.workflow.script import run_job

run_job(snakemake)
