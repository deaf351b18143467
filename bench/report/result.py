# SPDX-License-Identifier: Apache-2.0
"""The output of tapio-bench --json, read and checked.

load() is the only way in. Its result is complete and of the right types, so that
nothing behind it has to ask. It refuses a damaged file with the place in the file
("questions[1].cases[0].bytes: ...") and an exit status. The format is described in
docs/man/tapio-bench.1, and bench/frame/json.c writes it.
"""
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, TypeVar

FORMAT = "tapio-bench"
FORMAT_VERSION = 1

EXIT_FAILURE = 1
EXIT_DAMAGED = 3
EXIT_OTHER_VERSION = 4

T = TypeVar("T")


class ReportError(Exception):
    """A message for the user, and the exit status that goes with it."""

    def __init__(self, message: str, status: int = EXIT_FAILURE):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Figure:
    name: str
    unit: str
    more_is_better: bool


@dataclass(frozen=True)
class Measured:
    median: float
    least: float
    most: float
    ratio: float | None  # to Tapio, in the same turns
    turns: tuple[float, ...]


@dataclass(frozen=True)
class Subject:
    name: str
    peer: str
    variant: str | None
    kind: str  # "tapio", "peer", "floor"
    status: str  # "ok", "absent", "failed"
    why: str
    figures: tuple[Measured, ...]  # of the case's figures; none unless ok


@dataclass(frozen=True)
class Goal:
    text: str
    kind: str  # "value", "subject", "best_peer"
    against: str
    figure: int
    limit: float
    value: float | None
    reached: bool | None  # None: it could not be judged
    why: str
    plus: str  # whose figure is added to that of `against`, or ""
    note: str  # what the floor says of a goal that is missed, or ""


@dataclass(frozen=True)
class Placed:
    """Where the CPUs were in the turns that count."""
    got: str  # "apart", "together", "mixed", "unknown"; "": nothing was seen
    kept: int  # turns
    thrown: int  # away
    waited_s: float
    unanswered: int  # cases


NOWHERE = Placed("", 0, 0, 0.0, 0)


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    size: int
    batch: int
    param: int
    param_name: str
    figures: tuple[Figure, ...]
    subjects: tuple[Subject, ...]
    goals: tuple[Goal, ...]
    placed: Placed

    def measured(self) -> list[Subject]:
        return [s for s in self.subjects if s.status == "ok"]

    def tapio(self) -> Subject | None:
        """The one that ratios are to."""
        of_kind = (s for s in self.measured() if s.kind == "tapio")
        return next(of_kind, None)

    def follows(self, figure: int) -> bool:
        """Is it always so many times an earlier one, or that one's reciprocal,
        as a rate is a time's? Then its range and its ratio say nothing new."""
        return any(self._constant(other, figure, turn)
                   for other in range(figure) for turn in (False, True)
                   if self.figures[other].unit != self.figures[figure].unit)

    def _constant(self, one: int, other: int, reciprocal: bool) -> bool:
        quotients = []
        for subject in self.measured():
            a, b = subject.figures[one], subject.figures[other]
            for end, same, opposite in ((a.least, b.least, b.most),
                                        (a.most, b.most, b.least)):
                if min(end, same, opposite) <= 0:
                    return False
                quotients.append(opposite * end if reciprocal else same / end)
        return (len(quotients) > 2 and
                max(quotients) - min(quotients) <= 1e-6 * max(quotients))

    def best(self, kind: str, figure: int = 0) -> Subject | None:
        rivals = [s for s in self.measured() if s.kind == kind]
        if not rivals:
            return None
        pick = max if self.figures[figure].more_is_better else min
        return pick(rivals, key=lambda s: s.figures[figure].median)


@dataclass(frozen=True)
class Moment:
    """The state of the machine at that moment. None where it was not measured."""
    line_ns: float | None  # a cache line from CPU to CPU, one way
    store_ns: float | None


@dataclass(frozen=True)
class Question:
    number: int
    text: str
    absent: str  # why it could not be asked, or ""
    before: Moment
    after: Moment
    cases: tuple[Case, ...]
    placed: Placed


@dataclass(frozen=True)
class Peer:
    name: str
    kind: str
    package: str
    copies: str
    across: str
    death: str
    absent: str


@dataclass(frozen=True)
class Published:
    what: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True)
class Optionally:
    """A peer that is built where its package is there."""
    name: str
    package: str
    present: bool


@dataclass(frozen=True)
class Machine:
    cpu: str
    architecture: str
    kernel: str
    system: str
    cpus_online: int
    cpus: tuple[int, ...]
    memory_bytes: int
    huge_pages: int
    governor: str  # "" where none is to be seen
    hypervisor: bool
    load: float  # of the minute before the run


@dataclass(frozen=True)
class Result:
    version: str
    commit: str
    command: str
    quick: bool
    turns: int
    started: str
    seconds: float
    machine: Machine
    pingpong_before: float | None  # ns, one way
    pingpong_after: float | None
    built: tuple[Optionally, ...]
    published: tuple[Published, ...]
    peers: tuple[Peer, ...]
    questions: tuple[Question, ...]
    placed: Placed
    wanted: str  # "apart", "together", "any"; "": before there was a choice

    def cases(self) -> list[Case]:
        return [c for q in self.questions for c in q.cases]

    def goals(self) -> list[tuple[Case, Goal]]:
        return [(c, g) for c in self.cases() for g in c.goals]

    def failed(self) -> list[tuple[Case, Subject]]:
        return [(c, s) for c in self.cases() for s in c.subjects
                if s.status == "failed"]


class Node:
    """One object of the JSON text, and where it stands."""

    def __init__(self, value: Any, path: str):
        if not isinstance(value, dict):
            raise damaged(path, "not an object")
        self._value = value
        self._path = path

    def _place(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _get(self, key: str, types: tuple[type, ...], what: str) -> Any:
        if key not in self._value:
            raise damaged(self._place(key), "missing")
        value = self._value[key]
        # In Python a bool is an int; in this format it is none.
        if isinstance(value, bool) and bool not in types:
            raise damaged(self._place(key), f"not {what}")
        if not isinstance(value, types):
            raise damaged(self._place(key), f"not {what}")
        return value

    def text(self, key: str) -> str:
        return str(self._get(key, (str,), "a text"))

    def text_or_none(self, key: str) -> str:
        """A text; "" for null, and where there is no such key."""
        if self._value.get(key) is None:
            return ""
        return self.text(key)

    def one_of(self, key: str, words: tuple[str, ...]) -> str:
        word = self.text(key)
        if word not in words:
            raise damaged(self._place(key), f"none of {', '.join(words)}")
        return word

    def flag(self, key: str) -> bool:
        return bool(self._get(key, (bool,), "true or false"))

    def flag_or_none(self, key: str) -> bool | None:
        value = self._get(key, (bool, type(None)), "true, false or null")
        return None if value is None else bool(value)

    def whole(self, key: str) -> int:
        value = int(self._get(key, (int,), "a whole number"))
        if value < 0:
            raise damaged(self._place(key), "less than 0")
        return value

    def number(self, key: str) -> float:
        value = float(self._get(key, (int, float), "a number"))
        if not math.isfinite(value):
            raise damaged(self._place(key), "too large for a number")
        return value

    def number_or_none(self, key: str) -> float | None:
        if self._get(key, (int, float, type(None)), "a number") is None:
            return None
        return self.number(key)

    def node(self, key: str) -> "Node":
        return Node(self._get(key, (dict,), "an object"), self._place(key))

    def node_or_none(self, key: str) -> "Node | None":
        """None for null, and where there is no such key."""
        return None if self._value.get(key) is None else self.node(key)

    def each(self, key: str, read: Callable[["Node"], T]) -> tuple[T, ...]:
        items = self._get(key, (list,), "a list")
        return tuple(read(Node(item, f"{self._place(key)}[{i}]"))
                     for i, item in enumerate(items))

    def numbers(self, key: str) -> tuple[int, ...]:
        items = self._get(key, (list,), "a list")
        if not all(type(item) is int for item in items):
            raise damaged(self._place(key), "not a list of whole numbers")
        return tuple(items)

    def reals(self, key: str) -> tuple[float, ...]:
        items = self._get(key, (list,), "a list")
        if not all(type(item) in (int, float) and math.isfinite(item)
                   for item in items):
            raise damaged(self._place(key), "not a list of numbers")
        return tuple(float(item) for item in items)

    def refused(self, key: str, what: str) -> ReportError:
        return damaged(self._place(key), what)


def damaged(place: str, what: str) -> ReportError:
    return ReportError(f"{place or 'the whole'}: {what}", EXIT_DAMAGED)


def read_figure(node: Node) -> Figure:
    return Figure(node.text("name"), node.text("unit"),
                  node.flag("more_is_better"))


def read_measured(node: Node) -> Measured:
    measured = Measured(node.number("median"), node.number("min"),
                        node.number("max"), node.number_or_none("ratio"),
                        node.reals("turns"))
    if not measured.least <= measured.median <= measured.most:
        raise node.refused("median", "not between min and max")
    return measured


def read_subject(node: Node, figures: int, kinds: dict[str, str]) -> Subject:
    peer = node.text("peer")
    if peer not in kinds:
        raise node.refused("peer", f"{peer} is not in the list of peers")
    subject = Subject(
        name=node.text("name"), peer=peer,
        variant=node.text_or_none("variant") or None, kind=kinds[peer],
        status=node.one_of("status", ("ok", "absent", "failed")),
        why=node.text_or_none("why"),
        figures=node.each("figures", read_measured))
    wanted = figures if subject.status == "ok" else 0
    if len(subject.figures) != wanted:
        raise node.refused("figures", f"{len(subject.figures)} of them, "
                          f"where the case has {wanted}")
    return subject


def read_goal(node: Node, figures: int) -> Goal:
    goal = Goal(
        text=node.text("text"),
        kind=node.one_of("kind", ("value", "subject", "best_peer")),
        against=node.text_or_none("against"), figure=node.whole("figure"),
        limit=node.number("limit"), value=node.number_or_none("value"),
        reached=node.flag_or_none("reached"), why=node.text_or_none("why"),
        plus=node.text_or_none("plus"), note=node.text_or_none("note"))
    if goal.figure >= figures:
        raise node.refused("figure", "the case has no such figure")
    if goal.reached is not None and goal.value is None:
        raise node.refused("value", "missing where it was judged")
    return goal


def read_case(node: Node, kinds: dict[str, str]) -> Case:
    figures = node.each("figures", read_figure)
    if not figures:
        raise node.refused("figures", "none")
    return Case(
        name=node.text("name"), title=node.text("title"),
        size=node.whole("bytes"), batch=node.whole("batch"),
        param=node.whole("param"), param_name=node.text_or_none("param_name"),
        figures=figures,
        subjects=node.each(
            "subjects", lambda n: read_subject(n, len(figures), kinds)),
        goals=node.each("goals", lambda n: read_goal(n, len(figures))),
        placed=read_placed(node.node_or_none("placement")))


def read_moment(node: Node) -> Moment:
    return Moment(node.number_or_none("line_ns"),
                  node.number_or_none("store_ns"))


PLACEMENTS = ("apart", "together", "mixed", "unknown")


def read_placed(node: Node | None) -> Placed:
    """Of a result that was made before it was looked at: nothing."""
    if node is None:
        return NOWHERE
    got = node.text_or_none("got")
    if got:
        node.one_of("got", PLACEMENTS)
    return Placed(got, node.whole("kept"), node.whole("thrown_away"),
                  node.number("waited_s"), node.whole("unanswered"))


def read_wanted(node: Node | None) -> str:
    return node.one_of("wanted", ("any", "apart", "together")) if node else ""


def read_question(node: Node, kinds: dict[str, str]) -> Question:
    return Question(node.whole("number"), node.text("text"),
                    node.text_or_none("absent"),
                    read_moment(node.node("before")),
                    read_moment(node.node("after")),
                    node.each("cases", lambda n: read_case(n, kinds)),
                    read_placed(node.node_or_none("placement")))


def read_peer(node: Node) -> Peer:
    return Peer(node.text("name"),
                node.one_of("kind", ("tapio", "peer", "floor")),
                node.text("package"), node.text("copies"),
                node.text("across"), node.text("death"),
                node.text_or_none("absent"))


def read_published(node: Node) -> Published:
    return Published(node.text("what"), node.number("value"),
                     node.text("unit"), node.text("source"))


def read_optional(node: Node) -> Optionally:
    return Optionally(node.text("name"), node.text("package"),
                      node.flag("present"))


def read_machine(node: Node) -> Machine:
    return Machine(
        cpu=node.text("cpu"), architecture=node.text("architecture"),
        kernel=node.text("kernel"), system=node.text("os"),
        cpus_online=node.whole("cpus_online"), cpus=node.numbers("cpus"),
        memory_bytes=node.whole("memory_bytes"),
        huge_pages=node.whole("huge_pages"),
        governor=node.text_or_none("governor"),
        hypervisor=node.flag("hypervisor"), load=node.number("load"))


def check_format(top: Node) -> None:
    if top.text("format") != FORMAT:
        raise top.refused("format", f"not {FORMAT}")
    version = top.whole("format_version")
    if version != FORMAT_VERSION:
        raise ReportError(f"a result of format version {version}, where "
                          f"{FORMAT_VERSION} is understood",
                          EXIT_OTHER_VERSION)


def read_result(top: Node) -> Result:
    check_format(top)
    pingpong = top.node("pingpong_ns")
    peers = top.each("peers", read_peer)
    kinds = {peer.name: peer.kind for peer in peers}
    return Result(
        version=top.text("version"), commit=top.text_or_none("commit"),
        command=top.text("command"),
        quick=top.flag("quick"), turns=top.whole("turns"),
        started=top.text("started"), seconds=top.number("seconds"),
        machine=read_machine(top.node("machine")),
        pingpong_before=pingpong.number_or_none("before"),
        pingpong_after=pingpong.number_or_none("after"),
        built=top.each("built", read_optional),
        published=top.each("published", read_published), peers=peers,
        questions=top.each("questions", lambda n: read_question(n, kinds)),
        placed=read_placed(top.node_or_none("placement")),
        wanted=read_wanted(top.node_or_none("placement")))


def refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def load(path: Path) -> Result:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ReportError(f"{path}: not UTF-8: {error.reason}",
                          EXIT_DAMAGED) from error
    try:
        top = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path}: not JSON: {error}",
                          EXIT_DAMAGED) from error
    try:
        return read_result(Node(top, ""))
    except ReportError as error:
        raise ReportError(f"{path}: {error}", error.status) from error
