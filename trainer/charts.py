"""Three small SVG charts. Text is escaped; nothing is fetched when they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 150, 36, 48
# Okabe and Ito's colours, told apart by colour-blind readers too, and three more: ten digits need ten.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#332288", "#882255", "#999933",
    "#555555",
)  # fmt: skip


class _Axes:
    """Maps data to the page, and draws frame, ticks and names."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = _wide(x), _wide(y)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Page position of a point of the data."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def frame(self, title: str, x_name: str, y_name: str) -> list[str]:
        """Title, axes and five ticks on each."""
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        middle = (TOP + bottom) / 2
        size = f'width="{right - LEFT}" height="{bottom - TOP}"'
        lines = [
            f'<rect x="{LEFT}" y="{TOP}" {size} fill="none" stroke="#999"/>',
            _text(LEFT, TOP - 12, title, "start", 'font-weight="bold"'),
            _text((LEFT + right) / 2, HEIGHT - 10, x_name),
            _text(14, middle, y_name, extra=f'transform="rotate(-90 14 {middle:g})"'),
        ]
        for value in np.linspace(*self.x, 5):
            lines.append(_text(self.at(value, self.y[0])[0], bottom + 16, f"{value:.3g}"))
        for value in np.linspace(*self.y, 5):
            lines.append(_text(LEFT - 6, self.at(self.x[0], value)[1] + 4, f"{value:.4g}", "end"))
        return lines


def line_chart(curves: Mapping[str, Sequence[float]], title: str, x_name: str, y_name: str) -> str:
    """One line a name over 1, 2, 3 ...; names starting with `val_` are dashed, in their partner's colour."""
    values = np.concatenate([np.asarray(curve, float) for curve in curves.values()] or [np.zeros(1)])
    longest = max((len(curve) for curve in curves.values()), default=1)
    axes = _Axes((1, longest), _span(values))
    families = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    lines = axes.frame(title, x_name, y_name)
    for row, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[families.index(name.removeprefix("val_")) % len(COLOURS)]
        style = f'stroke="{colour}" stroke-width="1.5" fill="none"'
        style += ' stroke-dasharray="5 3"' if name.startswith("val_") else ""
        points = [axes.at(step, value) for step, value in enumerate(curve, 1) if np.isfinite(value)]
        lines.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" {style}/>')
        y = TOP + 12 + 18 * row
        left = WIDTH - RIGHT
        lines.append(f'<line x1="{left + 10}" x2="{left + 34}" y1="{y - 4}" y2="{y - 4}" {style}/>')
        lines.append(_text(left + 40, y, name.replace("_", " "), "start"))
    return _page(lines)


def bar_chart(values: Sequence[float], title: str, x_name: str, y_name: str) -> str:
    """One bar a value, from zero."""
    axes = _Axes((0.5, len(values) + 0.5), (0.0, max(values, default=1.0) or 1.0))
    lines = axes.frame(title, x_name, y_name)
    for index, value in enumerate(values, 1):
        (left, top), (right, bottom) = axes.at(index - 0.4, value), axes.at(index + 0.4, 0.0)
        size = f'width="{right - left:.2f}" height="{max(0.0, bottom - top):.2f}"'
        lines.append(f'<rect x="{left:.2f}" y="{top:.2f}" {size} fill="{COLOURS[0]}"/>')
    return _page(lines)


def scatter_chart(
    points: np.ndarray, names: Sequence[str] | None, title: str, x_name: str, y_name: str
) -> str:
    """Points [rows, 2], coloured by name when there are names; colours repeat after ten."""
    points = points[np.isfinite(points).all(axis=1)] if names is None else points
    axes = _Axes(_span(points[:, 0]), _span(points[:, 1]))
    lines = axes.frame(title, x_name, y_name)
    kinds = sorted(set(names or ()))
    for row, (x, y) in enumerate(points):
        colour = COLOURS[kinds.index(names[row]) % len(COLOURS)] if names else COLOURS[0]
        left, top = axes.at(x, y)
        lines.append(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="2" fill="{colour}" fill-opacity="0.6"/>')
    # Twenty names fill the page's height.
    for row, kind in enumerate(kinds[:18]):
        x, y, colour = WIDTH - RIGHT + 16, TOP + 12 + 17 * row, COLOURS[row % len(COLOURS)]
        lines.append(f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>')
        lines.append(_text(x + 10, y, kind[:18], "start"))
    return _page(lines)


def _page(lines: list[str]) -> str:
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    style = 'font-family="sans-serif" font-size="12"'
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    body = "\n".join([ground, *lines])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{body}\n</svg>\n'


def _text(x: float, y: float, words: str, anchor: str = "middle", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(words)}</text>'


def _span(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)


def _wide(ends: tuple[float, float]) -> tuple[float, float]:
    """The same ends, or a span around them when they coincide: one epoch, one point, equal values."""
    return ends if ends[1] > ends[0] else (ends[0] - 0.5, ends[0] + 0.5)
