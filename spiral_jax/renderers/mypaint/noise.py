"""Random numbers for brushes: libmypaint's own stream, and a faster one of ours."""

import numpy as np

LIBMYPAINT_SEED = 1000

# Knuth's lagged Fibonacci generator on fractions (The Art of Computer Programming,
# volume 2, 3.6): x[n] = x[n-10] + x[n-7] mod 1. libmypaint shortens his lags of 100
# and 37, and uses the first 10 of every 19 numbers. Its doubles are whole multiples
# of 2^-52, so 52-bit integers give the same numbers exactly.
_LONG_LAG, _SHORT_LAG, _STREAM_SEPARATION = 10, 7, 7
_USED, _BLOCK = 10, 19
_MASK = np.uint64((1 << 52) - 1)

# The sum of four uniforms, centred and scaled to variance 1: libmypaint's gaussian.
_SCALE, _SHIFT = np.sqrt(3.0), 2.0 * np.sqrt(3.0)


class LibmypaintStream:
    """`count` copies of the random stream that a libmypaint brush starts with.

    Besides gaussians libmypaint draws one uniform for the brush input "random", which
    no modelled brush reads: 1.3 before every update, 1.6 after every dab and at every
    reset.

    Args:
        count: number of streams.
        version: "1.3" or "1.6".
        seed: the library's is `LIBMYPAINT_SEED`.
    """

    def __init__(self, count: int, version: str, seed: int = LIBMYPAINT_SEED):
        self._count, self._per_update = count, version == "1.3"
        self.start(seed)

    def start(self, seed: int) -> None:
        """Starts all streams anew."""
        state = np.array(_initial_state(seed), np.uint64)
        # Each stream's next unread numbers; streams are read at different speeds.
        self._lags = np.tile(state, (self._count, 1))
        self._unread = np.zeros((self._count, 0))
        self._read = np.zeros(self._count, np.int64)

    def reset(self, streams: np.ndarray) -> None:
        """Draws what a reset of the brushes `streams` (int) draws."""
        if not self._per_update:
            self._read[streams] += 1

    def gaussians(
        self, stream: np.ndarray, dabs: np.ndarray, per_dab: np.ndarray
    ) -> np.ndarray:
        """Draws the gaussians of a batch of strokes.

        Args:
            stream: each update's stream, `[U]` int, sorted.
            dabs: which updates are dabs, `[N]` int, increasing.
            per_dab: gaussians that each dab wants, 0..3, `[N]` int.

        Returns: `[N, 3]` float64; 0 where fewer than 3 were wanted.
        """
        uniforms = np.full(len(stream), int(self._per_update))
        uniforms[dabs] = 4 * per_dab + 1
        count = len(self._read)
        total = np.bincount(stream, uniforms, count).astype(np.int64)
        self._fill(int((self._read + total).max()))
        first = self._read - (np.cumsum(total) - total)
        position = np.cumsum(uniforms)[dabs] - uniforms[dabs] + first[stream[dabs]]
        position += self._per_update
        result = np.zeros((len(dabs), 3))
        for i in range(3):
            here = per_dab > i
            at = position[here, None] + 4 * i + np.arange(4)
            four = self._unread[stream[dabs[here]][:, None], at]
            result[here, i] = four.sum(1) * _SCALE - _SHIFT
        self._read += total
        self._forget()
        return result

    def _fill(self, wanted: int) -> None:
        """Generates until every stream has `wanted` numbers."""
        blocks = -(-(wanted - self._unread.shape[1]) // _USED)
        if blocks <= 0:
            return
        steps = -(-(blocks * _BLOCK) // _SHORT_LAG)
        x = np.empty((_LONG_LAG + steps * _SHORT_LAG, len(self._lags)), np.uint64)
        x[:_LONG_LAG] = self._lags.T
        for n in range(_LONG_LAG, len(x), _SHORT_LAG):
            np.add(x[n - _LONG_LAG : n - _LONG_LAG + _SHORT_LAG],
                   x[n - _SHORT_LAG : n], out=x[n : n + _SHORT_LAG])  # fmt: skip
            x[n : n + _SHORT_LAG] &= _MASK
        self._lags = x[blocks * _BLOCK : blocks * _BLOCK + _LONG_LAG].T.copy()
        used = x[: blocks * _BLOCK].reshape(blocks, _BLOCK, -1)[:, :_USED]
        used = used.reshape(blocks * _USED, -1).T * 2.0**-52
        self._unread = np.concatenate([self._unread, used], 1)

    def _forget(self) -> None:
        read = min(int(self._read.min()), self._unread.shape[1])
        self._unread = self._unread[:, read:]
        self._read -= read


def _initial_state(seed: int) -> list[int]:
    """Knuth's start-up: z^seed modulo the lag polynomial, in 52-bit integers."""
    mask, half = (1 << 52) - 1, 1 << 51
    power = seed & 0x3FFFFFFF
    u, value = [], 2 * (power + 2)
    for _ in range(_LONG_LAG):
        u.append(value)
        value *= 2
        if value > mask:
            value -= 2 * half - 2
    u[1] += 1
    remaining = _STREAM_SEPARATION - 1
    while remaining:
        square = [0] * (2 * _LONG_LAG - 1)
        square[::2] = u
        for j in range(2 * _LONG_LAG - 2, _LONG_LAG - 1, -1):
            for k in (j - _LONG_LAG + _SHORT_LAG, j - _LONG_LAG):
                square[k] = (square[k] + square[j]) & mask
        u = square[:_LONG_LAG]
        if power & 1:
            u = [u[-1], *u[:-1]]
            u[_SHORT_LAG] = (u[_SHORT_LAG] + u[0]) & mask
        if power:
            power >>= 1
        else:
            remaining -= 1
    state = u[_SHORT_LAG:] + u[:_SHORT_LAG]
    # Ten warm-up rounds of 19 numbers.
    for _ in range(10 * (2 * _LONG_LAG - 1)):
        state = [*state[1:], (state[0] + state[_LONG_LAG - _SHORT_LAG]) & mask]
    return state


class OwnNoise:
    """Gaussians from a counter: each environment's depend on its own dabs only.

    One hash (SplitMix64's output function) gives a dab's three numbers, so a whole
    batch costs a dozen array operations.
    """

    def __init__(self, count: int, seed: int):
        self._count = count
        self.start(seed)

    def start(self, seed: int) -> None:
        """Starts all streams anew."""
        children = np.random.SeedSequence(seed).spawn(self._count)
        words = [child.generate_state(1, np.uint64)[0] for child in children]
        self._key = np.array(words, np.uint64)
        self._counter = np.zeros(self._count, np.uint64)

    def reset(self, streams: np.ndarray) -> None:
        """Draws nothing."""

    def gaussians(
        self, stream: np.ndarray, dabs: np.ndarray, per_dab: np.ndarray
    ) -> np.ndarray:
        """As `LibmypaintStream.gaussians`, `[N, 3]` float32, always all three."""
        del per_dab
        stream = stream[dabs]
        count = np.bincount(stream, minlength=len(self._key)).astype(np.uint64)
        first = self._counter - (np.cumsum(count) - count)
        x = self._key[stream] + _GOLDEN_GAMMA * (
            first[stream] + np.arange(len(stream), dtype=np.uint64)
        )
        self._counter += count
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
        return _QUANTILES[x.view(np.uint16).reshape(-1, 4)[:, :3]]


_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def _gaussian_quantiles(count: int) -> np.ndarray:
    """Quantiles `[count]` float32 of libmypaint's gaussian, by its exact CDF."""
    total = np.linspace(0, 4, 1 << 16)
    terms = [(1, 0), (-4, 1), (6, 2), (-4, 3)]
    cdf = sum(c * np.maximum(total - k, 0) ** 4 for c, k in terms) / 24
    middle = (np.arange(count) + 0.5) / count
    return (np.interp(middle, cdf, total) * _SCALE - _SHIFT).astype(np.float32)


_QUANTILES = _gaussian_quantiles(1 << 16)
