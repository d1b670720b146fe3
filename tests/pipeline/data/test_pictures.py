"""Drawn pictures of nothing in particular: the same for the same number, and like photographs."""

from __future__ import annotations

import numpy as np

from pipeline.data import pictures


def test_the_same_number_is_the_same_picture_and_another_is_another() -> None:
    first, again, other = pictures.draw(7), pictures.draw(7), pictures.draw(8)
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    assert (first.dtype, first.ndim, first.shape[2]) == (np.uint8, 3, 3)


def test_they_differ_in_size_light_and_colour() -> None:
    drawn = [pictures.draw(number) for number in range(20)]
    assert len({picture.shape for picture in drawn}) == 20
    assert np.ptp([picture.mean() for picture in drawn]) > 60
    assert all(picture.std() > 15 for picture in drawn)  # none is plain
    colours = [np.ptp(picture.mean(axis=(0, 1))) for picture in drawn]
    assert max(colours) > 30 > min(colours)


def test_their_spectrum_falls_as_that_of_photographs() -> None:
    """Power falls about as the square of the frequency (Field, J. Opt. Soc. Am. A 1987)."""
    slopes = []
    for number in range(12):
        grey = pictures.draw(number)[:216, :216].mean(axis=2)
        power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
        rows, columns = np.meshgrid(*[np.fft.fftfreq(216)] * 2, indexing="ij")
        frequency = np.hypot(rows, columns)
        inside = (frequency > 0.01) & (frequency < 0.15)
        slope = np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0]
        slopes.append(slope)
    assert -3 < np.mean(slopes) < -1.5
