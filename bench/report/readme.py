# SPDX-License-Identifier: Apache-2.0
"""The Markdown: a table of the headline cases, and results side by side in a README."""
import re

from report import headline, words
from report.result import Case, Measured, ReportError, Result, Subject

BEGIN = "<!-- bench:begin -->"
END = "<!-- bench:end -->"


def escape(text: str) -> str:
    """As plain text inside a cell of a table."""
    text = re.sub(r"([\\`*_\[\]|~])", r"\\\1", words.escape(text))
    return re.sub(r"\s+", " ", text)


def best_of(case: Case, peer: str, figure: int) -> Measured | None:
    """
    A peer has one row: the best of its variants, or the one without a variant
    where Tapio's first has none either, since then they do the same; of Tapio the
    first.
    """
    found = [s for s in case.measured() if s.peer == peer]
    if not found:
        return None
    if found[0].kind == "tapio":
        return found[0].figures[figure]
    ours = case.tapio()
    if ours and not ours.variant:
        found = [s for s in found if not s.variant] or found
    pick = max if case.figures[figure].more_is_better else min
    return pick(found, key=lambda s: s.figures[figure].median).figures[figure]


def cell(case: Case, figure: int, peer: str, kind: str) -> str:
    measured = best_of(case, peer, figure)
    if measured is None:
        return "\u2013"
    shown = words.quantity(measured.median, case.figures[figure].unit)
    if kind == "tapio":
        return f"**{shown}**"
    against = words.ratio(measured.ratio)
    return f"{shown} ({against})" if against else shown


def rank(columns: list[headline.Column]) -> list[tuple[str, str]]:
    """(peer, kind) of all that were measured: Tapio, peers, floors; best first."""
    def key(peer: Subject) -> tuple[int, int, float]:
        for i, at in enumerate(columns):
            measured = best_of(at.case, peer.peer, at.figure)
            if measured:
                shown = at.case.figures[at.figure]
                sign = -1 if shown.more_is_better else 1
                return (groups[peer.kind], i, sign * measured.median)
        return (groups[peer.kind], len(columns), 0)

    groups = {"tapio": 0, "peer": 1, "floor": 2}
    subjects = {s.peer: s for at in columns for s in at.case.measured()}
    return [(s.peer, s.kind) for s in sorted(subjects.values(), key=key)]


def table(result: Result) -> list[str]:
    columns = headline.columns(result)
    if not columns:
        return ["Nothing was measured in this run."]
    titles = [escape(at.label) for at in columns]
    rows = [f"| | {' | '.join(titles)} |",
            f"|---|{'---:|' * len(columns)}"]
    for peer, kind in rank(columns):
        name = {"tapio": f"**{escape(peer)}**",
                "floor": f"*{escape(peer)}*"}.get(kind, escape(peer))
        cells = [cell(at.case, at.figure, peer, kind) for at in columns]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def provenance(result: Result) -> str:
    m = result.machine
    quick = " A quick run: its figures mean little." if result.quick else ""
    moment = [words.quantity(ns, "ns") for ns in
              (result.pingpong_before, result.pingpong_after)
              if ns is not None]
    handed = (f", a cache line from CPU to CPU in {' to '.join(moment)}"
              if moment else "")
    where = (f", CPUs {words.where(result.placed)}" if result.placed.got
             else "")
    return (f"By `{code(result.command)}` on {machine(result)}, CPUs "
            f"{escape(words.cpus(m))}, {escape(m.kernel)}, "
            f"{day(result)}{where}{handed}: medians of up "
            f"to {words.count(result.turns, 'turn')} (A B C, A B C), in brackets "
            f"the ratio to Tapio turn by turn; of each peer its best variant."
            f"{quick} {headline.goals(result).capitalize()}.")


def machine(result: Result) -> str:
    return escape(result.machine.cpu)


def day(result: Result) -> str:
    return escape(result.started[:10])


# ---- results side by side ----------------------------------------------------

PLACEMENTS = ("apart", "together")


def placement_of(result: Result) -> str:
    return result.placed.got


def picture_of(result: Result) -> str:
    """Where its plot lies, seen from the README."""
    got = placement_of(result)
    return f"docs/bench-{got}.svg" if got in PLACEMENTS else "docs/bench.svg"


def in_order(results: list[Result]) -> list[Result]:
    """By placement. Each once: two that say the same are not to be compared."""
    def key(result: Result) -> int:
        return (*PLACEMENTS, placement_of(result)).index(placement_of(result))

    places = [placement_of(result) for result in results]
    for place in places:
        if places.count(place) > 1:
            raise ReportError(
                f"two results with the CPUs {place or 'not looked at'}: one for "
                "each placement can be shown")
    return sorted(results, key=key)


def best_row(at: headline.Column, kind: str) -> str:
    """The best peer of the case, or the best floor, and its name."""
    case, figure = at.case, at.figure
    more = case.figures[figure].more_is_better
    found = [(measured, peer) for peer in
             {s.peer: None for s in case.measured() if s.kind == kind}
             for measured in [best_of(case, peer, figure)] if measured]
    if not found:
        return "\u2013"
    pick = max if more else min
    measured, peer = pick(found, key=lambda pair: pair[0].median)
    shown = words.quantity(measured.median, case.figures[figure].unit)
    against = words.ratio(measured.ratio)
    return (f"{shown}{f' ({against})' if against else ''} "
            f"{escape(peer)}")


def side(result: Result, label: str) -> list[str]:
    """The cells of a row that are this result's."""
    at = headline.rows(result).get(label)
    tapio = at.case.tapio() if at else None
    if at is None or tapio is None:
        return ["\u2013"] * 3
    return [cell(at.case, at.figure, tapio.peer, "tapio"),
            best_row(at, "peer"), best_row(at, "floor")]


def side_title(result: Result) -> list[str]:
    got = placement_of(result)
    where = f"CPUs {got}" if got else "Tapio"
    return [f"{where}: Tapio" if got else where, "best of the others", "floor"]


def absent(results: list[Result]) -> list[str]:
    """The placements that none of them has, if they have any."""
    places = [placement_of(result) for result in results]
    if not any(place in PLACEMENTS for place in places):
        return []
    return [place for place in PLACEMENTS if place not in places]


def side_by_side(results: list[Result]) -> list[str]:
    labels = [wanted.label for wanted in headline.ROWS
              if any(wanted.label in headline.rows(r) for r in results)]
    if not labels:
        return table(results[0])
    titles = [title for r in results for title in side_title(r)]
    titles += [f"CPUs {place}: not measured on {machine(results[0])}, "
               f"{day(results[0])}" for place in absent(results)]
    rows = [f"| | {' | '.join(titles)} |", f"|---|{'---|' * len(titles)}"]
    for label in labels:
        cells = [text for r in results for text in side(r, label)]
        cells += ["\u2013"] * len(absent(results))
        rows.append(f"| {escape(label)} | {' | '.join(cells)} |")
    return rows


def summary(results: list[Result]) -> str:
    """The text between the marks of a README."""
    parts = []
    for result in results:
        label = escape(headline.sentence(result))
        parts += [f"![{label}]({picture_of(result)})", ""]
    parts += [*side_by_side(results), ""]
    for result in results:
        parts += [provenance(result), ""]
    return "\n".join(parts)


def code(text: str) -> str:
    """Between backquotes nothing can be escaped."""
    return re.sub(r"\s+", " ", words.FORBIDDEN.sub("\ufffd", text)).replace(
        "`", "'")


def markdown(result: Result, picture: str) -> str:
    """picture: where the plot lies, seen from the text."""
    label = escape(headline.sentence(result))
    return "\n".join([f"![{label}]({picture})", "", *table(result), "",
                      provenance(result), ""])


def replaced(readme: str, text: str, name: str) -> str:
    """The README with that text between its two marks."""
    for word in (BEGIN, END):
        if readme.count(word) != 1:
            raise ReportError(f"{name}: \"{word}\" stands in it "
                              f"{readme.count(word)} times, not once")
    before, rest = readme.split(BEGIN)
    if END not in rest:
        raise ReportError(f"{name}: \"{END}\" comes before \"{BEGIN}\"")
    return f"{before}{BEGIN}\n{text}{END}{rest.split(END)[1]}"
