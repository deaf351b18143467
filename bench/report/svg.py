# SPDX-License-Identifier: Apache-2.0
"""A little SVG: elements, one style for all plots, and scales of axes.

Plots use classes and plain colours alone: no scripts, no custom properties (not
every program that draws SVG knows them) and no file but this one. A drawing is
readable on light and on dark ground; on its own it brings its ground along, since
the page around it may be of the other kind.
"""
import math
from typing import Sequence

from report.words import escape

# Of the plots and of the page: name, on light ground, on dark ground.
COLOURS = {
    "ground": ("#ffffff", "#14181b"),
    "ink": ("#1b2126", "#e8ebed"),
    "soft": ("#5b6670", "#9aa5ae"),
    "line": ("#dfe4e8", "#2c343a"),
    "tapio": ("#14804a", "#3fc380"),
    "peer": ("#9fb0bf", "#5d7080"),
    "floor": ("#8a939b", "#8a959e"),
    "bad": ("#c1121f", "#ff6b6b"),
}

# Lines that are told apart by colour, dash and mark.
SERIES = (
    ("#0072b2", "#56b4e9"), ("#c05000", "#ff9955"), ("#a8558a", "#e09ac6"),
    ("#9a7400", "#e6b800"), ("#5b5fc7", "#a3a6f5"), ("#7a5a45", "#c9a58c"),
    ("#287d8e", "#6fd0e0"), ("#6b7280", "#aab2bd"),
)
DASHES = ("", "6 3", "2 3", "8 3 2 3")

FONT = ("system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', "
        "'DejaVu Sans', Arial, sans-serif")

RULES = (
    (".ground", "fill", "ground"), (".t", "fill", "ink"),
    (".s", "fill", "soft"), (".tapio", "fill", "tapio"),
    (".peer", "fill", "peer"), (".bad", "fill", "bad"),
    (".grid", "stroke", "line"), (".axis", "stroke", "soft"),
    (".whisker", "stroke", "ink"), (".halo", "stroke", "ground"),
    (".floor", "stroke", "floor"), (".hatch", "stroke", "floor"),
    (".level", "stroke", "floor"), (".mark", "stroke", "ink"),
    (".mark", "fill", "ground"), (".l-tapio", "stroke", "tapio"),
    (".l-floor", "stroke", "floor"), (".d-tapio", "fill", "tapio"),
    (".d-floor", "fill", "floor"),
)


def colour_rules(dark: int) -> str:
    rules = [f"{selector}{{{what}:{COLOURS[name][dark]}}}"
             for selector, what, name in RULES]
    for i, colours in enumerate(SERIES):
        rules.append(f".l{i}{{stroke:{colours[dark]}}}")
        rules.append(f".d{i}{{fill:{colours[dark]}}}")
    return "".join(f".plot {rule}" for rule in rules)


def style() -> str:
    """The rules that all plots of a page, or one plot alone, need."""
    dashes = "".join(f".plot .l{i}{{stroke-dasharray:{DASHES[i % 4]}}}"
                     for i in range(len(SERIES)) if DASHES[i % 4])
    return (
        f".plot text{{font-family:{FONT};font-size:12px}}"
        ".plot .small{font-size:11px}.plot .title{font-size:15px;font-weight:600}"
        ".plot .strong{font-weight:600}"
        ".plot .num{font-variant-numeric:tabular-nums}"
        ".plot .grid{stroke-width:1}.plot .axis{stroke-width:1}"
        ".plot .whisker{stroke-width:1.3}"
        ".plot .halo{stroke-width:4;stroke-opacity:.75}"
        ".plot .floor{fill:none;stroke-width:1;stroke-dasharray:3 2}"
        ".plot .hatch{stroke-width:1.2}"
        ".plot .level{stroke-width:1;stroke-dasharray:3 3}"
        ".plot .mark{stroke-width:1.3}"
        ".plot .line{fill:none;stroke-width:1.6}"
        ".plot .l-tapio{stroke-width:3}"
        f".plot .l-floor{{stroke-dasharray:3 2}}{dashes}"
        f"{colour_rules(0)}"
        f"@media screen and (prefers-color-scheme:dark){{{colour_rules(1)}}}")


Value = str | int | float


def attribute(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return escape(str(value))


def element(tag: str, body: str = "", **attributes: Value) -> str:
    """cls is the class; _ in a name stands for a hyphen."""
    written = "".join(
        f' {"class" if k == "cls" else k.replace("_", "-")}="{attribute(v)}"'
        for k, v in attributes.items() if v != "")
    return f"<{tag}{written}>{body}</{tag}>" if body else f"<{tag}{written}/>"


class Drawing:
    """Elements in the order in which they are drawn."""

    def __init__(self, width: int, label: str):
        self.width = width
        self.height = 0.0
        self.label = label
        self.parts: list[str] = []

    def add(self, part: str) -> None:
        self.parts.append(part)

    def text(self, x: float, y: float, text: str, cls: str = "t",
             anchor: str = "start") -> None:
        self.add(element("text", escape(text), x=x, y=y, cls=cls,
                         text_anchor=anchor))

    def line(self, x1: float, y1: float, x2: float, y2: float,
             cls: str) -> None:
        self.add(element("line", x1=x1, y1=y1, x2=x2, y2=y2, cls=cls))

    def box(self, x: float, y: float, width: float, height: float, cls: str,
            style: str = "") -> None:
        self.add(element("rect", x=x, y=y, width=max(width, 0.5),
                         height=height, cls=cls, rx=2, style=style))

    def whisker(self, x1: float, x2: float, y: float) -> None:
        """From least to most, with a halo so that it shows on bars too."""
        for cls in ("halo", "whisker"):
            self.line(x1, y, x2, y, cls)
            for x in (x1, x2):
                self.line(x, y - 3.5, x, y + 3.5, cls)

    def upright(self, x: float, y1: float, y2: float, cls: str) -> None:
        self.line(x, y1, x, y2, cls)

    def inline(self) -> str:
        """For an HTML page that has style()."""
        return self._wrap("")

    def alone(self) -> str:
        """A file of its own."""
        ground = element("rect", x=0, y=0, width=self.width,
                         height=self.height, cls="ground", rx=6)
        head = ('<?xml version="1.0" encoding="UTF-8"?>\n'
                "<!-- SPDX-License-Identifier: Apache-2.0 -->\n")
        return head + self._wrap(f"<style>{style()}</style>\n{ground}") + "\n"

    def _wrap(self, before: str) -> str:
        body = "\n".join(part for part in
                         [element("title", escape(self.label)), before,
                          *self.parts] if part)
        return element(
            "svg", f"\n{body}\n", xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {self.width} {attribute(self.height)}",
            width=self.width, height=self.height, cls="plot", role="img")


def hatching(name: str) -> str:
    """A pattern for what is no product but a limit; fill="url(#name)"."""
    stroke = element("line", x1=0, y1=0, x2=0, y2=6, cls="hatch")
    pattern = element("pattern", stroke, id=name, width=5, height=5,
                      patternUnits="userSpaceOnUse",
                      patternTransform="rotate(45)")
    return element("defs", pattern)


# ---- scales -----------------------------------------------------------------


class Scale:
    """From values to places on an axis."""

    def __init__(self, values: Sequence[float], start: float, end: float,
                 log: bool, binary: bool = False):
        """start and end are places; values are what has to fit; binary is for
        what is counted in powers of two."""
        self.log = log
        self.start = start
        self.end = end
        positive = [v for v in values if v > 0]
        top = max(positive, default=1.0)
        if log and binary:
            self.ticks = binary_log_ticks(min(positive, default=top), top)
            self.low, self.high = self.ticks[0], self.ticks[-1]
        elif log:
            self.ticks = log_ticks(min(positive, default=top), top)
            self.low, self.high = self.ticks[0], self.ticks[-1]
        else:
            self.ticks = (binary_ticks if binary else linear_ticks)(top)
            self.low, self.high = 0.0, self.ticks[-1]

    def __call__(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.log:
            part = (math.log(value / self.low) /
                    math.log(self.high / self.low))
        else:
            part = value / self.high
        return self.start + part * (self.end - self.start)


def needs_log(values: Sequence[float], factor: float = 12) -> bool:
    """Whether the small ones would vanish beside the large ones."""
    positive = [v for v in values if v > 0]
    return bool(positive) and max(positive) > factor * min(positive)


def linear_ticks(top: float) -> list[float]:
    """From 0 to at least top in three to six round steps."""
    power = 10.0 ** math.floor(math.log10(top))
    for step in (0.2, 0.5, 1.0, 2.0):
        size = step * power
        steps = math.ceil(top / size - 1e-9)
        if steps <= 6:
            return [i * size for i in range(steps + 1)]
    return [0.0, 5 * power, 10 * power]


def log_ticks(least: float, most: float) -> list[float]:
    """Round figures around least and most, with room to the left of least."""
    low = math.floor(math.log10(least * 0.7))
    high = math.ceil(math.log10(most) + 1e-9)
    every = [m * 10.0**e for e in range(low, high + 1) for m in (1, 2, 5)]
    first = max(i for i, tick in enumerate(every) if tick <= least * 0.7)
    last = min(i for i, tick in enumerate(every) if tick >= most * 0.999)
    ticks = every[first:max(last, first + 1) + 1]
    if len(ticks) <= 6:
        return ticks
    # The ends stay where they are: only those between are thinned out.
    tens = [t for t in ticks[1:-1] if is_power(t) and
            t > 3 * ticks[0] and 3 * t < ticks[-1]]
    return [ticks[0], *tens, ticks[-1]]


def binary_ticks(top: float) -> list[float]:
    step = 2.0 ** math.ceil(math.log2(top / 6))
    return [i * step for i in range(math.ceil(top / step - 1e-9) + 1)]


def binary_log_ticks(least: float, most: float) -> list[float]:
    low = math.floor(math.log2(least * 0.7))
    high = max(math.ceil(math.log2(most) - 1e-9), low + 1)
    step = math.ceil((high - low) / 6)
    return [2.0**(low + i * step) for i in
            range(math.ceil((high - low) / step) + 1)]


def is_power(value: float) -> bool:
    exponent = math.log10(value)
    return abs(exponent - round(exponent)) < 1e-6


def apart(places: Sequence[float], gap: float, low: float,
          high: float) -> list[float]:
    """The places, in the same order, moved so that none is within gap."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = [0.0] * len(places)
    before = low - gap
    for i in order:
        moved[i] = before = max(places[i], before + gap)
    after = high + gap
    for i in reversed(order):
        moved[i] = after = min(moved[i], after - gap)
    return moved


def wide(text: str, size: float = 12) -> float:
    """About how many pixels a text takes, in a font that is none of the narrow."""
    narrow = sum(c in "ijltfr.,:;|'!()[] I" for c in text)
    broad = sum(c in "mwMW@%\u2014" for c in text)
    return size * (0.62 * len(text) - 0.27 * narrow + 0.28 * broad)


def fitted(text: str, width: float, size: float = 12) -> str:
    """The text, with an ellipsis where it is too long."""
    if wide(text, size) <= width:
        return text
    while text and wide(text + "\u2026", size) > width:
        text = text[:-1]
    return text.rstrip() + "\u2026"


def folded(text: str, width: float, size: float = 12) -> list[str]:
    """The text on one line, or on two."""
    if wide(text, size) <= width:
        return [text]
    words = text.split(" ")
    for n in range(len(words) - 1, 0, -1):
        first = " ".join(words[:n])
        if wide(first, size) <= width:
            return [first, fitted(" ".join(words[n:]), width, size)]
    return [fitted(text, width, size)]
