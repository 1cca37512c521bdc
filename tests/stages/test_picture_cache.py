"""What was seen before is not decoded again, and the result is as from nothing."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from celflow import params, picture_cache
from stages import clean, facecrop

from .conftest import flat_drawing


def hashes(*folders: str) -> dict[str, str]:
    """File to digest, of all that the stages write."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def both(project) -> dict[str, str]:
    settings = params.load()
    clean.run(settings)
    facecrop.run(settings)
    return hashes("data/clean", "data/quarantine", "data/faces", "reports")


def change(project) -> None:
    """New, removed, relabelled, replaced under the same name, and one that is no picture."""
    project.put("characters/aki/new.png", flat_drawing(900))
    project.put("characters/aki/no.png", b"no picture")
    (project.raw / "characters/aki/a1.png").unlink()
    (project.raw / "characters/aki/a2.png").rename(project.raw / "characters/beni/moved.png")
    project.put("characters/beni/b3.png", flat_drawing(901))
    project.put(
        "cartoon_or_photo/photo/wrong.jpg", (project.raw / "characters/aki/a4.png").read_bytes()
    )


def test_only_what_is_new_is_decoded(project, monkeypatch):
    both(project)
    seen: list[bytes] = []
    examine = clean.examine
    monkeypatch.setattr(
        clean, "examine", lambda data, *rest: seen.append(data) or examine(data, *rest)
    )
    cropped: list[Path] = []
    largest = facecrop.largest_face
    monkeypatch.setattr(
        facecrop,
        "largest_face",
        lambda source, *rest: cropped.append(source) or largest(source, *rest),
    )
    assert both(project) and not seen and not cropped
    change(project)
    after = both(project)
    # a2 is the same in another class, and so is what comes of it; a cache is of one dataset
    assert len(seen) == 4 and {path.name for path in cropped} == {"new.png.png", "b3.png.png"}

    shutil.rmtree(picture_cache.FOLDER)
    assert both(project) == after


def test_other_settings_or_damage_are_seen(project):
    before = both(project)
    for path in picture_cache.FOLDER.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])  # cut, as by a full disk
    assert both(project) == before
    project.configure({"clean": {"max_side": 64}})
    smaller = both(project)
    assert smaller != before
    shutil.rmtree(picture_cache.FOLDER)
    assert both(project) == smaller


def test_it_keeps_what_the_last_run_used(project):
    both(project)
    count = len(list(picture_cache.FOLDER.rglob("*")))
    project.configure({"clean": {"max_side": 64}})
    both(project)
    assert len([path for path in picture_cache.FOLDER.rglob("*") if path.is_file()]) <= count


def test_a_damaged_entry_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = picture_cache.PictureCache.of("s", "", [])
    entry = picture_cache.Entry({"x": 1}, b"png\nof two lines")
    made.put("ab1", entry)
    assert made.get("ab1") == entry
    head, picture = sorted(path for path in made.folder.rglob("ab1*"))
    for file, changed in (
        (head, lambda whole: whole.replace(b'"x": 1', b'"x": 2')),
        (head, lambda _: b"[]\n"),
        (head, lambda _: b""),
        (head, lambda whole: whole[:-1]),
        (picture, lambda whole: whole[:-1]),
        (picture, lambda whole: whole.replace(b"two", b"six")),
        (picture, lambda _: b""),
    ):
        whole = file.read_bytes()
        file.write_bytes(changed(whole))
        assert made.get("ab1") is None
        file.write_bytes(whole)
    assert made.get("ab1") == entry
    picture.unlink()
    assert made.get("ab1") is None
    made.keep_only([])
    assert not made.folder.exists()


@pytest.mark.parametrize("links", [True, False])
def test_a_picture_that_is_changed_in_its_place_is_made_again(project, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    before = both(project)
    for path in [*Path("data/clean").rglob("*.png"), *Path("data/faces").rglob("*.png")]:
        path.write_bytes(b"rotated")
    assert both(project) == before


def refuse(*_: object) -> None:
    raise PermissionError("no hard links here")
