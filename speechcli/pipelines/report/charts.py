"""SVG charts for the report: curves over steps, and maps over time."""

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 560, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 28
MAX_POINTS = 300
ROW_HEIGHT, LABEL_WIDTH = 18, 110


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    points: Sequence[tuple[float, float]]
    """(step, value), in order of steps."""
    smooth: bool = False
    """Draw the running mean, and the values themselves faintly."""


def line_chart(title: str, series: Sequence[Series], *, note: str = "") -> str:
    """Draw values over steps; empty if there are none.

    Args:
        title: title of the chart.
        series: drawn in the page's colors 1, 2, …; if there are several, with a legend.
        note: description of the values, beside the title.
    """
    shown = [Series(one.name, _thinned(one.points), one.smooth) for one in series]
    shown = [one for one in shown if one.points]
    if not shown:
        return ""
    steps = [step for one in shown for step, _ in one.points]
    values = [value for one in shown for _, value in one.points]
    x_scale = _Scale(min(steps), max(steps), LEFT, WIDTH - RIGHT)
    y_ticks = ticks(min(values), max(values))
    y_scale = _Scale(min(y_ticks[0], *values), max(y_ticks[-1], *values), HEIGHT - BOTTOM, TOP)
    parts = [_grid(y_ticks, y_scale), _steps(x_scale)]
    parts += [_line(number, one, x_scale, y_scale) for number, one in enumerate(shown, start=1)]
    names = [f'<span class="key s{number}">{escape(one.name)}</span>' for number, one in enumerate(shown, start=1)]
    legend = f'<p class="legend">{" ".join(names)}</p>' if len(shown) > 1 else ""
    return (
        f'<figure class="chart"><figcaption>{escape(title)} <small>{escape(note)}</small></figcaption>{legend}'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )


def heat_map(title: str, values: NDArray[np.float32], labels: Sequence[str], *, seconds: float, note: str = "") -> str:
    """Draw one row of squares per token, with time from left to right.

    Args:
        title: title of the chart.
        values: (rows, columns) between 0 and 1.
        labels: (rows,) labels of the rows.
        seconds: duration of all columns together.
        note: description of the values, beside the title.
    """
    rows = len(labels)
    height = rows * ROW_HEIGHT
    right = WIDTH + LABEL_WIDTH - RIGHT
    scale = _Scale(0.0, seconds, LABEL_WIDTH, right)
    names = "".join(
        f'<text class="token" x="{LABEL_WIDTH - 8}" y="{(row + 0.7) * ROW_HEIGHT:.1f}">{escape(_short(label))}</text>'
        for row, label in enumerate(labels)
    )
    times = "".join(
        f'<text class="tick" x="{scale(tick):.1f}" y="{height + 18}" text-anchor="middle">{number(tick)} s</text>'
        for tick in ticks(0.0, seconds)
        if tick <= seconds
    )
    image = base64.b64encode(_png(values)).decode()
    return (
        f'<figure class="map"><figcaption>{escape(title)} <small>{escape(note)}</small></figcaption>'
        f'<svg viewBox="0 0 {WIDTH + LABEL_WIDTH} {height + 26}" role="img" aria-label="{escape(title)}">{names}'
        f'<rect class="frame" x="{LABEL_WIDTH}" y="0" width="{right - LABEL_WIDTH}" height="{height}"/>'
        f'<image x="{LABEL_WIDTH}" y="0" width="{right - LABEL_WIDTH}" height="{height}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{image}"/>{times}</svg></figure>'
    )


def ticks(low: float, high: float, *, count: int = 4) -> list[float]:
    """Return round numbers that cover a range."""
    span = (high - low) or abs(high) or 1.0
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def number(value: float) -> str:
    """Format a number briefly for an axis."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e").replace(".0e", "e")
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


class _Scale:
    """A linear map from values to coordinates."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = low, high
        self._start, self._slope = start, (end - start) / ((high - low) or 1.0)

    def __call__(self, value: float) -> float:
        return self._start + (value - self.low) * self._slope


def _grid(values: Sequence[float], scale: _Scale) -> str:
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{scale(value):.1f}" y2="{scale(value):.1f}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{scale(value) + 4:.1f}" text-anchor="end">{number(value)}</text>'
        for value in values
    )


def _steps(scale: _Scale) -> str:
    inside = [tick for tick in ticks(scale.low, scale.high, count=5) if scale.low <= tick <= scale.high]
    return "".join(
        f'<text class="tick" x="{scale(tick):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{number(tick)}</text>'
        for tick in inside
    )


def _line(color: int, series: Series, x: _Scale, y: _Scale) -> str:
    raw = _path(series.points, x, y)
    drawn = f'<path class="line s{color}" d="{raw}"/>'
    if series.smooth and len(series.points) > 8:
        mean = _path(_running_mean(series.points), x, y)
        drawn = f'<path class="line faint s{color}" d="{raw}"/><path class="line s{color}" d="{mean}"/>'
    hover = "".join(
        f'<circle class="dot s{color}" cx="{x(step):.1f}" cy="{y(value):.1f}" r="5">'
        f"<title>{escape(series.name)}, step {step:,.0f}: {number(value)}</title></circle>"
        for step, value in series.points
    )
    return drawn + hover


def _path(points: Sequence[tuple[float, float]], x: _Scale, y: _Scale) -> str:
    return "M" + "L".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points)


def _running_mean(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Replace each value by the mean of its neighbors, a twentieth of the run together."""
    values = [value for _, value in points]
    smooth = []
    for place, (step, _) in enumerate(points):
        reach = min(max(len(points) // 40, 1), place, len(points) - 1 - place)  # as far to both sides
        smooth.append((step, float(np.mean(values[place - reach : place + reach + 1]))))
    return smooth


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Drop values that are not finite, and average neighbors if there are very many points."""
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    if len(finite) <= MAX_POINTS:
        return finite
    return [
        (float(np.mean([step for step, _ in group])), float(np.mean([value for _, value in group])))
        for group in np.array_split(np.array(finite), MAX_POINTS)
    ]


def _png(values: NDArray[np.float32]) -> bytes:
    """Encode (rows, columns) between 0 and 1 as the opacity of one color, so that any background suits."""
    alpha = np.clip(np.nan_to_num(values) * 255, 0, 255).astype(np.uint8)
    pixels = np.empty((*alpha.shape, 4), dtype=np.uint8)
    pixels[..., :3], pixels[..., 3] = (57, 135, 229), alpha
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">2I5B", alpha.shape[1], alpha.shape[0], 8, 6, 0, 0, 0)  # 8 bits a channel, with opacity
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _short(label: str) -> str:
    return label if len(label) <= 14 else label[:13] + "…"
