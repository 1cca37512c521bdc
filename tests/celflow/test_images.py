import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from celflow import images


def jpeg(pixels, mode="RGB", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_a_jpeg_comes_as_rgb(noise):
    opened = images.open_image(jpeg(noise(40, 30)))
    assert opened.pixels.shape == (40, 30, 3)
    assert opened.pixels.dtype == np.uint8
    assert (opened.format, opened.repairs) == ("JPEG", ())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am a text\n" * 50, "not_an_image"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 100, "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
    ],
)
def test_what_is_no_picture_has_a_reason(data, reason):
    with pytest.raises(images.BadImage) as error:
        images.open_image(data)
    assert error.value.reason == reason
    assert "\n" not in str(error.value)


def test_cut_off_files_are_truncated(noise, encode):
    for kind in ("JPEG", "PNG", "BMP", "GIF", "WEBP"):
        data = encode(noise(), kind)
        with pytest.raises(images.BadImage) as error:
            images.open_image(data[: len(data) // 2])
        assert error.value.reason in ("truncated", "not_an_image"), kind


def test_size_limits(noise, encode):
    with pytest.raises(images.BadImage) as error:
        images.open_image(encode(noise(1, 1)), min_side=2)
    assert error.value.reason == "too_small"
    with pytest.raises(images.BadImage) as error:
        images.open_image(encode(noise(20, 30)), max_pixels=599)
    assert error.value.reason == "too_large"


def test_a_decompression_bomb_is_not_decoded():
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    with pytest.raises(images.BadImage) as error:
        images.open_image(buffer.getvalue())
    assert error.value.reason == "too_large"


def test_exif_orientation_is_applied(noise):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    flat = np.zeros((40, 80, 3), np.uint8)
    flat[:, :40] = 255  # left half white
    opened = images.open_image(jpeg(flat, exif=exif, quality=95))
    assert opened.pixels.shape == (80, 40, 3)
    assert opened.pixels[:30].min() > 200 > 50 > opened.pixels[50:].max()
    assert opened.repairs == ("exif_rotated",)


def test_modes_become_rgb(noise, encode):
    assert images.open_image(jpeg(noise(), "CMYK")).repairs == ("cmyk",)
    assert images.open_image(jpeg(noise(), "L")).repairs == ("grey",)
    deep = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    opened = images.open_image(encode(deep))
    assert opened.repairs == ("16_bit",)
    assert opened.pixels[0, 0, 0] == 0 and opened.pixels[-1, -1, 0] == 255
    assert opened.pixels[32, 0, 0] == pytest.approx(128, abs=1)


def test_transparency_goes_onto_white(encode):
    layer = np.zeros((8, 8, 4), np.uint8)
    layer[:, 4:] = (10, 20, 30, 255)
    opened = images.open_image(encode(layer))
    assert opened.repairs == ("transparent",)
    assert (opened.pixels[:, :4] == 255).all()
    assert (opened.pixels[:, 4:] == (10, 20, 30)).all()


def test_palette_and_animation(noise):
    frames = [Image.fromarray(noise(seed=i)).convert("P") for i in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    opened = images.open_image(buffer.getvalue())
    assert opened.format == "GIF" and "palette" in opened.repairs
    assert np.array_equal(opened.pixels, np.asarray(frames[0].convert("RGB")))


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIF"])
def test_what_phones_and_scanners_write(noise, encode, kind):
    pixels = np.full((40, 60, 3), (200, 30, 90), np.uint8)
    opened = images.open_image(encode(pixels, kind))
    assert opened.format == kind
    assert np.abs(opened.pixels.astype(int) - pixels).max() <= 4


def test_colours_are_those_that_the_profile_means(encode, swapped_profile):
    """A profile that has red and green exchanged, as some tests of browsers have."""
    pixels = np.full((40, 60, 3), (200, 30, 90), np.uint8)
    opened = images.open_image(encode(pixels, icc_profile=swapped_profile))
    assert "colour_profile" in opened.repairs
    assert opened.pixels[0, 0, 1] > 150 > 100 > opened.pixels[0, 0, 0]
    transparent = np.dstack([pixels, np.full((40, 60), 255, np.uint8)])
    transparent[:, :30, 3] = 0
    opened = images.open_image(encode(transparent, icc_profile=swapped_profile))
    assert opened.pixels[0, 0].tolist() == [255, 255, 255]
    assert opened.pixels[0, 59, 1] > 150 > 100 > opened.pixels[0, 59, 0]


def test_shrink_keeps_the_aspect_ratio(noise):
    assert images.shrink(noise(100, 50), 20).shape == (20, 10, 3)
    assert images.shrink(noise(3000, 1), 100).shape == (100, 1, 3)
    same = noise(10, 10)
    assert images.shrink(same, 10) is same


@given(st.binary(max_size=400))
def test_any_bytes_give_a_picture_or_a_reason(data):
    try:
        opened = images.open_image(data)
    except images.BadImage as error:
        assert error.reason in images.REASONS
    else:
        assert opened.pixels.ndim == 3


@given(st.data())
def test_a_damaged_jpeg_gives_a_picture_or_a_reason(data):
    whole = jpeg(np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        assert images.open_image(bytes(damaged)).pixels.dtype == np.uint8
    except images.BadImage as error:
        assert error.reason in images.REASONS
