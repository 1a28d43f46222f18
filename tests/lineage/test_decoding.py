import io

import numpy as np
import pytest
from conftest import folders_zip
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_archives import KINDS, damaged, fuzz, pictures, small

from lineage import archives, decoding
from lineage.errors import Failure


@pytest.mark.parametrize(
    ("mode", "format", "colour"),
    [
        ("L", "PNG", 124),
        ("P", "PNG", (200, 100, 50)),
        ("RGBA", "PNG", (200, 100, 50)),
        ("CMYK", "TIFF", (200, 100, 50)),
    ],
)
def test_images_of_every_mode_keep_their_colour(mode, format, colour):
    image, buffer = Image.new("RGB", (8, 8), (200, 100, 50)), io.BytesIO()
    image.convert(mode, palette=Image.Palette.ADAPTIVE).save(buffer, format)
    decoded = decoding.decode(buffer.getvalue())
    assert decoded.shape == (8, 8, 3) and abs(decoded.astype(int) - colour).max() <= 1


def encoded(mode, values, format="TIFF", **options):
    buffer = io.BytesIO()
    Image.fromarray(values).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_sixteen_bits_are_scaled(format):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    image = decoding.decode(encoded("I;16", ramp, format))
    assert image.dtype == np.uint8
    assert (image == np.arange(256).reshape(16, 16, 1)).all()


def test_twelve_bits_and_zero_as_white_are_minded():
    """TIFF has both; its tags of one number are changed in place."""
    content = encoded("I;16", np.array([[0xF0FF, 0x0000]], np.uint16))  # twelve bits: 0xFFF and 0x000

    def with_tag(number, value):
        start = content.index(number.to_bytes(2, "little") + b"\3\0\1\0\0\0") + 8
        return content[:start] + value.to_bytes(2, "little") + content[start + 2 :]

    assert decoding.decode(content)[0, :, 0].tolist() == [round(0xF0FF / 257), 0]
    assert decoding.decode(with_tag(258, 12))[0, :, 0].tolist() == [255, 0]
    assert decoding.decode(with_tag(262, 0))[0, :, 0].tolist() == [255 - round(0xF0FF / 257), 255]


def test_a_grey_value_of_sixteen_bits_can_be_transparent():
    grey = np.array([[0, 0x8080, 0xFFFF]], np.uint16)
    assert decoding.decode(encoded("I;16", grey, "PNG"))[0, :, 0].tolist() == [0, 0x80, 255]
    for clear, shown in ((0, [255, 0x80, 255]), (0x8080, [0, 255, 255])):
        assert decoding.decode(encoded("I;16", grey, "PNG", transparency=clear))[0, :, 0].tolist() == shown


def test_values_without_a_range_are_refused(tmp_path):
    for mode, values in (("F", np.eye(8, dtype=np.float32)), ("I", np.eye(8, dtype=np.int32))):
        members = small() | {"train/cat/strange.tif": encoded(mode, values)}
        with pytest.raises(Failure, match=r"train/cat/strange.tif is not .*: its values are .* whose range is not def"):
            archives.read("folders", [folders_zip(tmp_path / "a.zip", members)], KINDS, 32)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_come_upright(format, orientation):
    """The tag says where the first row and the first column are: only then is the upper left corner the only white."""
    upright = np.zeros((32, 64, 3), np.uint8)
    upright[:16, :32] = 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: upright.swapaxes(0, 1)[::-1],
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: upright.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded("RGB", np.ascontiguousarray(stored), format, exif=exif)
    image = decoding.decode(content).astype(int)
    assert image.shape == upright.shape
    assert abs(image - upright)[4:12, 4:28].max() < 60
    assert abs(image - upright).mean() < 10


def test_damaged_exif_data_do_not_lose_an_image():
    content = encoded("RGB", pictures(1)[0], "PNG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12")
    assert (decoding.decode(content) == pictures(1)[0]).all()


def test_transparency_lies_on_white():
    image = np.zeros((4, 4, 4), np.uint8)
    image[0] = (10, 20, 30, 255)
    assert decoding.decode(encoded("RGBA", image, "PNG"))[:2, 0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_whatever_a_decoder_raises_is_the_files_fault(tmp_path, monkeypatch):
    path, opened = folders_zip(tmp_path / "a.zip", {"train/cat/bad.avif": b"bad"} | small()), Image.open
    for error in (RuntimeError("avif"), SyntaxError("png"), MemoryError(), ZeroDivisionError(), KeyError("tiff")):

        def fails(file, error=error, **options):
            if file.getvalue() == b"bad":
                raise error
            return opened(file, **options)

        monkeypatch.setattr(Image, "open", fails)
        arrays, skipped = archives.read("folders", [path], KINDS, 32, "skip")
        with pytest.raises(Failure, match=r"train/cat/bad.avif is not an image that can be read"):
            archives.read("folders", [path], KINDS, 32)
        assert skipped == ["train/cat/bad.avif"]
        assert len(arrays["images"]) == 8


def test_no_image_runs_a_program(tmp_path):
    eps = encoded("RGB", pictures(1)[0], "EPS")
    with pytest.raises(ValueError, match="none of the formats"):
        decoding.decode(eps)


def photographs():
    """A small image in every format and mode that is read."""
    image = Image.fromarray(pictures(1, 12)[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [(format, "RGB", {}) for format in decoding.IMAGES if format != "AVIF"]
    kinds += [("AVIF", "RGB", {"speed": 10}), ("JPEG", "RGB", {"exif": exif, "progressive": True}), ("PNG", "P", {})]
    kinds += [("PNG", "RGBA", {}), ("PNG", "I;16", {}), ("TIFF", "F", {}), ("TIFF", "I;16", {}), ("WEBP", "RGBA", {})]
    kinds += [("TIFF", "RGB", {"compression": way}) for way in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")]
    kinds += [("JPEG", "CMYK", {}), ("GIF", "RGB", {"save_all": True, "append_images": [image.rotate(90)]})]
    for format, mode, options in kinds:
        buffer = io.BytesIO()
        image.convert("L" if mode == "I;16" else "RGB").convert(mode).save(buffer, format, **options)
        yield buffer.getvalue()


any_image = st.sampled_from(list(photographs())).flatmap(damaged) | st.binary(max_size=64)


@fuzz
@given(any_image)
def test_fuzz_images(within_a_gigabyte, content):
    try:
        image = decoding.decode(content)
    except ValueError as error:
        assert str(error)
    else:
        assert image.dtype == np.uint8
        assert image.ndim == 3 and image.shape[2] == 3 and 0 < image.size <= 3 * decoding.PIXELS
