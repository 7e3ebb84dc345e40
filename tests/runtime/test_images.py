"""Stored images against Pillow's: the same decoding, the same conversions, the same resize."""
import os
import subprocess

import numpy as np
from PIL import Image, ImageOps
import pytest

PROGRAM = os.environ.get("LORAC_IMAGE_TO_NPY", "")
# Two versions of libjpeg may round a colour conversion differently; both round the resize.
JPEG_LARGEST, RESIZE_LARGEST = 2, 1


def stored(tmp_path, path, channels, height, width, resize=0):
    out = tmp_path / "out.npy"
    subprocess.run([PROGRAM, *map(str, (channels, height, width, resize)), str(path), str(out)], check=True)
    return np.load(out)


def refused(tmp_path, path):
    done = subprocess.run([PROGRAM, "3", "8", "8", "0", str(path), str(tmp_path / "out.npy")], capture_output=True,
                          text=True)
    assert done.returncode == 1
    return done.stderr


def photo(height, width, seed=0, channels=3):
    """Smooth regions, edges and grain, as in a photograph."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    image = np.zeros((height, width, channels))
    for c in range(channels):
        a, b, d = rng.uniform(2, 14, 3)
        image[..., c] = 120 + 60 * np.sin(a * x + b * y) + 40 * (np.sin(d * 4 * x * y + c) > 0)
    image += rng.normal(0, 4, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def as_array(image, channels):
    return np.asarray(image.convert("RGB" if channels == 3 else "L")).reshape(image.height, image.width, channels)


def largest(a, b):
    assert a.shape == b.shape
    return np.abs(a.astype(int) - b).max()


SAVES = [
    ("png", "RGB", {}), ("png", "L", {}), ("png", "RGBA", {}), ("png", "LA", {}), ("png", "P", {}), ("png", "1", {}),
    ("jpg", "L", {"quality": 90}), ("jpg", "RGB", {"quality": 90}),
    ("jpg", "RGB", {"quality": 75, "subsampling": 0}), ("jpg", "RGB", {"quality": 60, "subsampling": 1}),
    ("jpg", "RGB", {"quality": 30, "progressive": True}), ("jpg", "RGB", {"quality": 95, "optimize": True}),
]


@pytest.mark.parametrize("ending, mode, options", SAVES)
@pytest.mark.parametrize("channels", [1, 3])
def test_decoding(tmp_path, ending, mode, options, channels):
    path = tmp_path / f"a.{ending}"
    source = Image.fromarray(photo(61, 83))
    if mode == "P":
        source.quantize(50).save(path, transparency=3)
    else:
        source = source.convert(mode)
        if mode in ("RGBA", "LA"):
            source.putalpha(Image.fromarray(photo(61, 83, 1, 1)[..., 0]))
        source.save(path, **options)
    with Image.open(path) as image:
        # Without alpha first: Pillow blends nothing either. Of colour JPEGs for grey models, the file's own luma.
        if ending == "jpg" and channels == 1 and image.mode == "RGB":
            image.draft("L", image.size)
        expected = as_array(image, channels)
    difference = largest(stored(tmp_path, path, channels, 61, 83), expected)
    assert difference <= (JPEG_LARGEST if ending == "jpg" else 0)


def test_16_bits(tmp_path):
    values = np.random.default_rng(3).integers(0, 65536, (20, 30)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    got = stored(tmp_path, tmp_path / "a.png", 3, 20, 30)
    assert largest(got, np.repeat((values >> 8)[..., None], 3, 2)) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_orientation(tmp_path, ending, orientation):
    path = tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Camera"
    Image.fromarray(photo(40, 72)).save(path, exif=exif)
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
    expected = as_array(upright, 3)
    assert largest(stored(tmp_path, path, 3, *expected.shape[:2]), expected) <= (JPEG_LARGEST if ending == "jpg" else 0)
    # and when it is resized on the way
    height, width = (expected.shape[0] // 2, expected.shape[1] // 2)
    resized = np.asarray(upright.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
    got = stored(tmp_path, path, 3, height, width)
    assert largest(got, resized) <= RESIZE_LARGEST + (JPEG_LARGEST if ending == "jpg" else 0)


@pytest.mark.parametrize("height, width, size, resize, expected", [
    (375, 500, 224, 0, (224, 298)), (500, 333, 224, 256, (384, 256)), (100, 90, 224, 0, (248, 224)),
    (224, 224, 224, 0, (224, 224)), (97, 97, 32, 40, (40, 40)), (225, 1000, 32, 0, (32, 142)),
])
@pytest.mark.parametrize("channels", [1, 3])
def test_resize(tmp_path, height, width, size, resize, expected, channels):
    path = tmp_path / "a.png"
    Image.fromarray(photo(height, width)).save(path)
    with Image.open(path) as image:
        source = image.convert("RGB" if channels == 3 else "L")
    result = as_array(source.resize((expected[1], expected[0]), Image.Resampling.BILINEAR), channels)
    assert largest(stored(tmp_path, path, channels, size, size, resize), result) <= RESIZE_LARGEST


@pytest.mark.parametrize("height, width, size", [(960, 1280, 224), (1201, 1603, 224), (2000, 1500, 32), (999, 500, 64)])
def test_large_jpeg(tmp_path, height, width, size):
    """Partly shrunk by the decoder: as near to decoding all and resizing as JPEG's own error."""
    path = tmp_path / "a.jpg"
    Image.fromarray(photo(height, width)).save(path, quality=90)
    got = stored(tmp_path, path, 3, size, size)
    with Image.open(path) as image:
        full = np.asarray(image.resize((got.shape[1], got.shape[0]), Image.Resampling.BILINEAR)).astype(int)
    difference = np.abs(got - full)
    assert difference.mean() < 1.0, difference.mean()
    assert np.quantile(difference, 0.99) <= 4, np.quantile(difference, 0.99)
    # A shift by half an output pixel would show as a slope: the mean of signed differences against the gradient.
    gradient = np.gradient(full[..., 0].astype(float), axis=1)
    slope = ((got - full)[..., 0] * gradient).sum() / (gradient ** 2).sum()
    assert abs(slope) < 0.02, slope


def test_refused(tmp_path):
    Image.fromarray(photo(30, 30)).convert("CMYK").save(tmp_path / "a.jpg")
    assert "CMYK" in refused(tmp_path, tmp_path / "a.jpg")
    for ending, name in (("gif", "GIF"), ("bmp", "BMP"), ("tiff", "TIFF"), ("webp", "WebP")):
        Image.fromarray(photo(30, 30)).save(tmp_path / f"a.{ending}")
        assert f"is {name} by its first bytes" in refused(tmp_path, tmp_path / f"a.{ending}")
