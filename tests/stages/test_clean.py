import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from celflow.errors import UserError
from celflow.images import read_image
from stages import clean

from .conftest import encoded, flat_drawing, grainy_photo


def run(project, **config):
    clean.run(project.configure({"clean": config}))
    return json.loads(Path("reports/clean.json").read_text())


def test_rubbish_goes_to_quarantine_by_name_and_nothing_is_deleted(project):
    photo = grainy_photo(50)
    project.put("cartoon_or_photo/photo/empty.jpg", b"")
    project.put("cartoon_or_photo/photo/cut.jpg", encoded(photo, "JPEG")[:900])
    project.put("cartoon_or_photo/photo/text.jpg", b"this is no picture\n" * 9)
    project.put("cartoon_or_photo/photo/dot.png", Image.new("RGB", (1, 1)))
    project.put(
        "cartoon_or_photo/photo/again.jpg",
        (project.raw / "cartoon_or_photo/photo/p3.jpg").read_bytes(),
    )
    project.put("cartoon_or_photo/cartoon/torn.png", flat_drawing(77))
    project.put("cartoon_or_photo/photo/torn.png", flat_drawing(77))
    before = sorted(project.raw.rglob("*"))
    report = run(project)["cartoon_or_photo"]

    reasons = {one["file"]: one["reason"] for one in report["quarantine"]}
    assert reasons == {
        "photo/empty.jpg": "empty",
        "photo/cut.jpg": "truncated",
        "photo/text.jpg": "not_an_image",
        "photo/dot.png": "too_small",
        "photo/p3.jpg": "duplicate",  # the second by name
        "cartoon/torn.png": "conflicting_label",
        "photo/torn.png": "conflicting_label",
    }
    assert report["quarantined"]["conflicting_label"] == 2
    assert report["seen"] == sum(report["passed"].values()) + len(reasons)
    assert all(one["why"] for one in report["quarantine"])
    assert sorted(project.raw.rglob("*")) == before
    held = {path.name for path in Path("data/quarantine").rglob("*") if path.is_file()}
    assert held == {file.split("/")[1] for file in reasons}
    passed = list(Path("data/clean/cartoon_or_photo/photo").iterdir())
    assert len(passed) == report["passed"]["photo"]


def test_pictures_of_phones_and_scanners_are_usable(project, swapped_profile):
    for name, kind in {
        "a.heic": "HEIF",
        "b.avif": "AVIF",
        "c.tiff": "TIFF",
        "d.HEIC": "HEIF",
    }.items():
        photo = grainy_photo(len(name) + ord(name[0]))
        project.put(f"cartoon_or_photo/photo/{name}", encoded(photo, kind))
    wide = encoded(grainy_photo(90), "JPEG", icc_profile=swapped_profile)
    project.put("cartoon_or_photo/photo/wide.jpg", wide)
    report = run(project)["cartoon_or_photo"]
    assert report["quarantine"] == []
    assert report["repaired"] == {"colour_profile": 1}


def test_repairs_are_made_and_counted(project):
    exif = Image.Exif()
    exif[0x0112] = 6
    project.put("cartoon_or_photo/photo/turned.jpg", encoded(grainy_photo(60), "JPEG", exif=exif))
    project.put(
        "cartoon_or_photo/photo/cmyk.jpg", encoded(grainy_photo(61).convert("CMYK"), "JPEG")
    )
    project.put("cartoon_or_photo/photo/wrong.jpg", encoded(grainy_photo(62), "PNG"))
    deep = np.arange(80 * 96, dtype=np.uint16).reshape(80, 96) * 8
    project.put("cartoon_or_photo/photo/deep.png", encoded(Image.fromarray(deep), "PNG"))
    project.put("cartoon_or_photo/cartoon/clear.png", Image.new("RGBA", (30, 30), (255, 0, 0, 90)))
    project.put("cartoon_or_photo/photo/large.jpg", grainy_photo(63).resize((300, 200)))
    report = run(project, max_side=200)["cartoon_or_photo"]
    kinds = ("transparent", "exif_rotated", "cmyk", "wrong_extension", "16_bit", "shrunk")
    assert report["repaired"] == dict.fromkeys(kinds, 1)
    folder = Path("data/clean/cartoon_or_photo/photo")
    assert read_image(folder / "turned.jpg.png").pixels.shape == (96, 80, 3)
    assert read_image(folder / "large.jpg.png").pixels.shape == (133, 200, 3)
    for path in folder.iterdir():
        opened = read_image(path)
        assert (opened.format, opened.repairs) == ("PNG", ())


def test_the_published_policy_wants_a_jfif_header(project):
    project.put("cartoon_or_photo/cartoon/kept.jpg", flat_drawing(90))
    for name in ("aki", "beni"):
        project.put(f"characters/{name}/kept.jpg", flat_drawing(len(name)))
    report = run(project, policy="jfif")
    assert report["cartoon_or_photo"]["passed"] == {"cartoon": 1, "photo": 14}
    why = report["cartoon_or_photo"]["quarantine"][0]["why"]
    assert "JFIF" in why


def test_a_class_of_rubbish_alone_is_named(project):
    for path in (project.raw / "characters/aki").iterdir():
        path.write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"no usable picture in raw/characters/aki"):
        run(project)
    assert not Path("data/clean").exists()
    # The reasons are there to be looked at, picture by picture.
    report = json.loads(Path("reports/clean.json").read_text())["characters"]
    assert report["passed"] == {"aki": 0, "beni": 12}
    assert report["quarantined"] == {"not_an_image": 12}
    assert len(list(Path("data/quarantine/characters/not_an_image/aki").iterdir())) == 12


@pytest.mark.parametrize(
    ("folder", "words"),
    [("raw/void", "no sub-folders"), ("raw/hollow", "is empty")],
)
def test_empty_folders_are_named(project, folder, words):
    (project.raw / "void").mkdir()
    (project.raw / "hollow/one").mkdir(parents=True)
    with pytest.raises(UserError, match=words):
        clean.run(project.configure({"data": {"characters": folder}}))


def test_same_stem_and_sub_folders_do_not_collide(project):
    project.put("characters/aki/x.png", flat_drawing(301))
    project.put("characters/aki/x.jpg", flat_drawing(302))
    project.put("characters/aki/deep/x.png", flat_drawing(303))
    assert run(project)["characters"]["passed"]["aki"] == 15
    assert len(list(Path("data/clean/characters/aki").iterdir())) == 15
