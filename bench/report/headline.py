# SPDX-License-Identifier: Apache-2.0
"""The first view of a newcomer: one case, one sentence, a few columns.

The names of cases are the benchmark's; where a run has none of those that are
wanted, the first case that was measured stands in.
"""
from dataclasses import dataclass
from fnmatch import fnmatchcase

from report import bars, svg, words
from report.result import Case, Measured, Result, Subject

# The case of the sentence and the plot, the best first, and how to call it: the
# titles of cases presuppose their question.
FIRST = (
    ("stream/64/single",
     "An event of 64 bytes, from one process to another, one at a time"),
    ("stream/*", ""),
)


@dataclass(frozen=True)
class Wanted:
    """A column of the README's table."""
    pattern: str
    figure: str  # its name; "": the first
    label: str


COLUMNS = (
    Wanted("stream/64/single", "", "64 B, one at a time"),
    Wanted("stream/64/batch", "", "64 B, 32 at a time"),
    Wanted("stream/256/single", "", "256 B, one at a time"),
    Wanted("scaling/2-cpus", "", "64 B from 2 CPUs at once"),
    Wanted("latency/64/awake*", "p50", "latency, both awake, p50"),
    Wanted("latency/64/asleep*", "p50", "latency, asleep, p50"),
)
COLUMNS_MAX = 6

# The rows of the README's table, where results stand side by side.
ROWS = (
    Wanted("stream/64/single", "", "64 B from process to process"),
    Wanted("stream/64/batch", "", "the same, 32 at a time"),
    Wanted("stream/256/single", "", "256 B from process to process"),
    Wanted("stream/1024/single", "", "1 KiB from process to process"),
    Wanted("emit/64/output", "", "64 B emitted, nobody reading"),
    Wanted("scaling/2-cpus", "", "64 B from 2 CPUs at once"),
    Wanted("scaling/2-cpus/read", "", "the same, with a reader"),
    Wanted("latency/64/awake", "p50", "latency, both awake, p50"),
    Wanted("latency/64/asleep", "p50", "latency, asleep, p50"),
    Wanted("rate/165000", "consumer's CPU", "reader's CPU at 165 k events/s"),
    Wanted("share/64/2", "", "shared by two readers"),
    Wanted("ring/put-get", "", "ring: put and get"),
    Wanted("pool/pair", "", "pool: get and put"),
    Wanted("scale/attach", "p50", "a process attaches, p50"),
)
PLOT_WIDTH = 860


@dataclass(frozen=True)
class Column:
    case: Case
    figure: int
    label: str


def is_shown(case: Case) -> bool:
    return case.tapio() is not None


def first(result: Result) -> tuple[Case, str] | None:
    """That case and what it is called."""
    cases = [case for case in result.cases() if is_shown(case)]
    beside_peers = [case for case in cases if case.best("peer")]
    for pattern, label in FIRST:
        for case in beside_peers:
            if fnmatchcase(case.name, pattern):
                return case, label or called(result, case)
    for case in beside_peers or cases or result.cases():
        return case, called(result, case)
    return None


def called(result: Result, case: Case) -> str:
    """A case's title with the question that it belongs to."""
    for question in result.questions:
        if case in question.cases:
            return f"{question.text} {case.title}"
    return case.title


def column(cases: list[Case], wanted: Wanted) -> Column | None:
    for case in cases:
        if fnmatchcase(case.name, wanted.pattern):
            return Column(case, figure_of(case, wanted.figure), wanted.label)
    return None


def rows(result: Result) -> dict[str, Column]:
    """By their labels."""
    cases = [case for case in result.cases() if is_shown(case)]
    return {found.label: found for wanted in ROWS
            for found in [column(cases, wanted)] if found}


def columns(result: Result) -> list[Column]:
    cases = [case for case in result.cases() if is_shown(case)]
    found = [there for wanted in COLUMNS
             for there in [column(cases, wanted)] if there]
    others = [Column(case, 0, f"{case.name}, {case.figures[0].name}")
              for case in cases if case.best("peer")]
    return found or others[:COLUMNS_MAX]


def figure_of(case: Case, name: str) -> int:
    names = [figure.name for figure in case.figures]
    return names.index(name) if name in names else 0


def ahead(case: Case, ours: Measured, theirs: Subject) -> str:
    """Tapio against the best peer, in words, by the ratio of their turns."""
    measured = theirs.figures[0]
    more = case.figures[0].more_is_better
    ratio = measured.ratio or measured.median / (ours.median or 1)
    ratio = ratio if not more or not ratio else 1 / ratio
    if ratio >= 1.05:
        return f"{words.digits(ratio)} times as fast as"
    if ratio <= 0.95 and ratio:
        return f"{words.digits(1 / ratio)} times as slow as"
    return "as fast as"


def sentence(result: Result) -> str:
    found = first(result)
    if found is None:
        return "Nothing was measured in this run."
    case, label = found
    tapio, peer = case.tapio(), case.best("peer")
    if tapio is None:
        return f"{label}: Tapio was not measured in this run."
    unit = case.figures[0].unit
    ours = tapio.figures[0]
    said = f"{label}: Tapio {words.quantity(ours.median, unit)}"
    if peer is None:
        return f"{said}; no peer was measured beside it."
    theirs = words.quantity(peer.figures[0].median, unit)
    return (f"{said}, {ahead(case, ours, peer)} the best of the others that "
            f"ran in turns with it ({peer.name}, {theirs}).")


def plot(result: Result, name: str) -> svg.Drawing:
    """name: as of bars.bars()."""
    found = first(result)
    if found is None:
        empty = svg.Drawing(PLOT_WIDTH, sentence(result))
        empty.height = 48
        empty.text(12, 28, empty.label)
        return empty
    case, label = found
    return bars.bars(case, name, PLOT_WIDTH, label)


def goals(result: Result) -> str:
    """How many were reached."""
    all_goals = [goal for _, goal in result.goals()]
    if not all_goals:
        return "no goals in this run"
    reached = sum(goal.reached is True for goal in all_goals)
    missed = sum(goal.reached is False for goal in all_goals)
    unjudged = len(all_goals) - reached - missed
    said = [f"{reached} reached", f"{missed} missed"]
    if unjudged:
        said.append(f"{unjudged} not judged")
    return f"{words.count(len(all_goals), 'goal')}: {words.joined(said)}"
