"""Results on another storage than the working directory, through Snakemake's storage plugins.

Jobs share no files with Snakemake but what its plugin carries.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_study import TINY, Workflow

pytestmark = pytest.mark.firedrake

STUDY = "results/tiny"
# All that is shared but inputs and outputs.
SHARED = ("persistence", "software-deployment", "sources", "source-cache", "storage-local-copies")


def run(folder: Path, provider: str, prefix: str, *arguments: str, **environment: str) -> str:
    workflow = Workflow(folder)
    workflow.configure(TINY)
    options = ["--default-storage-provider", provider, "--default-storage-prefix", prefix]
    path = filter(None, [str(workflow.root / "src"), os.environ.get("PYTHONPATH")])
    command = workflow.command(*arguments, *options, "--shared-fs-usage", *SHARED)
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **environment},
    )
    assert done.returncode == 0, done.stdout
    # Nothing was left in the working directory, from which a job could have taken it.
    assert not list((folder / "results").rglob("*.zarr.zip"))
    return done.stdout


@pytest.mark.skipif(
    importlib.util.find_spec("snakemake_storage_plugin_fs") is None or not shutil.which("rsync"),
    reason="the storage plugin fs, or rsync, is not installed",
)
@pytest.mark.full
def test_a_study_on_another_file_system_has_the_same_stores(tmp_path, untouched):
    (tmp_path / "work").mkdir()
    prefix = str(tmp_path / "remote")
    run(tmp_path / "work", "fs", prefix)
    for part in ("*.zarr.zip", "metrics.json", "figures/*"):
        wanted = sorted((untouched.folder / STUDY).rglob(part))
        assert wanted
        for file in wanted:
            name = file.relative_to(untouched.folder)
            assert Path(prefix, name).read_bytes() == file.read_bytes(), name
    assert "Nothing to be done" in run(tmp_path / "work", "fs", prefix)


@pytest.fixture
def bucket() -> Iterator[dict[str, str]]:
    """Start a server of the S3 protocol with a bucket, and return how to reach it."""
    for module in ("moto", "flask", "snakemake_storage_plugin_s3"):
        pytest.importorskip(module)
    import boto3

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    reached = {
        "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": url,
        "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "popinv",
        "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "popinv",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id="popinv",
            aws_secret_access_key="popinv",
            region_name="us-east-1",
        )
        for _ in range(100):
            try:
                client.create_bucket(Bucket="studies")
                break
            except Exception:
                time.sleep(0.1)
        yield reached
    finally:
        server.kill()


@pytest.mark.full
def test_a_study_in_a_bucket_has_the_same_stores(tmp_path, untouched, bucket):
    import boto3

    (tmp_path / "work").mkdir()
    run(tmp_path / "work", "s3", "s3://studies", **bucket)
    client = boto3.client(
        "s3",
        endpoint_url=bucket["SNAKEMAKE_STORAGE_S3_ENDPOINT_URL"],
        aws_access_key_id="popinv",
        aws_secret_access_key="popinv",
        region_name="us-east-1",
    )
    wanted = sorted((untouched.folder / STUDY).rglob("*.zarr.zip"))
    assert wanted
    for file in wanted:
        name = str(file.relative_to(untouched.folder))
        stored = client.get_object(Bucket="studies", Key=name)["Body"].read()
        assert stored == file.read_bytes(), name
    assert "Nothing to be done" in run(tmp_path / "work", "s3", "s3://studies", **bucket)
