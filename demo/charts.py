"""Charts as inline SVG. Colours come from the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 280
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 46
EDGE, FLOOR = WIDTH - RIGHT, HEIGHT - BOTTOM  # where the plot ends


@dataclass
class Series:
    name: str
    style: str  # a class of the style sheet: "one", "two" or "three"
    values: Sequence[float]
    filled: bool = False


@dataclass
class Axis:
    low: float
    high: float
    ticks: list[float]
    logarithmic: bool = False

    @classmethod
    def linear(cls, low: float, high: float, count: int = 5) -> Axis:
        """About `count` ticks at round numbers between the ends."""
        span = (high - low) or 1.0
        rough = span / count
        unit = 10 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
        first = math.ceil(low / step - 1e-9)
        last = math.floor(high / step + 1e-9)
        return cls(low, high, [round(step * i, 12) for i in range(first, last + 1)])

    @classmethod
    def decades(cls, low: float, high: float) -> Axis:
        """A logarithmic axis, its ticks at 1 and 3 times powers of ten."""
        low, high = low / 1.15, high * 1.15
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [factor * 10.0**e for e in exponents for factor in (1, 3)]
        return cls(low, high, [tick for tick in ticks if low <= tick <= high], logarithmic=True)

    def place(self, value: float) -> float:
        """Where `value` lies between the ends, 0 to 1; beyond that outside them."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / ((self.high - self.low) or 1.0)


def lines(
    title: str,
    xs: Sequence[float],
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    x_label: str,
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
    mark: tuple[float, str] | None = None,
) -> str:
    """Lines over a common x, with a legend; the page's script shows the values under the pointer.

    `title` is unique on the page; `mark` is a value of y with its caption, drawn as a dashed line.
    """
    parts = [_frame(x, y, x_label, x_text, y_text)]
    if mark is not None and y.low <= mark[0] <= y.high:
        at = _y(y, mark[0])
        parts.append(f'<line class="mark" x1="{LEFT}" x2="{EDGE}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="marked" x="{EDGE}" y="{at + 17:.1f}">{escape(mark[1])}</text>')
    places = [round(_x(x, value), 1) for value in xs]
    inside = f'x="{LEFT}" y="{TOP}" width="{EDGE - LEFT}" height="{FLOOR - TOP}"'
    parts.append(f'<clipPath id="{escape(title, quote=True)}"><rect {inside}/></clipPath>')
    parts.append(f'<g clip-path="url(#{escape(title, quote=True)})">')
    for one in series:
        points = [f"{px:.1f},{_y(y, value):.1f}" for px, value in zip(places, one.values, strict=True)]
        if one.filled:
            parts.append(
                f'<path class="area {one.style}" d="M{places[0]},{FLOOR}L{"L".join(points)}L{places[-1]},{FLOOR}Z"/>'
            )
        parts.append(f'<path class="line {one.style}" d="M{"L".join(points)}"/>')
        if len(points) == 1:  # a path of one point is invisible
            cx, cy = points[0].split(",")
            parts.append(f'<circle class="dot {one.style}" cx="{cx}" cy="{cy}" r="3"/>')
    parts.append("</g>")
    hover = {
        "x": places,
        "head": [x_text(value) for value in xs],
        "rows": [[y_text(value) for value in one.values] for one in series],
    }
    legend = "".join(
        f'<li class="{one.style}"><span class="key"></span>{escape(one.name)} <b></b></li>' for one in series
    )
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<ul class="legend">{legend}<li class="head"></li></ul>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">{"".join(parts)}'
        f'<line class="cursor" y1="{TOP}" y2="{FLOOR}"/></svg>'
        f'<script type="application/json">{json.dumps(hover)}</script></figure>'
    )


def bars(rows: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars: name, length relative to the longest, and the text at the end."""
    longest = max((length for _, length, _ in rows), default=0.0) or 1.0
    cells = "".join(
        f'<div class="bar"><span class="name" title="{escape(name, quote=True)}">{escape(name)}</span>'
        f'<span class="value">{escape(text)}</span>'
        f'<span class="track"><i style="width:{100 * length / longest:.2f}%"></i></span></div>'
        for name, length, text in rows
    )
    return f'<div class="bars">{cells}</div>'


def digit(pixels: Sequence[Sequence[float]], label: str) -> str:
    """An image as squares of ink."""
    ink = "".join(
        f'<rect x="{column}" y="{row}" width="1.02" height="1.02" opacity="{value:.2f}"/>'
        for row, line in enumerate(pixels)
        for column, value in enumerate(line)
        if value > 0
    )
    return f'<svg class="digit" viewBox="-0.5 -0.5 9 9" role="img" aria-label="{escape(label, quote=True)}">{ink}</svg>'


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (EDGE - LEFT)


def _y(axis: Axis, value: float) -> float:
    return FLOOR - axis.place(value) * (FLOOR - TOP)


def _frame(x: Axis, y: Axis, x_label: str, x_text: Callable[[float], str], y_text: Callable[[float], str]) -> str:
    parts = []
    for tick in y.ticks:
        at = _y(y, tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{EDGE}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="y" x="{LEFT - 8}" y="{at + 4:.1f}">{escape(y_text(tick))}</text>')
    for tick in x.ticks:
        parts.append(f'<text class="x" x="{_x(x, tick):.1f}" y="{FLOOR + 20}">{escape(x_text(tick))}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{EDGE}" y1="{FLOOR}" y2="{FLOOR}"/>')
    parts.append(f'<text class="x label" x="{(LEFT + EDGE) / 2}" y="{HEIGHT - 4}">{escape(x_label)}</text>')
    return "".join(parts)
