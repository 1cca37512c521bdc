"""Picture files on their way to an image model and back."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from celflow.errors import UserError
from celflow.images import encode_png, open_image
from cli import picture_files
from serving.client import full_size


def saved(path, pixels: np.ndarray, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_small_picture_is_sent_as_it_is_and_comes_back_as_it_was_drawn(tmp_path, noise):
    photo = full_size.from_bytes(saved(tmp_path / "a.png", noise(20, 30)).read_bytes())
    assert np.array_equal(open_image(photo.sent()).pixels, noise(20, 30))
    drawn = photo.finished(encode_png(noise(20, 30, seed=1)), keep_exif=False)
    assert np.array_equal(pixels_of(drawn), noise(20, 30, seed=1))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300))
def test_no_picture_is_too_large(height, width):
    pixels = np.zeros((height, width, 3), np.uint8)
    photo = full_size.Photo(pixels, None, Image.Exif())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(full_size, "MAX_SENT_PIXELS", 500)
        sent = open_image(photo.sent()).pixels
    assert sent.shape[0] * sent.shape[1] <= max(500, height, width)
    assert pixels_of(photo.finished(encode_png(sent), keep_exif=False)).shape == pixels.shape


def test_alpha_is_kept_and_the_model_sees_white(tmp_path, noise):
    alpha = np.zeros((20, 30, 1), np.uint8)
    alpha[:10] = 255
    file = saved(tmp_path / "a.png", np.concatenate([noise(20, 30), alpha], axis=-1))
    photo = full_size.from_bytes(file.read_bytes())
    assert (open_image(photo.sent()).pixels[10:] == 255).all()
    drawn = pixels_of(photo.finished(encode_png(noise(20, 30, seed=1)), keep_exif=False))
    assert np.array_equal(drawn[..., 3:], alpha)
    assert np.array_equal(drawn[..., :3], noise(20, 30, seed=1))


def test_it_stands_upright_and_other_exif_is_kept_on_request(tmp_path, noise):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Artist] = 6, "somebody"
    file = saved(tmp_path / "a.jpg", noise(20, 30), exif=exif)
    photo = full_size.from_bytes(file.read_bytes())
    assert photo.pixels.shape == (30, 20, 3)
    for keep, wanted in ((True, {ExifTags.Base.Artist: "somebody"}), (False, {})):
        drawn = Image.open(io.BytesIO(photo.finished(photo.sent(), keep)))
        assert dict(drawn.getexif()) == wanted


def test_a_profile_is_converted_to_srgb(tmp_path, noise, swapped_profile):
    plain = noise(16, 16) // 2 + 60
    file = saved(tmp_path / "a.png", plain[..., [1, 0, 2]], icc_profile=swapped_profile)
    assert np.abs(full_size.from_bytes(file.read_bytes()).pixels.astype(int) - plain).max() <= 2
    broken = saved(tmp_path / "b.png", plain, icc_profile=b"no profile")
    assert np.array_equal(full_size.from_bytes(broken.read_bytes()).pixels, plain)


def test_a_picture_with_alpha_and_a_profile_has_both(tmp_path, noise, swapped_profile):
    alpha = np.full((16, 16, 1), 255, np.uint8)
    alpha[0] = 0
    plain = noise(16, 16) // 2 + 60
    rgba = np.concatenate([plain[..., [1, 0, 2]], alpha], axis=-1)
    photo = full_size.from_bytes(
        saved(tmp_path / "a.png", rgba, icc_profile=swapped_profile).read_bytes()
    )
    assert np.abs(photo.pixels[1:].astype(int) - plain[1:]).max() <= 2
    assert (photo.pixels[0] >= 250).all() and (photo.alpha == alpha[..., 0]).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"", "is empty"), (b"no picture", "is no JPEG")],
)
def test_what_is_no_picture_is_told(tmp_path, content, said):
    file = tmp_path / "a.png"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=said):
        picture_files.read(file, full_size.from_bytes)
