# SPDX-License-Identifier: Apache-2.0
"""Horizontal bars: the subjects of one case beside each other.

    name          |=======|--|              25.4 ns   3.1x
    floor         |//|                       5.1 ns   0.62x

A bar is a median, its whisker goes from the least to the most of the turns.
Figures of the same unit as the first (p99 beside p50) are marks on the same row.
Tapio has a colour, floors are hatched outlines, and a thin line through all rows
stands at the best floor. Best first.
"""

from report import svg, words
from report.result import Case, Figure, Subject

ROW = 26
ROW_OF_TWO_LINES = 36
BAR = 13
MARKS = ("circle", "diamond", "tick", "circle", "diamond")


def order(case: Case, figure: int = 0) -> list[Subject]:
    """Best first; those that failed last, those that are absent not at all."""
    sign = -1 if case.figures[figure].more_is_better else 1
    there = sorted(case.measured(),
                   key=lambda s: sign * s.figures[figure].median)
    return there + [s for s in case.subjects if s.status == "failed"]


def alike(case: Case) -> list[int]:
    """The figures that share the first one's axis."""
    return [i for i, figure in enumerate(case.figures)
            if figure.unit == case.figures[0].unit]


def values(case: Case, figures: list[int]) -> list[float]:
    taken = [s.figures[i].median for s in case.measured() for i in figures]
    return taken + [end for s in case.measured()
                    for end in (s.figures[0].least, s.figures[0].most)]


def direction(figure: Figure) -> str:
    return "more is better" if figure.more_is_better else "less is better"


def caption(case: Case, figures: list[int], log: bool) -> str:
    names = [case.figures[i].name for i in figures]
    said = [f"{names[0]}: {direction(case.figures[0])}"]
    if log:
        said.append("logarithmic scale")
    return "; ".join(said)


class Bars:
    """One plot being drawn."""

    def __init__(self, case: Case, width: int, title: str, name: str):
        self.case = case
        self.name = name
        self.figures = alike(case)
        self.drawing = svg.Drawing(width, title)
        self.rows = order(case)
        self.unit = case.figures[0].unit
        self.label_width = self._label_width(width)
        shown = values(case, self.figures)
        self.scale = svg.Scale(shown, self.label_width + 14, width - 152,
                               svg.needs_log(shown), self.unit == "bytes")

    def _label_width(self, width: int) -> float:
        longest = max((svg.wide(s.name) for s in self.rows), default=0)
        return min(longest + 12, 0.34 * width)

    def draw(self) -> svg.Drawing:
        self.drawing.add(svg.hatching(self.name))
        y = self._head()
        top = y
        lines = [svg.folded(s.name, self.label_width) for s in self.rows]
        heights = [ROW_OF_TWO_LINES if len(n) > 1 else ROW for n in lines]
        self._grid(top, top + sum(heights))
        for subject, label, height in zip(self.rows, lines, heights):
            self._row(subject, label, y + height / 2)
            y += height
        self._level(top, top + sum(heights[:len(self.case.measured())]))
        self.drawing.height = y + 26
        return self.drawing

    def _head(self) -> float:
        d = self.drawing
        for i, line in enumerate(svg.folded(d.label, d.width - 24, 15)):
            d.text(12, 24 + 19 * i, line, "t title")
        y = 24 + 19 * i + 17
        d.text(12, y, caption(self.case, self.figures, self.scale.log), "s")
        x = 12 + svg.wide(caption(self.case, self.figures,
                                  self.scale.log)) + 24
        for n, figure in enumerate(self.figures[1:]):
            d.add(mark(n, x, y - 4))
            label = self.case.figures[figure].name
            d.text(x + 9, y, label, "s")
            x += svg.wide(label) + 30
        if self.case.tapio():
            d.text(d.width - 12, y, "to Tapio", "s small", "end")
        return y + 10

    def _grid(self, top: float, bottom: float) -> None:
        for tick in self.scale.ticks:
            x = self.scale(tick)
            self.drawing.upright(x, top, bottom, "grid")
            self.drawing.text(x, bottom + 16, words.exactly(tick, self.unit),
                              "s small num", "middle")

    def _level(self, top: float, bottom: float) -> None:
        floor = self.case.best("floor")
        if floor:
            self.drawing.upright(self.scale(floor.figures[0].median), top,
                                 bottom, "level")

    def _label(self, subject: Subject, label: list[str], y: float) -> None:
        cls = "t strong" if subject.kind == "tapio" else "t"
        if subject.kind == "floor":
            cls = "s"
        start = y + 4 - 7 * (len(label) - 1)
        for i, line in enumerate(label):
            self.drawing.text(self.label_width + 4, start + 14 * i, line, cls,
                              "end")

    def _row(self, subject: Subject, label: list[str], y: float) -> None:
        self._label(subject, label, y)
        if subject.status == "failed":
            room = self.drawing.width - self.label_width - 30
            self.drawing.text(self.label_width + 18, y + 4, svg.fitted(
                f"failed: {subject.why}", room), "bad strong")
            return
        self._bar(subject, y)
        first = subject.figures[0]
        right = self.drawing.width
        strong = " strong" if subject.kind == "tapio" else ""
        self.drawing.text(right - 74, y + 4,
                          words.quantity(first.median, self.unit),
                          f"t num{strong}", "end")
        self.drawing.text(right - 12, y + 4, words.ratio(first.ratio),
                          "s num", "end")

    def _bar(self, subject: Subject, y: float) -> None:
        d, first = self.drawing, subject.figures[0]
        start, end = self.scale.start, self.scale(first.median)
        if subject.kind == "floor":
            d.box(start, y - BAR / 2, end - start, BAR, "floor",
                  style=f"fill:url(#{self.name})")
        else:
            d.box(start, y - BAR / 2, end - start, BAR, subject.kind)
        if first.least < first.most:
            d.whisker(self.scale(first.least), self.scale(first.most), y)
        for n, figure in enumerate(self.figures[1:]):
            d.add(mark(n, self.scale(subject.figures[figure].median), y))


def mark(number: int, x: float, y: float) -> str:
    shape = MARKS[number % len(MARKS)]
    if shape == "circle":
        return svg.element("circle", cx=x, cy=y, r=3.5, cls="mark")
    if shape == "diamond":
        return svg.element("path", cls="mark", d=f"M{x:.1f} {y - 4.5:.1f}l4.5 "
                           "4.5-4.5 4.5-4.5-4.5z")
    return svg.element("rect", x=x - 1.2, y=y - 5, width=2.4, height=10,
                       cls="mark")


def bars(case: Case, name: str, width: int = 720,
         title: str | None = None) -> svg.Drawing:
    """name: an id that is used nowhere else on the page."""
    return Bars(case, width, title or case.title, name).draw()
