"""The judges rank as people do: drawings, cel shading, and photographs last."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut, chelsea

from benchmarks.cartoonizer import opencv_recipe, superpixel_mean
from stages.models.cartoonizer import judges
from stages.models.cartoonizer.data import square
from stages.models.cartoonizer.features import Features
from stages.models.cartoonizer.measures import alone, called_cartoon, compare, score
from stages.sample.cast import CAST
from stages.sample.drawings import draw_illustration

PHOTOS = [
    cv2.resize(one[:300, :300], (192, 192), interpolation=cv2.INTER_AREA)
    for one in (astronaut(), chelsea())
]


def drawings() -> list[np.ndarray]:
    return [
        draw_illustration(CAST[seed], 192, 192, np.random.default_rng(seed)) for seed in range(4)
    ]


def mean(judge, pictures) -> float:
    return float(np.mean([judge(one) for one in pictures]))


def test_flat_and_few_colours_are_of_drawings():
    photos, drawn = PHOTOS, drawings()
    assert mean(judges.flat_share, drawn) > 1.5 * mean(judges.flat_share, photos)
    assert mean(judges.colour_coverage, drawn) > mean(judges.colour_coverage, photos) + 0.1
    blank = np.full((20, 20, 3), 9, np.uint8)
    assert judges.flat_share(blank) == judges.colour_coverage(blank) == 1
    noise = np.random.default_rng(0).integers(0, 256, (99, 99, 3), dtype=np.uint8)
    assert judges.flat_share(noise) == 0 and judges.colour_coverage(noise) < 0.05


def test_saturation_and_lightness_are_means():
    red = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    red[:2] = 0
    assert judges.saturation_and_lightness(red) == (0.5, 0.5)


def line(degrees: float) -> np.ndarray:
    """A dark line through the middle, against the horizontal."""
    pixels = np.full((64, 64, 3), 220, np.uint8)
    x, y = np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))
    ends = [(round(32 + s * 25 * x), round(32 + s * 25 * y)) for s in (-1, 1)]
    return cv2.line(pixels, *ends, (20, 20, 20), 2, cv2.LINE_AA)


def test_a_line_is_ink_between_flat_areas_and_a_border_is_none():
    assert judges.contour_share(line(0)) > 0.01
    halves = np.full((64, 64, 3), 220, np.uint8)
    halves[:, 32:] = 20
    assert not judges.ink(halves).any()


@pytest.mark.parametrize("degrees", [30, 90, 150])
def test_lines_are_counted_by_their_direction(degrees):
    pixels = line(degrees)
    blank = np.full_like(pixels, 220)
    counts = judges.ink_directions(pixels, judges.added_ink(blank, pixels))
    y_down = (180 - degrees) % 180  # rows run down
    assert counts[y_down // 60] > 0.8 * counts.sum() > 20
    assert not judges.added_ink(pixels, pixels).any()


def test_a_magenta_edge_is_a_fringe_and_stronger_light_is_none():
    photo = PHOTOS[0]
    fringed = photo.copy()
    fringed[50:60] = (255, 0, 255)
    assert judges.fringes(photo, photo) == 0
    assert judges.fringes(photo, fringed) > 0.03


def test_a_drawing_is_like_its_photo_in_any_light_and_an_empty_sheet_is_not():
    photo = PHOTOS[0]
    lighter = (255 * (photo / 255) ** 0.7).astype(np.uint8)
    assert judges.likeness(photo, lighter) > 0.95
    assert judges.likeness(photo, np.full_like(photo, 255)) == 0
    assert judges.likeness(photo, photo[::-1]) < 0.6


def test_what_slants_with_the_picture_changes_when_that_is_mirrored():
    photo = PHOTOS[0]
    shifted = lambda pixels: np.roll(pixels, 3, axis=1)  # noqa: E731
    mirror, turn = judges.changes(shifted, photo, shifted(photo))
    assert mirror > 2 and turn > 2
    assert judges.changes(lambda p: 255 - p, photo, 255 - photo) == (0, 0)


def test_the_score_ranks_as_people_do():
    features = Features("none")
    ways = {"photo": lambda p: p, "recipe": opencv_recipe, "superpixels": superpixel_mean}
    scores = {
        name: compare(features, way, PHOTOS, drawings())[0]["cartoon_score"]
        for name, way in ways.items()
    }
    empty = compare(features, np.zeros_like, PHOTOS, drawings())[0]
    assert empty["cartoon_score"] == 0
    assert empty["drawing_called_cartoon"] > 0.5 > empty["photo_called_cartoon"]
    assert scores["photo"] < min(scores["recipe"], scores["superpixels"])


@pytest.mark.real
def test_real_drawings_score_higher_than_what_recipes_make_of_photos(real_data):
    folder = real_data / "cartoon_or_photo"
    photos, drawn = (
        [square(str(path)) for path in sorted((folder / kind).glob("*"))[::40]]
        for kind in ("photo", "cartoon")
    )
    alike = score(alone(drawn), 1.0)
    for way, least in ((lambda p: p, 0.0), (opencv_recipe, 0.1), (superpixel_mean, 0.1)):
        made = [way(photo) for photo in photos]
        likeness = mean(lambda pair: judges.likeness(*pair), zip(photos, made, strict=True))
        assert least < score(alone(made), likeness) < alike - 0.1
    assert called_cartoon(drawn) > 0.9 and called_cartoon(photos) < 0.1
