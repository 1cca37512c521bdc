import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celflow import manifest
from celflow.errors import UserError
from celflow.params import SplitConfig
from stages import clean, facecrop, split

from .conftest import encoded, flat_drawing, grainy_photo

CONFIG = SplitConfig(
    test=0.2, val=0.15, max_hamming_distance=6, source="", test_sources=None, held_out_classes=[]
)


def prepare(project, changes=None):
    params = project.configure(changes or {})
    clean.run(params)
    facecrop.run(params)
    return params


def test_a_manifest_is_stratified_seeded_and_complete(project):
    params = prepare(project)
    split.run(params)
    first = Path("data/split/cartoon_or_photo.csv").read_bytes()
    split.run(params)
    assert Path("data/split/cartoon_or_photo.csv").read_bytes() == first
    table = pd.read_csv("data/split/cartoon_or_photo.csv")
    assert list(table.columns) == manifest.COLUMNS
    assert table["path"].is_unique and len(table) == 28
    counts = table.groupby(["split", "label"]).size()
    assert counts["test"].tolist() == [3, 3] or counts["test"].between(2, 4).all()
    assert counts["val"].between(1, 3).all()
    splits = manifest.read("characters")
    assert splits["test"].labels == ["aki", "beni"]
    assert set(splits["train"].truth) == {0, 1}
    assert all(Path(path).is_file() for examples in splits.values() for path in examples.paths)


def test_near_duplicates_and_sources_stay_together(project):
    original = grainy_photo(0)
    for quality in (60, 80):
        name = f"cartoon_or_photo/photo/near{quality}.jpg"
        project.put(name, encoded(original.resize((90, 75)), "JPEG", quality=quality))
    for i in range(5):
        project.put(f"cartoon_or_photo/photo/beach__{i}.jpg", grainy_photo(70 + i))
    split.run(prepare(project))
    table = pd.read_csv("data/split/cartoon_or_photo.csv")
    name = table["path"].map(lambda path: Path(path).name)
    near = table[name.isin(["p0.jpg.png", "near60.jpg.png", "near80.jpg.png"])]
    assert len(near) == 3 and near["split"].nunique() == 1 and near["group"].nunique() == 1
    beach = table[name.str.startswith("beach__")]
    assert len(beach) == 5 and beach["split"].nunique() == 1
    assert (
        json.loads(Path("reports/split.json").read_text())["cartoon_or_photo"]["near_duplicates"]
        >= 6
    )


def test_named_sources_are_the_test_and_nothing_else(project):
    original = grainy_photo(0)
    project.put("cartoon_or_photo/photo/near.jpg", encoded(original.resize((90, 75)), "JPEG"))
    params = prepare(project, {"split": {"test_sources": "^(near|p1|d1)"}})
    split.run(params)
    table = pd.read_csv("data/split/cartoon_or_photo.csv")
    tested = {Path(path).name for path in table.loc[table["split"] == "test", "path"]}
    numbers = [1, 10, 11, 12, 13]
    expected = {f"{k}{i}" for k in ("p", "d") for i in numbers} | {
        "near",
        "p0",
    }  # p0 is near's twin
    assert {name.split(".")[0] for name in tested} == expected
    assert {"train", "val"} == set(table["split"]) - {"test"}
    # No name matches among the characters: their test is a share, as ever.
    assert 0 < len(manifest.read("characters")["test"]) < 12


@pytest.mark.parametrize("pattern", ["^p", "^(p|d)", "^(p1$|d)"])
def test_named_sources_must_leave_something_of_each_class(project, pattern):
    with pytest.raises(UserError, match=r"split\.test_sources leaves class"):
        split.run(prepare(project, {"split": {"test_sources": pattern}}))


def test_a_class_with_one_picture_is_named(project):
    project.put("characters/only/one.png", grainy_photo(5))
    with pytest.raises(UserError, match=r"class 'only' in raw/characters has 1 picture"):
        split.run(prepare(project))


@pytest.mark.parametrize("few", [3, 4, 5, 6])
@pytest.mark.parametrize("many", [0, 20])
def test_three_pictures_a_class_are_enough(project, recwarn, few, many):
    shutil.rmtree(project.raw / "characters")
    for i in range(few):
        project.put(f"characters/aki/{i}.png", flat_drawing(i))
    for i in range(many or few):
        project.put(f"characters/beni/{i}.png", flat_drawing(i, hue=1))
    split.run(prepare(project))
    splits = manifest.read("characters")
    assert all(set(splits[name].truth) == {0, 1} for name in ("train", "val", "test"))
    assert not [one for one in recwarn if "n_splits" in str(one.message)]


def test_one_class_is_too_few(project):
    project.put("solo/aki/a.png", grainy_photo(5))
    params = prepare(project, {"data": {"characters": "raw/solo"}})
    with pytest.raises(UserError, match="has one class"):
        split.run(params)


def test_reading_before_splitting(project):
    with pytest.raises(UserError, match="dvc repro split"):
        manifest.read("characters")


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30), st.integers(0, 10))
def test_near_duplicates_are_symmetric_and_chain(hashes, distance):
    groups = split.near_duplicate_groups(hashes, [None] * len(hashes), distance)
    for i, a in enumerate(hashes):
        for j, b in enumerate(hashes):
            if (a ^ b).bit_count() <= distance:
                assert groups[i] == groups[j]


def test_far_pictures_are_apart_and_sources_tie():
    groups = split.near_duplicate_groups([0, 2**64 - 1, 0xFF], ["x", "x", None], 6)
    assert groups[0] == groups[1] != groups[2]


@given(st.integers(0, 1000), st.integers(6, 40), st.integers(1, 4))
def test_assigning_never_tears_a_group(seed, per_class, size):
    labels = np.repeat(["a", "b"], per_class * size)
    groups = np.repeat(np.arange(2 * per_class), size)
    splits = split.assign(labels, groups, CONFIG, seed)
    for group in np.unique(groups):
        assert len(set(splits[groups == group])) == 1
    for label in ("a", "b"):
        assert set(splits[labels == label]) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("test", "val", "splits"),
    [(0, 0.15, {"train", "val"}), (0.2, 0, {"train", "test"}), (0, 0, {"train"})],
)
def test_a_split_of_share_0_has_no_pictures(project, test, val, splits):
    split.run(prepare(project, {"split": {"test": test, "val": val}}))
    for dataset in ("cartoon_or_photo", "characters"):
        table = pd.read_csv(f"data/split/{dataset}.csv")
        assert set(table["split"]) == splits
        assert set(table.groupby("label")["split"].nunique()) == {len(splits)}


def test_without_test_and_val_one_picture_a_class_is_enough(project):
    project.put("characters/only/one.png", grainy_photo(5))
    split.run(prepare(project, {"split": {"test": 0, "val": 0}}))
    assert manifest.read("characters")["train"].labels == ["aki", "beni", "only"]


def test_named_sources_are_the_test_also_where_its_share_is_0(project):
    changes = {"split": {"test": 0, "val": 0, "test_sources": "^(p1|d1)"}}
    split.run(prepare(project, changes))
    assert len(manifest.read("cartoon_or_photo")["test"]) >= 10
    assert len(manifest.read("characters")["test"]) == 0


@pytest.mark.parametrize("name", ["unknown", "unsure"])
def test_no_class_is_called_as_models_answer_where_they_know_none(project, name):
    (project.raw / "characters/aki").rename(project.raw / f"characters/{name}")
    for i in range(5):
        project.put(f"characters/cleo/{i}.png", flat_drawing(300 + i, hue=1))
    with pytest.raises(UserError, match=f"class '{name}'.*add it to split.held_out_classes"):
        split.run(prepare(project))
    split.run(prepare(project, {"split": {"held_out_classes": [name]}}))
    assert manifest.read("characters")["train"].labels == ["beni", "cleo"]
    (project.raw / "cartoon_or_photo/photo").rename(project.raw / f"cartoon_or_photo/{name}")
    with pytest.raises(UserError, match=f"class '{name}'.*rename the folder$"):
        split.run(prepare(project))
