"""Camera images in every format, held against what Pillow decodes of the clean file."""

import io

import numpy as np
import pytest
from PIL import Image

from blendclip.errors import DataFault
from blendclip.mining.decoding import open_image

SIZE_WH = (96, 64)
JPEGS = {"baseline": {}, "progressive": {"progressive": True}, "restarts": {"restart_marker_blocks": 5}}
STRAY = {"one": b"\x00", "four": bytes(4), "many": b"\x12\x34" * 30, "filling": b"\x00\xff\xff"}


def picture(mode="RGB"):
    """Blocks of random colors, so that no two crops are alike."""
    blocks = np.random.default_rng(0).integers(0, 255, (SIZE_WH[1] // 8, SIZE_WH[0] // 8, 3), np.uint8)
    return Image.fromarray(blocks).resize(SIZE_WH, Image.Resampling.BICUBIC).convert(mode)


def encoded(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def decoded(data):
    image = open_image(data)
    assert image.size_wh_px == SIZE_WH
    return image.pixels(np.empty(3 * SIZE_WH[0] * SIZE_WH[1], np.uint8)).copy()


def by_pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def segments(data):
    """Where each segment of a clean JPEG begins but the first, restart markers and the end among them."""
    found, at = [], 2
    while True:
        found.append(at)
        marker = data[at + 1]
        if marker == 0xD9:
            return found
        at += 2 if 0xD0 <= marker <= 0xD7 else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA or 0xD0 <= marker <= 0xD7:
            while data[at] != 0xFF or data[at + 1] == 0:
                at += 1


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
@pytest.mark.parametrize("stray", STRAY.values(), ids=STRAY)
def test_a_jpeg_with_stray_bytes_before_any_segment_or_all_of_them_has_the_pixels_of_the_clean_one(options, stray):
    clean = encoded(picture(), "JPEG", quality=90, **options)
    starts = segments(clean)
    assert len(starts) > 8
    truth = by_pillow(clean)
    for start in starts:
        assert np.array_equal(decoded(clean[:start] + stray + clean[start:]), truth), hex(clean[start + 1])
    everywhere = clean
    for start in reversed(starts):
        everywhere = everywhere[:start] + stray + everywhere[start:]
    assert np.array_equal(decoded(everywhere), truth)
    assert np.array_equal(decoded(clean + stray), truth)


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_a_jpeg_that_is_cut_off_is_a_fault_with_stray_bytes_or_without(options):
    clean = encoded(picture(), "JPEG", quality=90, **options)
    first = segments(clean)[0]
    for data in (clean, clean[:first] + bytes(5) + clean[first:]):
        for kept in (3, len(data) // 2, len(data) - 40):
            for end in (b"", b"\xff\xd9", bytes(9) + b"\xff\xd9"):
                with pytest.raises(DataFault, match="is no sound JPEG: "):
                    decoded(data[:kept] + end)


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("PNG", "L", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGB", {"quality": 80}),
        ("TIFF", "RGB", {}),
        ("BMP", "RGB", {}),
    ],
)
def test_what_pillow_reads_has_the_pixels_that_pillow_gives(format, mode, options):
    data = encoded(picture(mode), format, **options)
    found = decoded(data)
    assert (found.shape, found.dtype) == ((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    assert np.array_equal(found, by_pillow(data))
    if options.get("lossless") or (format, mode) == ("PNG", "RGB"):
        assert np.array_equal(found, np.asarray(picture()))


def test_a_png_of_sixteen_bits_keeps_the_upper_eight():
    levels = np.linspace(0, 65535, SIZE_WH[0] * SIZE_WH[1]).astype(np.uint16).reshape(SIZE_WH[::-1])
    found = decoded(encoded(Image.fromarray(levels), "PNG"))
    assert np.array_equal(found, np.repeat((levels // 256).astype(np.uint8)[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (lambda: encoded(picture(), "PNG")[:-200], "is no sound PNG: "),
        (lambda: encoded(picture(), "PNG")[:20], "is no sound PNG: its header"),
        (lambda: encoded(picture(), "WEBP")[:200], "is no sound WEBP: "),
        (lambda: encoded(picture(), "TIFF")[:-200], "is no sound TIFF: "),
        (lambda: encoded(picture("F"), "TIFF"), "is a TIFF of mode F: its pixels are no colours of 8 bits"),
        (lambda: b"bplist00 of somebody", "is no image that Pillow reads: it begins with bplist00"),
        (lambda: b"", "is empty"),
    ],
    ids=["png", "png header", "webp", "tiff", "floats", "none", "empty"],
)
def test_what_is_broken_names_the_format_that_was_found(data, sentence):
    with pytest.raises(DataFault, match=sentence):
        decoded(data())
