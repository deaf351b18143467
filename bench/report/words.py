# SPDX-License-Identifier: Apache-2.0
"""Numbers and names as a reader wants to see them, and escaping.

Used by the plots, the page and the table; nothing here knows where the text goes
but escape(), through which every text of the result passes on its way into HTML,
SVG or XML.
"""
import html
import math
import re

from report.result import Case, Figure, Goal, Machine, Measured, Placed

# Characters that XML does not allow, not even escaped.
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

TIMES = "\u00d7"
MINUS_TO = "\u2013"


def escape(text: str) -> str:
    return html.escape(FORBIDDEN.sub("\ufffd", text), quote=True)


def digits(value: float, significant: int = 3) -> str:
    """So many significant digits, and a comma between thousands."""
    if value == 0:
        return "0"
    places = significant - 1 - math.floor(math.log10(abs(value)))
    # 9.996 becomes 10.0, with a digit less behind the point.
    rounded = round(value, places)
    places = significant - 1 - math.floor(math.log10(abs(rounded)))
    if abs(rounded) < 1e-4:
        return f"{rounded:.1e}"
    return f"{rounded:,.{max(places, 0)}f}"


def plain(value: float) -> str:
    """A number that is meant as it is: a limit, a place on an axis."""
    return f"{value:,.10g}"


# Unit: the steps in which it grows, each a factor and the name from there on.
LADDERS: dict[str, tuple[tuple[float, str], ...]] = {
    "ns": ((1, "ns"), (1e4, "\u00b5s"), (1e7, "ms"), (1e10, "s")),
    "bytes": ((1, "B"), (2.0**10, "KiB"), (2.0**20, "MiB"), (2.0**30, "GiB")),
}
FACTORS = {"ns": 1.0, "\u00b5s": 1e3, "ms": 1e6, "s": 1e9, "B": 1.0,
           "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def scaled(value: float, unit: str) -> tuple[float, str]:
    """The value in the unit in which it is easy to read."""
    if unit in LADDERS:
        name = LADDERS[unit][0][1]
        for from_value, larger in LADDERS[unit]:
            if abs(value) >= from_value:
                name = larger
        return value / FACTORS[name], name
    if unit.endswith("/s") and not unit.startswith("GB"):
        for factor, prefix in PREFIXES:
            if abs(value) >= factor:
                return value / factor, f"{prefix} {unit}"
    return value, unit


def quantity(value: float, unit: str) -> str:
    number, name = scaled(value, unit)
    return digits(number) + suffix(name)


def suffix(unit: str) -> str:
    """The text behind a number. "x" is a ratio's."""
    return {"%": "%", "x": TIMES, "": ""}.get(unit, f" {unit}")


def exactly(value: float, unit: str) -> str:
    """A quantity that is meant as it is; 0 without a unit."""
    number, name = scaled(value, unit)
    return plain(number) + suffix(name) if number else "0"


def span(measured: Measured, unit: str) -> str:
    """Least to most; the unit once where both have the same."""
    least, least_unit = scaled(measured.least, unit)
    most, most_unit = scaled(measured.most, unit)
    if least_unit == most_unit:
        return f"{digits(least)}{MINUS_TO}{digits(most)}"
    return (f"{quantity(measured.least, unit)}{MINUS_TO}"
            f"{quantity(measured.most, unit)}")


def ratio(value: float | None) -> str:
    if value is None:
        return ""
    if value == 1:
        return f"1{TIMES}"
    return f"{digits(value, 3 if value >= 0.1 else 2)}{TIMES}"


def count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def joined(words: list[str]) -> str:
    """a, b and c"""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"



def cpus(machine: Machine) -> str:
    used = joined([str(cpu) for cpu in machine.cpus])
    return f"{used} of {machine.cpus_online}"


def size(byte_count: int) -> str:
    return quantity(byte_count, "bytes")


def what_passes(case: Case) -> str:
    return f"event of {size(case.size)}" if case.size else "operation"


def turned(goal: Goal, figure: Figure) -> bool:
    """Whether a ratio reads better the other way round: ahead of the other."""
    return (goal.kind != "value" and not figure.more_is_better and
            0 < goal.limit <= 1)


def bound(goal: Goal, figure: Figure) -> str:
    """The limit of a goal, without whom it is against: "at most 1.5x"."""
    if turned(goal, figure):
        times = plain(round(1 / goal.limit, 3))
        return "ahead" if goal.limit == 1 else f"at least {times}{TIMES} ahead"
    most = "at least" if figure.more_is_better else "at most"
    if goal.kind == "value":
        return f"{most} {exactly(goal.limit, figure.unit)}"
    return f"{most} {plain(goal.limit)}{TIMES}"


def reached_value(goal: Goal, figure: Figure) -> str:
    """The measured value, as bound() has it."""
    if goal.value is None:
        return ""
    if goal.kind == "value":
        return quantity(goal.value, figure.unit)
    if not turned(goal, figure) or goal.value <= 0:
        return ratio(goal.value)
    if goal.value <= 1:
        return f"{ratio(1 / goal.value)} ahead"
    return f"{ratio(goal.value)} behind"


def where(placed: Placed) -> str:
    """The CPUs of the turns that count: "apart", or what else is known."""
    return {"": "not looked at", "mixed": "now apart, now together",
            "unknown": "neither apart nor together"}.get(placed.got,
                                                         placed.got)


def placement(placed: Placed) -> str:
    """The result of the looks, in a sentence; "" if there were none."""
    if not placed.kept and not placed.thrown and not placed.unanswered:
        return ""
    parts = [f"{count(placed.kept, 'turn')} with the CPUs {where(placed)}"
             if placed.got else count(placed.kept, "turn"),
             f"{placed.thrown} thrown away", f"{placed.waited_s:,.0f} s waited"]
    said = f"{joined(parts)}."
    if placed.unanswered:
        said += (f" {count(placed.unanswered, 'case')} without an answer: the "
                 "wanted placement did not come in time.")
    return said


def steadiness(before: float | None, after: float | None) -> str:
    """The verdict of the ping-pong on the time in between, or "" if all is well."""
    if not before or not after:
        return ""
    change = max(before, after) / min(before, after)
    if change < 1.25:
        return ""
    return (f"The ping-pong changed {digits(change)}-fold during the run: the "
            "machine was not steady, and only ratios count.")


def short(number: int) -> str:
    """A parameter: 10 k, 1 M; as it is where that would round it."""
    for factor, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= factor and number % (factor // 100) == 0:
            return f"{plain(number / factor)} {letter}"
    return f"{number:,}"
