# SPDX-License-Identifier: Apache-2.0
"""Lines: how a figure moves with what a question varies.

Cases whose names differ in one part alone, and each of which has a parameter of
its own, are one family: fanout/64/1, fanout/64/2, fanout/64/4. Each subject is a
line, labelled at its end; Tapio's is thick, floors' are dashed.
"""
from dataclasses import dataclass
from typing import Iterable

from report import svg, words
from report.bars import direction
from report.result import Case, Figure, Measured

HEIGHT = 250


@dataclass(frozen=True)
class Family:
    cases: tuple[Case, ...]  # by param
    label: str  # of the parameter

    @property
    def figures(self) -> tuple[Figure, ...]:
        return self.cases[0].figures


def families(cases: Iterable[Case]) -> list[Family]:
    """The families that can be drawn as lines. A case is in one family at most."""
    left = [c for c in cases if c.param]
    found = []
    while left:
        family: list[Case] = max((candidate for case in left
                                  for candidate in candidates(case, left)),
                                 key=len, default=[])
        if len(family) < 2:
            break
        found.append(Family(tuple(family), parameter(family)))
        left = [c for c in left if c not in family]
    return sorted(found, key=lambda f: f.cases[0].name)


def candidates(case: Case, cases: list[Case]) -> list[list[Case]]:
    """For each part of its name, those that differ from it there alone."""
    parts = case.name.split("/")
    found = []
    for i in range(len(parts)):
        alike = [c for c in cases if like(case, c, parts, i)]
        if len({c.param for c in alike}) == len(alike):
            found.append(sorted(alike, key=lambda c: c.param))
    return found


def like(case: Case, other: Case, parts: list[str], free: int) -> bool:
    theirs = other.name.split("/")
    return (len(theirs) == len(parts) and
            all(i == free or a == b
                for i, (a, b) in enumerate(zip(parts, theirs))) and
            (case.size, case.batch, case.figures) ==
            (other.size, other.batch, other.figures))


def parameter(family: list[Case]) -> str:
    """The varying parameter, in words: as the result says, or as the names let see."""
    if family[0].param_name:
        return family[0].param_name
    names = [case.name.split("/") for case in family]
    for before, parts in zip([[""]] + [list(x) for x in zip(*names)],
                             zip(*names)):
        if len(set(parts)) > 1:
            word = parts[0].strip("0123456789-_kMG")
            return word or before[0] or "parameter"
    return "parameter"


@dataclass(frozen=True)
class Point:
    param: int
    measured: Measured


@dataclass(frozen=True)
class Line:
    name: str
    kind: str
    points: tuple[Point, ...]
    style: str  # "-tapio", "-floor" or a number: of the classes of svg.py


def lines(family: Family, figure: int) -> list[Line]:
    names: dict[str, str] = {}
    for case in family.cases:
        for subject in case.measured():
            names.setdefault(subject.name, subject.kind)
    drawn = []
    tapio_seen = peers = 0
    for name, kind in names.items():
        # A second Tapio is told apart as a peer is.
        if kind == "floor" or (kind == "tapio" and not tapio_seen):
            style = f"-{kind}"
            tapio_seen += kind == "tapio"
        else:
            style = str(peers % len(svg.SERIES))
            peers += 1
        drawn.append(Line(name, kind, points(family, name, figure), style))
    return drawn


def points(family: Family, name: str, figure: int) -> tuple[Point, ...]:
    return tuple(Point(case.param, subject.figures[figure])
                 for case in family.cases for subject in case.measured()
                 if subject.name == name)


class Lines:
    """One plot being drawn."""

    def __init__(self, family: Family, figure: int, width: int, title: str):
        self.family = family
        self.figure = family.figures[figure]
        self.drawing = svg.Drawing(width, title)
        self.lines = lines(family, figure)
        medians = [p.measured.median for line in self.lines
                   for p in line.points]
        self.bottom = self._head_height() + HEIGHT
        self.y = svg.Scale(medians, self.bottom, self._head_height(),
                           svg.needs_log(medians),
                           self.figure.unit == "bytes")
        self.params = [case.param for case in family.cases]
        self.left, self.right = 82.0, width - self._label_width()

    def _head_height(self) -> float:
        folds = len(svg.folded(self.drawing.label, self.drawing.width - 24, 15))
        return 36 + 19 * folds

    def _label_width(self) -> float:
        longest = max((svg.wide(line.name, 11) for line in self.lines),
                      default=0)
        return min(longest + 40, 0.38 * self.drawing.width)

    def x(self, param: float) -> float:
        """The parameters stand at even distances: they grow by factors."""
        step = (self.right - self.left) / max(len(self.params) - 1, 1)
        return self.left + step * self.params.index(int(param))

    def draw(self) -> svg.Drawing:
        self._head()
        self._grid()
        # Tapio last, so that it lies on top.
        for line in sorted(self.lines, key=lambda one: one.kind == "tapio"):
            self._line(line)
        self._labels()
        self.drawing.height = max(self.bottom + 44,
                                  self._head_height() + 17 * len(self.lines))
        return self.drawing

    def _head(self) -> None:
        d = self.drawing
        for i, text in enumerate(svg.folded(d.label, d.width - 24, 15)):
            d.text(12, 24 + 19 * i, text, "t title")
        said = f"{self.figure.name}: {direction(self.figure)}"
        if self.y.log:
            said += "; logarithmic scale"
        d.text(12, 24 + 19 * i + 17, said, "s")

    def _grid(self) -> None:
        d = self.drawing
        for tick in self.y.ticks:
            y = self.y(tick)
            d.line(self.left - 6, y, self.right + 6, y, "grid")
            d.text(self.left - 12, y + 4,
                   words.exactly(tick, self.figure.unit),
                   "s small num", "end")
        for param in self.params:
            d.upright(self.x(param), self.bottom, self.bottom + 4, "axis")
            d.text(self.x(param), self.bottom + 17, words.short(param),
                   "s small num", "middle")
        d.text((self.left + self.right) / 2, self.bottom + 34,
               self.family.label, "s", "middle")

    def _line(self, line: Line) -> None:
        places = [(self.x(p.param), self.y(p.measured.median), p)
                  for p in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
        for x, y, point in places:
            self.drawing.upright(x, self.y(point.measured.least),
                                 self.y(point.measured.most), f"l{line.style}")
        self.drawing.add(svg.element("polyline", points=path,
                                     cls=f"line l{line.style}"))
        for x, y, _ in places:
            self.drawing.add(svg.element(
                "circle", cx=x, cy=y, r=4 if line.kind == "tapio" else 3,
                cls=f"d{line.style}"))

    def _labels(self) -> None:
        ends = [self.y(line.points[-1].measured.median) for line in self.lines]
        places = svg.apart(ends, 15, self._head_height(), self.bottom + 24)
        room = self.drawing.width - self.right - 34
        for line, end, place in zip(self.lines, ends, places):
            start = self.x(line.points[-1].param) + 7
            self.drawing.add(svg.element(
                "polyline", cls=f"line l{line.style}",
                points=f"{start:.1f},{end:.1f} {self.right + 12:.1f},{end:.1f} "
                f"{self.right + 24:.1f},{place:.1f}", style="stroke-width:1",
                stroke_opacity=0.6))
            cls = "t small strong" if line.kind == "tapio" else "t small"
            self.drawing.text(self.right + 28, place + 4,
                              svg.fitted(line.name, room, 11), cls)


def plots(family: Family, width: int = 720) -> list[svg.Drawing]:
    """One for each figure."""
    title = family_title(family)
    drawn = []
    for i, figure in enumerate(family.figures):
        label = f"{title}: {figure.name}" if len(family.figures) > 1 else title
        drawn.append(Lines(family, i, width, label).draw())
    return drawn


def family_title(family: Family) -> str:
    """The title that its cases share, with N where their numbers stand."""
    titles = [case.title.split(" ") for case in family.cases]
    if len({len(title) for title in titles}) > 1:
        return f"{family.cases[0].title}, and by {family.label}"
    return " ".join(column[-1] if len(set(column)) == 1 or
                    not column[-1][:1].isdigit() else "N"
                    for column in zip(*titles))
