import contextlib
import io
import struct
import warnings
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike_server.errors import BadImage
from lookalike_server.image import HELD_SIDE_PX, Fit, Frame, Limits, Picture, decode, thumbnail
from lookalike_server.regions import WHOLE_BOX, Box
from tests.server.photos import CORNERS, corners, encoded, jpeg, plain

LIMITS = Limits()
UNIT = (1.0, 1.0, 1.0)
ZERO = (0.0, 0.0, 0.0)


def corner_colours(picture: Picture) -> list[tuple[int, ...]]:
    """Return the colours top left, top right, bottom left and bottom right, away from the edges."""
    pixels = picture.pixels()
    height, width = pixels.shape[:2]
    return [tuple(pixels[y, x]) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]


def assert_upright(picture: Picture) -> None:
    assert (picture.width_px, picture.height_px) == (96, 64)
    assert picture.pixels().shape == (64, 96, 3)
    for seen, meant in zip(corner_colours(picture), CORNERS.values(), strict=True):
        assert np.abs(np.subtract(seen, meant, dtype=int)).max() < 30


def refused(content: bytes, limits: Limits = LIMITS) -> BadImage:
    with pytest.raises(BadImage) as caught:
        decode(content, limits)
    return caught.value


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF"])
def test_every_format_gives_the_same_picture(kind: str) -> None:
    assert_upright(decode(encoded(corners(), kind), LIMITS))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_every_orientation_comes_out_upright(kind: str, orientation: int) -> None:
    undo = [None, None, 0, 3, 1, 5, 2, 6, 4][orientation]
    stored = corners() if undo is None else corners().transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_upright(decode(encoded(stored, kind, exif=exif), LIMITS))


def test_a_thumbnail_is_small_and_keeps_its_shape() -> None:
    with Image.open(io.BytesIO(thumbnail(jpeg(plain((200, 30, 30), 400, 200)), 160, Limits()))) as small:
        assert (small.format, small.size) == ("WEBP", (160, 80))


def test_a_thumbnail_is_never_larger_than_its_picture() -> None:
    with Image.open(io.BytesIO(thumbnail(jpeg(plain((200, 30, 30), 64, 64)), 160, Limits()))) as small:
        assert small.size == (64, 64)


def test_an_orientation_that_does_not_exist_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert_upright(decode(encoded(corners(), "JPEG", exif=exif), LIMITS))


def test_broken_metadata_do_no_harm_and_say_nothing() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\x7f" * 9
        picture = decode(encoded(corners(), "JPEG", exif=exif), LIMITS)
    assert_upright(picture)
    assert not heard


def test_print_colours_become_screen_colours() -> None:
    assert_upright(decode(encoded(corners().convert("CMYK"), "JPEG", quality=95), LIMITS))


def test_a_palette_a_grey_and_a_bilevel_picture_are_read() -> None:
    assert_upright(decode(encoded(corners().quantize(8), "PNG"), LIMITS))
    grey = decode(encoded(corners().convert("L"), "PNG"), LIMITS).pixels()
    assert grey.shape == (64, 96, 3)
    assert np.array_equal(grey[..., 0], grey[..., 2])
    assert decode(encoded(corners().convert("1"), "PNG"), LIMITS).pixels().shape == (64, 96, 3)


def test_transparency_lies_on_white() -> None:
    see_through = corners().convert("RGBA")
    see_through.putalpha(0)
    for content in (
        encoded(see_through, "PNG"),
        encoded(see_through, "WEBP", lossless=True),
        encoded(plain((9, 9, 9)).quantize(2), "PNG", transparency=0),
        encoded(plain((9, 9, 9)).convert("L"), "PNG", transparency=9),
        encoded(plain((9, 9, 9)), "PNG", transparency=(9, 9, 9)),
    ):
        assert decode(content, LIMITS).pixels().min() == 255


def png16(colour_type: int, channels: int, values: npt.NDArray[np.uint16]) -> bytes:
    """Encode 16-bit pixels (height, width, channels), which Pillow cannot write."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values.reshape(height, width * channels))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("colour_type", "pixel", "seen"),
    [
        (0, [0x8000], (128, 128, 128)),
        (2, [0xFFFF, 0x8000, 0], (255, 128, 0)),
        (4, [0, 0x8000], (127, 127, 127)),
        (6, [0xFFFF, 0, 0, 0x8000], (255, 127, 127)),
    ],
    ids=["grey", "rgb", "grey with alpha", "rgb with alpha"],
)
def test_sixteen_bits_are_scaled_not_clipped(colour_type: int, pixel: list[int], seen: tuple[int, ...]) -> None:
    values = np.tile(np.array(pixel, np.uint16), (20, 20, 1))
    pixels = decode(png16(colour_type, len(pixel), values), LIMITS).pixels()
    assert np.abs(pixels.astype(int) - seen).max() <= 1


def test_of_a_moving_picture_the_first_frame_counts() -> None:
    other = plain((0, 0, 0), 96, 64)
    for kind in ("GIF", "WEBP", "PNG"):
        assert_upright(decode(encoded(corners(), kind, save_all=True, append_images=[other]), LIMITS))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_picture_is_corrupt(kind: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    error = refused(content[: int(len(content) * part)])
    assert error.reason == "CORRUPT_IMAGE"
    assert "send the whole file" in str(error)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_are_decoded_or_refused_and_nothing_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "AVIF", "GIF"]))
    content = bytearray(encoded(corners(), kind))
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=8)):
        content[at] = value
    with contextlib.suppress(BadImage):
        decode(bytes(content), LIMITS)


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [
        (b"", "UNSUPPORTED_FORMAT", "empty"),
        (b"hello", "UNSUPPORTED_FORMAT", "not a picture"),
        (png_header(50_000, 50_000), "IMAGE_TOO_LARGE", "16384 px or less"),
        (png_header(8_000, 8_000), "IMAGE_TOO_LARGE", "50 megapixels"),
        (encoded(plain((0, 0, 0), 1, 1), "PNG"), "IMAGE_TOO_SMALL", "16 px or more"),
        (encoded(plain((0, 0, 0), 500, 15), "JPEG"), "IMAGE_TOO_SMALL", "500 x 15"),
        (jpeg(corners()) + bytes(13 * 2**20), "IMAGE_TOO_LARGE", "limit is 12 MiB"),
    ],
    ids=["empty", "text", "huge", "large", "one pixel", "strip", "13 MB"],
)
def test_what_cannot_be_used_is_refused_with_its_reason(content: bytes, reason: str, says: str) -> None:
    error = refused(content)
    assert error.reason == reason
    assert says in str(error)


def test_a_gif_whose_frame_is_larger_than_its_screen_is_measured_by_the_frame() -> None:
    content = bytearray(encoded(corners(), "GIF"))
    frame = content.index(b"\x2c", 13 + 3 * 2 ** ((content[10] & 7) + 1))
    struct.pack_into("<HH", content, frame + 5, 60_000, 100)
    assert refused(bytes(content)).reason == "IMAGE_TOO_LARGE"


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    content = encoded(corners(), "JPEG", progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]
    assert refused(content[:-2] + scan * 100 + content[-2:]).reason == "CORRUPT_IMAGE"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_large_photo_is_held_small_and_says_its_own_size(kind: str) -> None:
    picture = decode(encoded(corners(4000, 3000), kind), LIMITS)
    assert (picture.width_px, picture.height_px) == (4000, 3000)
    height, width = picture.pixels().shape[:2]
    assert HELD_SIDE_PX <= width < 2 * HELD_SIDE_PX
    assert width / height == pytest.approx(4 / 3, abs=0.01)
    assert picture.bytes_held == width * height * 4


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "1"])
def test_a_large_picture_of_any_kind_is_held_as_a_small_one_would_be(mode: str) -> None:
    large = corners(2100, 1500).convert("RGBA")
    large.paste((0, 0, 0, 0), (700, 400, 1400, 1100))
    flat = Image.alpha_composite(Image.new("RGBA", large.size, (255, 255, 255, 255)), large).convert("RGB")
    sent = large if mode == "RGBA" else flat.convert(mode)
    meant = (flat if mode == "RGBA" else sent).convert("RGB").reduce(2)
    seen = decode(encoded(sent, "PNG"), LIMITS).pixels()
    assert seen.shape == (750, 1050, 3)
    assert np.abs(seen.astype(int) - np.asarray(meant)).max() <= 1


def test_no_metadata_stay() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    picture = decode(encoded(corners(), "JPEG", exif=exif, comment=b"secret", icc_profile=b"profile"), LIMITS)
    assert not picture._image.info
    assert type(picture._image) is Image.Image


def test_a_tensor_has_the_channels_in_planes_scaled_and_shifted() -> None:
    picture = decode(encoded(plain((255, 51, 0)), "PNG"), LIMITS)
    tensor, frame = picture.tensor(Fit(8, 8, True, (1 / 255, 2 / 255, 1 / 255), (0.0, 0.5, -1.0)))
    assert frame == Frame(0, 0, 8, 8, 8, 8)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    assert tensor[:, 3, 3] == pytest.approx([1.0, 0.9, -1.0])


def test_a_letterbox_keeps_the_aspect_and_pads_with_grey() -> None:
    picture = decode(encoded(corners(80, 40), "PNG"), LIMITS)
    tensor, frame = picture.tensor(Fit(40, 40, True, UNIT, ZERO))
    assert frame == Frame(0, 10, 40, 20, 40, 40)
    assert (tensor[:, :10] == 114).all()
    assert (tensor[:, 30:] == 114).all()
    assert tuple(tensor[:, 15, 5]) == CORNERS["red"]
    assert tuple(tensor[:, 25, 35]) == CORNERS["yellow"]


@pytest.mark.parametrize(
    ("width", "height", "frame"),
    [
        (640, 480, Frame(0, 0, 128, 96, 128, 96)),
        (480, 640, Frame(0, 0, 96, 128, 96, 128)),
        (640, 400, Frame(0, 8, 128, 80, 128, 96)),
        (2000, 200, Frame(0, 9, 128, 13, 128, 32)),
        (300, 300, Frame(0, 0, 128, 128, 128, 128)),
    ],
)
def test_a_network_of_any_size_is_fed_little_padding(width: int, height: int, frame: Frame) -> None:
    picture = Picture(plain((7, 7, 7), width, height), width, height)
    tensor, found = picture.tensor(Fit(128, 128, True, UNIT, ZERO, multiple=32))
    assert found == frame
    assert tensor.shape == (3, frame.input_height, frame.input_width)
    inside = tensor[:, frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
    assert (inside == 7).all()
    assert (tensor == 114).sum() == tensor.size - inside.size


def test_a_stretched_picture_fills_the_input() -> None:
    picture = decode(encoded(corners(80, 40), "PNG"), LIMITS)
    tensor, frame = picture.tensor(Fit(40, 40, False, UNIT, ZERO))
    assert frame == Frame(0, 0, 40, 40, 40, 40)
    assert tuple(tensor[:, 5, 5]) == CORNERS["red"]


@pytest.mark.parametrize(
    ("box", "colour"),
    [
        (Box(0, 0, 0.5, 0.5), "red"),
        (Box(0.5, 0, 1, 0.5), "green"),
        (Box(0, 0.5, 0.5, 1), "blue"),
        (Box(0.5, 0.5, 1, 1), "yellow"),
    ],
)
def test_a_box_is_cut_out_but_for_a_blurred_edge(box: Box, colour: str) -> None:
    picture = decode(encoded(corners(640, 480), "PNG"), LIMITS)
    tensor, _ = picture.tensor(Fit(16, 16, False, UNIT, ZERO), box)
    assert {tuple(pixel) for pixel in tensor[:, 1:-1, 1:-1].reshape(3, -1).T} == {CORNERS[colour]}


@given(st.integers(16, 300), st.integers(16, 300), st.floats(0, 0.999), st.floats(0, 0.999))
@settings(max_examples=50, deadline=None)
def test_the_smallest_box_at_any_place_can_be_cut(width: int, height: int, left: float, top: float) -> None:
    picture = Picture(plain((7, 7, 7), width, height), width, height)
    tensor, _ = picture.tensor(Fit(8, 8, True, UNIT, ZERO), Box(left, top, left + 1e-4, top + 1e-4))
    assert (tensor[:, 4, 4] == 7).all()


def test_scaling_down_averages_and_does_not_pick() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    picture = decode(encoded(Image.fromarray(stripes), "PNG"), LIMITS)
    tensor, _ = picture.tensor(Fit(32, 32, True, UNIT, ZERO), WHOLE_BOX)
    assert np.abs(tensor - 127.5).max() < 8


def test_a_phone_photo_with_a_second_picture_inside_is_read() -> None:
    file = io.BytesIO()
    corners().save(file, "MPO", save_all=True, append_images=[plain((0, 0, 0), 96, 64)], quality=95)
    assert_upright(decode(file.getvalue(), LIMITS))
