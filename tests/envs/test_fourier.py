"""Transforms for kernels, against numpy's in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs.fourier.spectra import multiply, part_two, shorten
from phonotaxis.envs.fourier.transform import fast_length, new_scratch, plan_of, transform

# One pass, two and three of them, every radix at either end, square and oblong, and what a task has by default.
LENGTHS = (64, 128, 192, 320, 1024, 1920, 5120, 6400, 9216, 12800, 19200)
TOLERANCE = 5e-7  # single precision over 13 halvings: 1.5e-7 measured


def rows(points: int, seed: int = 1) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).standard_normal((2, points)).astype(np.float32)


def spectrum(row: np.ndarray) -> np.ndarray:
    out = np.full(row.shape, np.nan, dtype=np.float32)
    plan = plan_of(row.shape[1])
    transform(row[0], row[1], out[0], out[1], plan, new_scratch(plan))
    return np.asarray(out[0] + 1j * out[1])


@pytest.mark.parametrize("points", LENGTHS)
def test_a_transform_is_numpys(points: int) -> None:
    row = rows(points)
    wanted = np.fft.fft(row[0].astype(np.float64) + 1j * row[1])
    np.testing.assert_allclose(spectrum(row), wanted, rtol=0.0, atol=TOLERANCE * np.abs(wanted).max())


@pytest.mark.parametrize("points", LENGTHS)
def test_changed_over_it_is_the_inverse(points: int) -> None:
    row, plan = rows(points), plan_of(points)
    there, back = np.empty_like(row), np.empty_like(row)
    transform(row[0], row[1], there[0], there[1], plan, new_scratch(plan))
    transform(there[1], there[0], back[1], back[0], plan, new_scratch(plan))
    np.testing.assert_allclose(back / points, row, atol=4 * TOLERANCE)


def test_it_may_be_done_in_place() -> None:
    row, plan = rows(1920), plan_of(1920)
    wanted = spectrum(row)
    transform(row[0], row[1], row[0], row[1], plan, new_scratch(plan))
    assert np.array_equal(row[0] + 1j * row[1], wanted)


def test_scratch_that_was_used_before_changes_no_bit() -> None:
    row, plan = rows(6400), plan_of(6400)
    scratch = new_scratch(plan)
    for part in scratch:
        part[:] = np.nan
    out = np.empty_like(row)
    transform(row[0], row[1], out[0], out[1], plan, scratch)
    assert np.array_equal(out[0] + 1j * out[1], spectrum(row))


@pytest.mark.parametrize(("least", "length"), [(1, 64), (64, 64), (65, 128), (449, 512), (4000, 4096), (6399, 6400)])
def test_lengths_hold_what_is_asked_for(least: int, length: int) -> None:
    """448 is 64 x 7 and 4032 is 64 x 63: seven has no butterfly."""
    assert fast_length(least) == length


def test_every_length_from_fast_length_can_be_planned() -> None:
    for least in range(1, 40_000, 97):
        plan = plan_of(fast_length(least))
        assert plan.rows * plan.columns >= least
        assert plan.rows % 8 == plan.columns % 8 == 0


def test_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="448 points can't be transformed; take 512"):
        plan_of(448)


def halves(spectra: np.ndarray) -> np.ndarray:
    return np.stack([spectra.real, spectra.imag], axis=-2).astype(np.float32)


@pytest.mark.parametrize("points", LENGTHS)
def test_two_real_rows_are_parted(points: int) -> None:
    a, b = rows(points).astype(np.float64)
    both = np.fft.fft(a + 1j * b)
    first, second = np.full((2, points // 2 + 1), np.nan, np.float32), np.full((2, points // 2 + 1), np.nan, np.float32)
    part_two(both.real.astype(np.float32), both.imag.astype(np.float32), first.reshape(-1), second.reshape(-1))
    for found, row in ((first, a), (second, b)):
        wanted = halves(np.fft.rfft(row))
        np.testing.assert_allclose(found, wanted, rtol=0.0, atol=TOLERANCE * np.abs(wanted).max())


@pytest.mark.parametrize("points", [64, 192, 6400])
@pytest.mark.parametrize(("partitions", "first"), [(1, 0), (2, 1), (4, 0), (4, 2), (5, 4)])
def test_products_are_summed_over_partitions_of_the_ring(points: int, partitions: int, first: int) -> None:
    rng = np.random.Generator(np.random.PCG64(2))
    source = np.fft.rfft(rng.standard_normal((partitions, points)))
    whole = np.concatenate([source, np.conj(source[:, -2:0:-1])], axis=1)
    responses = np.fft.fft(rng.standard_normal((partitions, points)) + 1j * rng.standard_normal((partitions, points)))
    row = halves(responses[0])
    late = np.zeros(halves(responses[1:]).shape, dtype=np.int16)
    steps = np.zeros(partitions - 1, dtype=np.float32)
    for k, spectrum in enumerate(halves(responses[1:])):
        steps[k] = shorten(spectrum.reshape(-1), late[k].reshape(-1))
        assert np.abs(late[k] * steps[k] - spectrum).max() <= 0.51 * steps[k] <= np.abs(spectrum).max() / 64000.0
    kept = late * steps[:, None, None]
    responses[1:] = kept[:, 0] + 1j * kept[:, 1]
    wanted = sum(responses[k] * whole[(first + k) % partitions] for k in range(partitions))
    multiply(row[0], row[1], halves(source).reshape(-1), first, late.reshape(-1), steps)
    np.testing.assert_allclose(row[0] + 1j * row[1], wanted, rtol=0.0, atol=TOLERANCE * np.abs(wanted).max())


def test_silence_is_kept_as_silence() -> None:
    codes = np.ones(7, dtype=np.int16)
    assert shorten(np.zeros(7, dtype=np.float32), codes) == 0.0
    assert not codes.any()


def test_arrays_that_vectors_cannot_read_are_refused() -> None:
    row, plan = rows(64), plan_of(64)
    with pytest.raises(Exception, match="expected a contiguous array of float32"):
        transform(row[0].astype(np.float64), row[1], row[0], row[1], plan, new_scratch(plan))
    strided = rows(128)[:, ::2]
    with pytest.raises(Exception, match="expected a contiguous array of float32"):
        transform(strided[0], strided[1], row[0], row[1], plan, new_scratch(plan))
