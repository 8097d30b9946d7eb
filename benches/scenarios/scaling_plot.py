"""Curves as SVG, and as a table for those who want the numbers. Knows nothing of what was measured.

A plot is one file without scripts, fonts or links, so that it shows wherever it is put.
"""

import math
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 64, 56
COLOURS = ["#0b6bcb", "#c7411b", "#2a8a3e", "#8a4fbf", "#946200"]
STEPS = (1, 2, 2.5, 5, 10)
TICKS_MAX = 6


@dataclass
class Plot:
    """What a plot shows. `lines` maps a name to its points (x, y), x above 0."""

    name: str
    title: str
    x_title: str
    y_title: str
    lines: dict
    y_is_log: bool = False


def amount(value):
    """A number for an axis: 1,000 as 1k."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def svg(plot):
    points = [point for line in plot.lines.values() for point in line]
    across = Axis([x for x, _ in points], LEFT, WIDTH - RIGHT, is_log=True)
    up = Axis([y for _, y in points], HEIGHT - BOTTOM, TOP, is_log=plot.y_is_log)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(plot.title, quote=True)}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#ffffff"/>',
        text(LEFT, 26, plot.title, 'font-size="16" font-weight="600" fill="#1a1a1a"'),
        *grid(plot, across, up), *legend(plot)]
    for colour, (_, line) in zip(COLOURS, plot.lines.items()):
        parts += curve(sorted(line), across, up, colour)
    return "\n".join([*parts, "</svg>", ""])


class Axis:
    """From values to places. A linear one begins at 0, so that heights can be compared."""

    def __init__(self, values, first, last, is_log):
        self.first, self.last, self.is_log = first, last, is_log
        if is_log:
            self.low = math.floor(math.log10(min(values)) + 1e-9)
            self.high = max(math.ceil(math.log10(max(values)) - 1e-9), self.low + 1)
        else:
            top = max(values) or 1
            step = 10 ** math.floor(math.log10(top / TICKS_MAX))
            self.step = next(step * by for by in STEPS if top / (step * by) <= TICKS_MAX)
            self.low, self.high = 0, self.step * math.ceil(top / self.step * 1.02)

    def place(self, value):
        at = math.log10(value) if self.is_log else value
        return self.first + (at - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self):
        if self.is_log:
            return [10 ** exponent for exponent in range(self.low, self.high + 1)]
        return [self.step * number for number in range(round(self.high / self.step) + 1)]


def text(x, y, said, style=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(said)}</text>'


def grid(plot, across, up):
    parts, grey = [], 'fill="#555555"'
    for value in up.ticks():
        y = up.place(value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e3e3e3"/>')
        parts.append(text(LEFT - 8, y + 4, amount(value), f'text-anchor="end" {grey}'))
    for value in across.ticks():
        x = across.place(value)
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#f0f0f0"/>')
        parts.append(text(x, HEIGHT - BOTTOM + 20, amount(value), f'text-anchor="middle" {grey}'))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(text(middle, HEIGHT - 12, plot.x_title, f'text-anchor="middle" {grey}'))
    parts.append(text(LEFT - 56, TOP - 12, plot.y_title, grey))
    return parts


def legend(plot):
    if len(plot.lines) < 2:
        return []
    parts, x = [], WIDTH - RIGHT
    for colour, name in reversed(list(zip(COLOURS, plot.lines))):
        parts.append(text(x, TOP - 12, name, f'text-anchor="end" fill="{colour}" '
                                             'font-weight="600"'))
        x -= 8 * len(name) + 16
    return parts


def curve(line, across, up, colour):
    places = [(across.place(x), up.place(y)) for x, y in line]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"><title>'
            f"{amount(at[0])}: {at[1]:.4g}</title></circle>"
            for (x, y), at in zip(places, line)]
    return [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots]


def table(plot):
    """The same as a Markdown table, a row for each x."""
    names = list(plot.lines)
    xs = sorted({x for line in plot.lines.values() for x, _ in line})
    by_name = {name: dict(line) for name, line in plot.lines.items()}
    rows = [f"| {x:,g} | " + " | ".join(cell(by_name[name].get(x)) for name in names) + " |"
            for x in xs]
    return [f"| {plot.x_title} | {' | '.join(names)} |",
            f"| ---: |{' ---: |' * len(names)}", *rows]


def cell(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
