"""libmypaint's stroke loop, one dab at a time: what the loop-free one must equal."""

import math


class SequentialBrush:
    """One pen. `dabs` collects (x, y, radius, opaque, hardness); draws count too."""

    def __init__(self, brush, version="1.3", uniform=lambda: 0.5):
        self.brush, self.version, self.uniform = brush, version, uniform
        self.x = self.y = 0.0
        self.pen_up = True
        self.dabs = []
        self._clear(0.0, 0.0)

    def _clear(self, x, y):
        self.x, self.y, self.actual = x, y, [x, y]
        self.pressure = self.radius = self.partial = 0.0
        self.slow = [0.0, 0.0]

    def move(self, y, x):
        f = 1 - _decay(self.brush.slow_tracking, 100 * DT)
        self._clear(self.x + (x - self.x) * f, self.y + (y - self.y) * f)
        self.pen_up = True

    def paint(self, start, control, end, radius, p0, p1):
        self.base = math.log(radius)
        if self.pen_up:
            self._call(start[1], start[0], 0.0, DT - 1e-4)
            self._call(start[1], start[0], p1, 1e-4)
        for i in range(1, 51):
            t = i / 50
            y, x = (
                (1 - t) ** 2 * s + 2 * t * (1 - t) * c + t * t * e
                for s, c, e in zip(start, control, end, strict=True)
            )
            self._call(x, y, p0 + (p1 - p0) * t, DT)
        self.pen_up = False

    def _remaining(self, x, y, dt):
        b, base = self.brush, math.exp(self.base)
        if self.radius == 0:
            self.radius = base
        distance = math.hypot(x - self.x, y - self.y)
        per_pixel = b.dabs_per_actual_radius / self.radius
        per_pixel += b.dabs_per_basic_radius / base
        return distance * per_pixel + dt * b.dabs_per_second

    def _call(self, x, y, pressure, dt):
        f = 1 - _decay(self.brush.slow_tracking, 100 * dt)
        x, y = self.x + (x - self.x) * f, self.y + (y - self.y) * f
        moved, todo = self.partial, self._remaining(x, y, dt)
        while moved + todo >= 1:
            step = 1 - moved
            moved = 0.0
            part = step / todo
            dtime = part * dt
            self._update(
                step,
                part * (x - self.x),
                part * (y - self.y),
                part * (pressure - self.pressure),
                dtime,
            )
            self._dab()
            dt -= dtime
            todo = self._remaining(x, y, dt)
        self._update(todo, x - self.x, y - self.y, pressure - self.pressure, dt)
        self.partial = moved + todo

    def _update(self, ddab, dx, dy, dp, dt):
        b = self.brush
        self.uniform()  # the input 'random', which no modelled brush reads
        dt = dt if dt > 0 else 0.001
        self.x, self.y = self.x + dx, self.y + dy
        self.pressure = max(self.pressure + dp, 0.0)
        speed = math.hypot(dx, dy) / dt
        if self.version == "1.3":
            speed /= math.exp(self.base)
        self.inputs = {"pressure": self.pressure}
        for i, gamma in enumerate((b.speed1_gamma, b.speed2_gamma)):
            g = math.exp(gamma)
            m = 0.015 * (45 + g)
            q = 0.5 - m * math.log(45 + g)
            self.inputs[f"speed{i + 1}"] = math.log(g + self.slow[i]) * m + q
        f = 1 - _decay(b.slow_tracking_per_dab(self.inputs), ddab)
        self.actual[0] += (self.x - self.actual[0]) * f
        self.actual[1] += (self.y - self.actual[1]) * f
        for i, slowness in enumerate((b.speed1_slowness, b.speed2_slowness)):
            self.slow[i] += (speed - self.slow[i]) * (1 - _decay(slowness, dt))
        self.log_radius = b.radius_logarithmic(self.inputs, base=self.base)
        self.radius = _clip(math.exp(self.log_radius), 0.2, 1000)

    def _gauss(self):
        return sum(self.uniform() for _ in range(4)) * 3**0.5 - 2 * 3**0.5

    def _dab(self):
        b, (x, y), base = self.brush, self.actual, math.exp(self.base)
        opaque = max(b.opaque(self.inputs), 0) * b.opaque_multiply(self.inputs)
        opaque = _clip(opaque, 0, 1)
        if b.opaque_linearize:
            n = max(1, 2 * (b.dabs_per_actual_radius + b.dabs_per_basic_radius))
            opaque = 1 - (1 - opaque) ** (1 / (1 + b.opaque_linearize * (n - 1)))
        spread = b.offset_by_random(self.inputs)
        if spread:
            x += self._gauss() * max(spread, 0) * base
            y += self._gauss() * max(spread, 0) * base
        radius, jitter = self.radius, b.radius_by_random(self.inputs)
        if jitter:
            radius = math.exp(self.log_radius + self._gauss() * jitter)
            radius = _clip(radius, 0.2, 1000)
            opaque *= min((self.radius / radius) ** 2, 1)
        hardness = _clip(b.hardness(self.inputs), 0, 1)
        fade = b.anti_aliasing(self.inputs)
        if radius * (1 - hardness) < fade:
            optical = radius - (1 - hardness) * radius / 2
            hardness = (optical - fade / 2) / (optical + fade / 2)
            radius = fade / (1 - hardness)
        self.dabs.append((x, y, radius, opaque, hardness))


DT = 0.10000000149011612  # float32's 0.1


def _decay(time, t):
    return math.exp(-t / time) if time > 0.001 else 0.0


def _clip(value, low, high):
    return min(max(value, low), high)
