"""MLflow as a team has it: a server with PostgreSQL and an S3 store, each a process on loopback."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from ..serving.model_server import free_port, until
from .test_webhook import answers

BUCKET = "mlflow"
KEYS = {
    "AWS_ACCESS_KEY_ID": "team",
    "AWS_SECRET_ACCESS_KEY": "team",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def postgres() -> Iterator[str]:
    """A URI of an empty database; Debian's binaries, which refuse to be run by root."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda bin: int(bin.parent.name))
    initdb = shutil.which("initdb")
    assert debian or initdb, "these tests need PostgreSQL: apt-get install postgresql"
    binaries, port = debian[-1] if debian else Path(str(initdb)).parent, free_port()
    user = {"user": "nobody"} if os.getuid() == 0 else {}
    folder = tempfile.mkdtemp(prefix="celflow-postgres-")
    if user:
        shutil.chown(folder, **user)
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **user}
    data = Path(folder) / "data"
    options = ["-U", "mlflow", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
    subprocess.run([binaries / "initdb", "-D", data, *options], check=True, **quiet)
    process = subprocess.Popen(
        [binaries / "postgres", "-D", data, "-p", str(port), "-k", folder, "-c", "fsync=off",
         "-c", "listen_addresses=127.0.0.1"], **quiet,
    )  # fmt: skip
    try:
        where = ["-h", "127.0.0.1", "-p", str(port), "-U", "mlflow"]
        create = [binaries / "createdb", *where, "mlflow"]
        until(lambda: subprocess.run(create, **quiet).returncode == 0, 60)
        yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/mlflow"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


@contextmanager
def s3() -> Iterator[str]:
    """The address of a store with an empty bucket."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each file
    server = ThreadedMotoServer(port=0)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port()).replace("0.0.0.0", "127.0.0.1")
        names = {name.lower(): value for name, value in KEYS.items()}
        region = names.pop("aws_default_region")
        boto3.client("s3", endpoint_url=address, region_name=region, **names).create_bucket(
            Bucket=BUCKET
        )
        yield address
    finally:
        server.stop()


@contextmanager
def mlflow_server() -> Iterator[str]:
    """The address of an MLflow server with both, as serving/compose.yaml starts it."""
    with postgres() as database, s3() as store:
        port = free_port()
        environment = {
            **os.environ, **KEYS, "MLFLOW_S3_ENDPOINT_URL": store,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}",
             f"--backend-store-uri={database}", f"--artifacts-destination=s3://{BUCKET}",
             "--workers=2"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        try:
            until(lambda: answers(f"{address}/health"), 120)
            yield address
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)
