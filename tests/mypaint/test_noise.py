"""Random streams."""

import numpy as np

from spiral_jax.renderers.mypaint import noise


def knuth(seed, count):
    """libmypaint's numbers, by Knuth's algorithm in doubles."""
    k, lag, ulp = 10, 7, 2.0**-52
    u, value = [], 2 * ulp * ((seed & 0x3FFFFFFF) + 2)
    for _ in range(k):
        u.append(value)
        value += value
        value -= 1 - 2 * ulp if value >= 1 else 0
    u[1] += ulp
    power, left = seed & 0x3FFFFFFF, 6
    while left:
        square = [x for v in u for x in (v, 0.0)][:-1]
        for j in reversed(range(k, 2 * k - 1)):
            square[j - k + lag] = (square[j - k + lag] + square[j]) % 1
            square[j - k] = (square[j - k] + square[j]) % 1
        u = square[:k]
        if power % 2:
            u = [u[-1], *u[:-1]]
            u[lag] = (u[lag] + u[0]) % 1
        power, left = (power // 2, left) if power else (power, left - 1)
    u = u[lag:] + u[:lag]
    while len(u) < 200 + 2 * count:
        u.append((u[-10] + u[-7]) % 1)
    return [x for i, x in enumerate(u[190:]) if i % 19 < 10][:count]


def test_gaussians_come_in_libmypaints_order():
    u = np.array(knuth(1000, 60))
    gauss = lambda first: u[first : first + 4].sum() * 3**0.5 - 2 * 3**0.5
    # Updates: an end of a call, a dab with 3 gaussians, a dab with 1, an end.
    stream, is_dab = np.zeros(4, int), np.array([1, 2])
    old = noise.LibmypaintStream(1, "1.3")
    found = old.gaussians(stream, is_dab, np.array([3, 1]))
    expected = [[gauss(2), gauss(6), gauss(10)], [gauss(15), 0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    found = old.gaussians(stream[:1], np.array([0]), np.array([1]))
    np.testing.assert_allclose(found, [[gauss(21), 0, 0]], atol=1e-12)
    new = noise.LibmypaintStream(1, "1.6")
    new.reset(np.array([0]))
    found = new.gaussians(stream, is_dab, np.array([3, 1]))
    expected = [[gauss(1), gauss(5), gauss(9)], [gauss(14), 0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_streams_are_read_at_their_own_speed():
    three, one = (noise.LibmypaintStream(n, "1.3", seed=7) for n in (3, 1))
    for n in (1, 40, 3):
        stream = np.repeat([0, 1, 2], [5, n, 90])
        dabs = np.arange(len(stream))
        found = three.gaussians(stream, dabs, np.full(len(stream), 3))
        alone = one.gaussians(np.zeros(n, int), dabs[:n], np.full(n, 3))
        np.testing.assert_array_equal(found[stream == 1], alone)


def test_own_noise_is_libmypaints_gaussian():
    stream = np.repeat([0, 1], 20000)
    found = noise.OwnNoise(2, 3).gaussians(stream, np.arange(40000), None)
    assert np.abs(found.mean(0)).max() < 0.02
    assert np.abs(found.std(0) - 1).max() < 0.02
    assert np.abs(found).max() <= 2 * 3**0.5
    # The fourth moment of four uniforms' sum is 2.7, a true gaussian's 3.
    assert abs((found**4).mean() - 2.7) < 0.05
    assert abs(np.corrcoef(found[:20000, 0], found[20000:, 0])[0, 1]) < 0.03
    assert abs(np.corrcoef(found[:-1, 0], found[1:, 0])[0, 1]) < 0.03


def test_own_noise_of_an_environment_depends_on_its_own_dabs():
    pair, same = noise.OwnNoise(2, 1), noise.OwnNoise(2, 1)
    stream = np.array([0, 0, 1, 1, 1])
    first = pair.gaussians(stream, np.arange(5), None)[2:]
    again = [same.gaussians(np.array([1]), np.array([0]), None) for _ in range(3)]
    np.testing.assert_array_equal(first, np.concatenate(again))
