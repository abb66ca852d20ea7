"""Filters over series and their spectra: FIR, IIR, the Fourier transform and its inverse."""

from __future__ import annotations

from typing import Any

import numpy as np

from spark_kusto.kql.algorithms.series import floats, with_nulls


def fir(
    series: object, kernel: object, normalize: bool | None = None, center: bool | None = False
) -> list[Any] | None:
    """A finite impulse response filter; items before the first count as 0.

    Args:
        normalize: divide by the kernel's sum; by default, unless it has negative coefficients.
            Asked for on a kernel with negative coefficients, the answer is null.
        center: apply the kernel around each item instead of backwards from it.
    """
    if not isinstance(series, list) or not isinstance(kernel, list) or not kernel:
        return None
    weights, bad = floats(kernel)
    if bad.any():
        return None
    negative = bool((weights < 0).any())
    if normalize is None:
        normalize = not negative
    if normalize:
        scale = weights.sum()
        if negative or scale == 0:
            return None
        weights = weights / scale
    values, missing = floats(series)
    values[missing] = np.nan
    shift = (len(kernel) - 1) // 2 if center else 0
    full = np.convolve(values, weights) if values.size else values
    answer = full[shift : shift + values.size]
    return with_nulls(answer, np.isnan(answer) & missing.any())


def iir(series: object, numerators: object, denominators: object) -> list[Any] | None:
    """An infinite impulse response filter: a[0] y[i] = sum b[k] x[i-k] - sum a[k] y[i-k]."""
    if not all(isinstance(argument, list) for argument in (series, numerators, denominators)):
        return None
    assert isinstance(series, list)
    assert isinstance(numerators, list)
    assert isinstance(denominators, list)
    b, bad_b = floats(numerators)
    a, bad_a = floats(denominators)
    if bad_a.any() or bad_b.any() or not a.size or not b.size or a[0] == 0:
        return None
    values, missing = floats(series)
    values[missing] = np.nan
    forward = np.convolve(values, b / a[0])[: values.size] if values.size else values
    feedback = (a[1:] / a[0]).tolist()
    answer: list[float] = []
    for position, driven in enumerate(forward.tolist()):
        y = driven
        for lag, weight in enumerate(feedback, 1):
            if lag > position:
                break
            y -= weight * answer[position - lag]
        answer.append(y)
    # A missing item makes all after it unknown, as in any recursive filter.
    return [None if y != y and missing.any() else y for y in answer]


def fourier(real: object, imaginary: object = None, inverse: bool = False) -> list[Any]:
    """Real and imaginary part of the (inverse) discrete Fourier transform; two nulls if undefined."""
    if not isinstance(real, list) or not real:
        return [None, None] if not isinstance(real, list) else [[], []]
    values, missing = floats(real)
    signal = values.astype(np.complex128)
    if isinstance(imaginary, list):
        second, second_missing = floats(imaginary)
        if second.size != values.size or second_missing.any():
            return [None, None]
        signal += 1j * second
    if missing.any():
        return [None, None]
    answer = np.fft.ifft(signal) if inverse else np.fft.fft(signal)
    return [answer.real.tolist(), answer.imag.tolist()]
