"""The built-in sample: complete, the same every time, with its rubbish in place."""

import hashlib
from pathlib import Path

import animeface
import pytest
from PIL import Image

from celflow.errors import UserError
from celflow.images import BadImage, read_image
from celflow.parallel import THREADS
from celflow.params import SampleConfig
from stages.sample.cast import CAST, Design
from stages.sample.dataset import generator, make_sample
from stages.sample.drawings import draw_illustration, draw_scene
from stages.sample.faulty_files import FAULTY_FILES
from stages.sample.photos import SOURCES, overlap, read_source, spread_crops
from stages.sample.scenes import SCENES

TINY = SampleConfig(seed=7, characters=2, illustrations=3, drawings=6, photos=6)


def contents(folder: Path) -> dict[str, str]:
    """Every file below `folder` by its path, with a hash of its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "sample"
    make_sample(folder, TINY)
    return folder


def good(folder: Path, part: str) -> list[Path]:
    """The files below `part` that are no rubbish."""
    paths = (folder / part).rglob("*.*")
    return sorted(path for path in paths if path.relative_to(folder).as_posix() not in FAULTY_FILES)


def test_same_seed_same_bytes_in_any_order_of_work(tiny: Path, tmp_path: Path) -> None:
    make_sample(tmp_path / "again", TINY, workers=THREADS)
    assert contents(tmp_path / "again") == contents(tiny)


def test_other_seed_other_pictures(tiny: Path, tmp_path: Path) -> None:
    make_sample(tmp_path / "other", TINY.model_copy(update={"seed": 8}))
    same = set(contents(tmp_path / "other").values()) & set(contents(tiny).values())
    faults = {"empty", "text"}
    rubbish = {contents(tiny)[name] for name, fault in FAULTY_FILES.items() if fault in faults}
    assert same == rubbish


def test_counts(tiny: Path) -> None:
    drawings = good(tiny, "cartoon_or_photo/cartoon")
    assert len([path for path in drawings if not path.name.startswith("person")]) == TINY.drawings
    assert len(good(tiny, "cartoon_or_photo/photo")) == TINY.photos
    names = [folder.name for folder in sorted((tiny / "characters").iterdir())]
    assert names == sorted(design.name for design in CAST[: TINY.characters])
    for name in names:
        assert len(good(tiny, f"characters/{name}")) == TINY.illustrations


def test_names_tell_the_source_of_a_photograph_and_of_nothing_else(tiny: Path) -> None:
    photos = list((tiny / "cartoon_or_photo/photo").iterdir())
    assert all("__" in path.name for path in photos)
    assert {path.name.split("__")[0] for path in good(tiny, "cartoon_or_photo/photo")} <= {*SOURCES}
    others = [*good(tiny, "cartoon_or_photo/cartoon"), *good(tiny, "characters")]
    assert not any("__" in path.name for path in others)


def test_every_good_picture_opens_as_what_it_is_called(tiny: Path) -> None:
    for path in good(tiny, "."):
        opened = read_image(path)
        assert opened.format == {".jpg": "JPEG", ".png": "PNG"}[path.suffix]
        assert opened.repairs == ()
        assert 170 <= min(opened.pixels.shape[:2]) <= max(opened.pixels.shape[:2]) <= 480


@pytest.mark.parametrize(("name", "fault"), FAULTY_FILES.items())
def test_rubbish_is_what_the_table_says(tiny: Path, name: str, fault: str) -> None:
    path = tiny / name
    refused = {"empty": "empty", "text": "not_an_image", "truncated": "truncated"}
    if fault in refused:
        with pytest.raises(BadImage) as caught:
            read_image(path)
        assert caught.value.reason == refused[fault]
        return
    opened = read_image(path)
    repaired = {
        "cmyk": "cmyk",
        "grey_16_bit": "16_bit",
        "transparent": "transparent",
        "exif_rotated": "exif_rotated",
        "gif": "palette",
    }
    if fault in repaired:
        assert repaired[fault] in opened.repairs
    if fault == "one_pixel":
        assert opened.pixels.shape == (1, 1, 3)
    if fault == "png_named_jpg":
        assert (path.suffix, opened.format) == (".jpg", "PNG")


def test_copies_are_copies(tiny: Path) -> None:
    hashes = contents(tiny)
    names = list(FAULTY_FILES)
    for name, fault in FAULTY_FILES.items():
        original = names[names.index(name) - 1]
        if fault == "exact_duplicate":
            assert hashes[name] == hashes[original]
        elif fault == "near_duplicate":
            small, large = (read_image(tiny / one).pixels for one in (name, original))
            assert 0.88 < small.shape[0] / large.shape[0] < 0.96
    shared = [hashes[name] for name, fault in FAULTY_FILES.items() if fault == "in_two_classes"]
    assert sorted(shared) == sorted(2 * list({*shared}))


def test_faces_are_found_in_most_illustrations(tiny: Path) -> None:
    paths = good(tiny, "characters")
    found = sum(bool(animeface.detect(Image.open(path).convert("RGB"))) for path in paths)
    assert found > len(paths) / 2


def test_parts_of_a_photograph_differ() -> None:
    crops = spread_crops(read_source("coffee"), 12, generator(7, "coffee"))
    shared = [overlap(a, b) for i, a in enumerate(crops) for b in crops[:i]]
    assert max(shared) < 0.75


def test_a_run_replaces_what_was_there_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "old.txt").write_text("old")
    smallest = SampleConfig(seed=1, characters=2, illustrations=3, drawings=1, photos=1)
    make_sample(tmp_path / "sample", smallest, workers=THREADS)
    assert not (tmp_path / "sample" / "old.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_a_missing_photograph_is_told_by_package_and_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "gone", ("skimage", "data/gone.png", 1))
    with pytest.raises(UserError, match=r"skimage ships no data/gone\.png"):
        read_source("gone")


@pytest.mark.parametrize("kind", [*SCENES, "person"])
def test_every_kind_of_drawing_fills_its_picture(kind: str) -> None:
    pixels = draw_scene(kind, 96, 64, generator(3, kind))
    assert pixels.shape == (64, 96, 3)
    assert pixels.std() > 5


@pytest.mark.parametrize("design", CAST, ids=lambda design: design.name)
def test_a_character_never_looks_the_same_twice(design: Design) -> None:
    one, two = (draw_illustration(design, 96, 96, generator(s, "")) for s in (1, 2))
    assert one.shape == two.shape == (96, 96, 3)
    assert abs(one.astype(int) - two).mean() > 5
