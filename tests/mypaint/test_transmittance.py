"""One dab at a time, against a pixel loop written from the definition."""

import numpy as np
import pytest

from spiral_jax.renderers.mypaint import available_backends, dabs, transmittance


def one_dab(x, y, radius, opaque=0.7, hardness=0.4):
    values = (np.array([v], float) for v in (x, y, radius, opaque, hardness))
    return dabs.Dabs(np.array([0]), *values)


def falloff(q, hardness):
    if q > 1:
        return 0.0
    if q <= hardness:
        return 1 - q * (1 / hardness - 1)
    return hardness / (1 - hardness) * (1 - q)


def loop(dab, width):
    """`1 - opaque f(q)` by pixels, `[width, width]`."""
    x, y, r, opaque, hardness = (float(field[0]) for field in dab[1:])
    result = np.ones((width, width))
    for row in range(width):
        for column in range(width):
            dy, dx = row + 0.5 - y, column + 0.5 - x
            q = (dx * dx + dy * dy) / r**2
            if r < 3:
                if abs(dx) < 0.5 and abs(dy) < 0.5:
                    dy = 0.0
                near_x = max(abs(dx) - 0.5, 0)
                near = (near_x**2 + dy**2) / r**2
                far = ((near_x + np.pi**-0.5) ** 2 + dy**2) / r**2
                q = 1 - (1 - near) / (1 + far - near)
                if far * r**2 < max(r - 1, 0) ** 2:
                    q = (near + far) / 2
            result[row, column] = 1 - opaque * falloff(q, hardness)
    return result


@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize("hardness", [0.05, 0.4, 0.5, 0.9])
@pytest.mark.parametrize("radius", [0.2, 0.7, 1.3, 2.9, 3.0, 5.5, 17.0, 60.0])
@pytest.mark.parametrize(("x", "y"), [(10.2, 15.7), (0.1, 29.9), (-1.4, 12.0), (31, 7.5)])
def test_a_dab_is_what_the_definition_says(x, y, radius, hardness, backend):
    dab = one_dab(x, y, radius, hardness=hardness)
    found = transmittance.transmittance(dab, 1, 30, backend)[0]
    np.testing.assert_allclose(found, loop(dab, 30), atol=2e-5)


@pytest.mark.parametrize("backend", available_backends())
def test_dabs_multiply_on_their_own_canvas(backend):
    some = [one_dab(4, 5, 2), one_dab(5, 5, 4), one_dab(9, 9, 40), one_dab(5, 4, 1)]
    joined = dabs.Dabs(*(np.concatenate(fields) for fields in zip(*some, strict=True)))
    joined = joined._replace(canvas=np.array([0, 0, 2, 2]))
    found = transmittance.transmittance(joined, 3, 16, backend)
    single = [loop(dab, 16) for dab in some]
    np.testing.assert_allclose(found[0], single[0] * single[1], atol=2e-5)
    np.testing.assert_array_equal(found[1], 1)
    np.testing.assert_allclose(found[2], single[2] * single[3], atol=2e-5)


def test_a_dab_of_full_hardness_is_a_disc():
    found = transmittance.transmittance(one_dab(8, 8, 4, 1.0, 1.0), 1, 16)[0]
    rows, columns = np.mgrid[:16, :16] + 0.5
    distance = np.hypot(rows - 8, columns - 8)
    assert (found[distance < 3.9] < 1e-3).all()
    assert (found[distance > 4] == 1).all()


def test_dabs_that_libmypaint_skips_draw_nothing():
    for skipped in (
        one_dab(8, 8, 0.05), one_dab(8, 8, 3, hardness=0.0), one_dab(8, 8, 3, 0.0),
        one_dab(-9, 8, 3), one_dab(8, 99, 3),
    ):  # fmt: skip
        assert (transmittance.transmittance(skipped, 1, 16) == 1).all()
