"""Raw pictures in an object store: moto's server of S3, and fsspec's store in memory."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import fsspec
import pandas as pd
import pytest
import s3fs

from celflow.errors import UserError
from dashboard import labels
from stages import clean, facecrop, raw, remote_folder, split
from stages.remote_folder import mirror

from ..promotion.team import BUCKET, KEYS, s3
from .conftest import Project, encoded, flat_drawing

Files = dict[str, bytes]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator["Bucket"]:
    with s3() as address:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": address}.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()  # they keep the address of the last server
        yield Bucket()


class Bucket:
    def __init__(self) -> None:
        self.client = boto3.client("s3")

    def put(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=name, Body=content)

    def remove(self, name: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=name)


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def contents(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all files that are fetched from now on."""
    names: list[str] = []
    real = remote_folder._fetch

    def counted(files: object, there: list[str], here: list[Path]) -> None:
        names.extend(path.name for path in here)
        real(files, there, here)

    monkeypatch.setattr(remote_folder, "_fetch", counted)
    return names


def outputs(project: Project) -> Files:
    return {**contents(project.folder / "data"), **contents(project.folder / "reports")}


def run_all(params) -> None:
    for stage in (raw, clean, facecrop, split):
        stage.run(params)


def test_pictures_in_s3_make_what_the_same_folder_makes(project, bucket, monkeypatch):
    run_all(project.configure({}))
    expected = outputs(project)
    for name, content in contents(project.raw).items():
        bucket.put(f"mine/{name}", content)
    address = f"s3://{BUCKET}/mine"
    params = project.configure(
        {"data": {"cartoon_or_photo": f"{address}/cartoon_or_photo",
                  "characters": f"{address}/characters"}}
    )  # fmt: skip
    assert params.data.missing("characters") == (
        f"no copy of {address}/characters yet: run `dvc repro raw`"
    )
    run_all(params)
    assert outputs(project) == expected

    names = fetched(monkeypatch)
    run_all(params)
    assert names == [], "nothing changed there"
    bucket.put("mine/characters/aki/a0.png", encoded(flat_drawing(999), "PNG"))
    bucket.put("mine/characters/aki/new ねこ.png", encoded(flat_drawing(1000), "PNG"))
    bucket.remove("mine/characters/beni/b3.png")
    run_all(params)
    assert sorted(names) == ["a0.png", "new ねこ.png"]
    listed = set(pd.read_csv("data/raw.csv")["file"])
    assert "aki/new ねこ.png" in listed and "beni/b3.png" not in listed
    assert labels.folder("characters", params.data) == labels.OWN / "characters"


def test_a_store_that_is_not_there(project, bucket, store):
    for address, words in {
        "s3://no-such-bucket-here/x": "bucket does not exist",
        "nothing://x/y": "Protocol not known: nothing",
        "memory://empty": "has no files",
    }.items():
        project.configure({"data": {"characters": address}})
        with pytest.raises(UserError, match=words):
            mirror(address, project.folder / "copy")


def test_names_that_lead_elsewhere_or_can_not_be(store, tmp_path, capsys):
    good = {"a/1.png": b"1", "b/2.png": b"2", "b/.hidden": b"3", "a/$(rm -rf);.png": b"4"}
    bad = ["a/../../outside.png", "a//3.png", "b/2.png/inside", "a/" + "n" * 300]
    assert list(remote_folder._usable(dict.fromkeys([*good, *bad]))) == list(good)
    said = capsys.readouterr().err
    assert said.count("left out: ") == len(bad)
    for name, content in good.items():
        store.pipe(f"/top/{name}", content)
    mirror("memory://top", tmp_path / "copy")
    assert contents(tmp_path / "copy") == good


def test_what_is_changed_or_lost_here_is_fetched_again(store, tmp_path, monkeypatch):
    for i in range(200):
        store.pipe(f"/top/a/{i}.png", bytes([i]))
    copy = tmp_path / "copy"
    names = fetched(monkeypatch)
    mirror("memory://top", copy)
    assert len(names) == 200
    (copy / "a/7.png").unlink()
    (copy / "a/mine.png").write_bytes(b"of another")
    (tmp_path / "copy.jsonl").open("a").write('["a/8.png", "hal')  # killed while it wrote
    names.clear()
    mirror("memory://top", copy)
    assert names == ["7.png"]
    assert set(contents(copy)) == {f"a/{i}.png" for i in range(200)}


def test_a_fetch_that_breaks_off_is_gone_on_with(store, tmp_path, monkeypatch):
    for i in range(200):
        store.pipe(f"/top/a/{i:03d}.png", bytes([i]))
    real, calls = remote_folder._fetch, []

    def once(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(remote_folder, "_fetch", once)
    with pytest.raises(KeyboardInterrupt):
        mirror("memory://top", tmp_path / "copy")
    assert len(contents(tmp_path / "copy")) == 2 * remote_folder.BATCH
    monkeypatch.setattr(remote_folder, "_fetch", real)
    names = fetched(monkeypatch)
    mirror("memory://top", tmp_path / "copy")
    assert len(names) == 200 - 2 * remote_folder.BATCH
    assert len(contents(tmp_path / "copy")) == 200
