# Copyright the lorac-onnx authors.
# SPDX-License-Identifier: Apache-2.0
"""Augmentations against Pillow: colours to the bit, resampling up to rounding."""

import colorsys
import itertools
import os
import subprocess

import numpy
import pytest
from PIL import Image, ImageEnhance

PROGRAM = os.environ["LORAC_AUGMENT_PIXELS"]
STEPS = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]


def pixels(*shape, seed=0):
    """Smooth colours with noise: neither flat nor grey."""
    random = numpy.random.default_rng(seed)
    height, width = shape[:2]
    slope = numpy.add.outer(numpy.linspace(0, 120, height), numpy.linspace(0, 90, width))
    return (slope.reshape(height, width, *[1] * (len(shape) - 2)) + random.integers(0, 45, shape)).astype(numpy.uint8)


def run(image, *arguments):
    result = subprocess.run([PROGRAM, *map(str, arguments)], input=image.tobytes(), capture_output=True, timeout=60)
    assert result.returncode == 0
    return numpy.frombuffer(result.stdout, numpy.uint8)


def changed(image, amounts, order):
    channels = 1 if image.ndim == 2 else 3
    return run(image, "color", channels, *amounts, order).reshape(image.shape)


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("factor", [0, 0.15, 0.6, 0.95, 1.05, 1.4, 1.9, 3.7])
def test_one_step(step, factor):
    image = pixels(33, 47, 3)
    amounts = [1, 1, 1, 0]
    amounts[step] = factor
    expected = numpy.asarray(STEPS[step](Image.fromarray(image)).enhance(factor))
    assert numpy.array_equal(changed(image, amounts, "0123"), expected)
    assert not numpy.array_equal(expected, image)


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1, 2])))
def test_three_steps_in_any_order(order):
    amounts = [0.7, 1.35, 0.55, 0]
    image = pixels(40, 28, 3, seed=1)
    expected = Image.fromarray(image)
    for step in order:
        expected = STEPS[step](expected).enhance(amounts[step])
    text = "".join(map(str, order)) + "3"
    assert numpy.array_equal(changed(image, amounts, text), numpy.asarray(expected))


@pytest.mark.parametrize("order", ["0123", "3210"])
def test_grey(order):
    image = pixels(20, 30)
    expected = Image.fromarray(image)
    for step in [int(letter) for letter in order if letter in "01"]:
        expected = STEPS[step](expected).enhance([1.3, 0.6][step])
    assert numpy.array_equal(changed(image, [1.3, 0.6, 0.2, 0.3], order), numpy.asarray(expected))


@pytest.mark.parametrize("turns", [-0.5, -0.2, -0.01, 0.03, 0.25, 1 / 3, 0.5])
def test_hue(turns):
    image = numpy.random.default_rng(2).integers(0, 256, (16, 16, 3), numpy.uint8)
    image[0, 0] = 90, 90, 90
    expected = []
    for red, green, blue in image.reshape(-1, 3):
        hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
        expected.append([255 * c for c in colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)])
    got = changed(image, [1, 1, 1, turns], "0123")
    assert numpy.abs(got.reshape(-1, 3) - numpy.array(expected)).max() < 0.51
    assert numpy.array_equal(got[0, 0], image[0, 0])


@pytest.mark.parametrize("box", [(0, 0, 60, 80), (5, 7, 32, 32), (10, 3, 50, 61), (40, 70, 20, 10), (59, 79, 1, 1),
                                 (0, 0, 60, 11), (13, 0, 9, 80)])
@pytest.mark.parametrize("channels", [1, 3])
def test_resample(box, channels):
    image = pixels(60, 80, 3, seed=3) if channels == 3 else pixels(60, 80, seed=4)
    top, left, height, width = box
    got = run(image, "crop", channels, 60, 80, *box, 32, 32)
    whole = Image.fromarray(image)
    expected = whole.resize((32, 32), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    difference = numpy.abs(got.astype(int) - numpy.asarray(expected).astype(int).ravel())
    assert difference.max() <= 1
    assert difference.mean() < 0.2  # Pillow rounds between the two directions
