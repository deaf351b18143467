# SPDX-License-Identifier: Apache-2.0
"""The page: one HTML file with everything in it, no script and no other file.

From the top: one sentence and one plot, the machine and the moment, the goals, each
question with its plots, its figures and the differences of its subjects, the absent
and failed subjects, and figures that others published.
"""
from typing import Iterable

from report import bars, headline, lines, svg, words
from report.result import (Case, Figure, Goal, Measured, Moment, Peer, Question,
                           Result, Subject)
from report.words import escape

PLOT_WIDTH = 720

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--raised:#f5f7f8;--ink:#1b2126;
--soft:#5b6670;--line:#dfe4e8;--tapio:#14804a;--bad:#c1121f;--wash:#e9f5ee}
@media screen and (prefers-color-scheme:dark){:root{--ground:#14181b;
--raised:#1b2125;--ink:#e8ebed;--soft:#9aa5ae;--line:#2c343a;--tapio:#3fc380;
--bad:#ff6b6b;--wash:#16291f}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:16px/1.55 FONT}
main{max-width:66rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .75rem;letter-spacing:-.01em}
h2{font-size:1.35rem;line-height:1.3;margin:3.5rem 0 .5rem;
padding-top:1rem;border-top:1px solid var(--line)}
h3{font-size:1.05rem;margin:2rem 0 .5rem}
p{max-width:46rem;margin:.5rem 0}
.lead{font-size:1.2rem;line-height:1.5}
.soft{color:var(--soft)}.bad{color:var(--bad);font-weight:600}
.good{color:var(--tapio);font-weight:600}
.warning{border-left:4px solid var(--bad);padding:.5rem .9rem;
background:var(--raised);max-width:46rem;margin:1rem 0}
figure{margin:1.25rem 0;overflow-x:auto}
figure svg{display:block;max-width:100%;height:auto;min-width:34rem}
nav{margin:1.25rem 0;font-size:.95rem}nav a{margin-right:1.1rem;
white-space:nowrap}
a{color:inherit;text-decoration-color:var(--soft)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.25rem;
margin:1rem 0;font-size:.95rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-size:.9rem;line-height:1.4}
caption{text-align:left;color:var(--soft);padding:0 0 .25rem .6rem}
th{font-weight:600;color:var(--soft);text-align:left;vertical-align:bottom}
th,td{padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line);
vertical-align:top}
td:first-child,th:first-child{padding-left:.6rem}
td.n,th.n{text-align:right;white-space:nowrap;
font-variant-numeric:tabular-nums}
td.name{white-space:nowrap}
td.long{min-width:14rem;max-width:26rem}
tr.tapio td{background:var(--wash);font-weight:600}
tr.floor td{color:var(--soft);font-style:italic}
td small{display:block;font-size:.85em;font-weight:400;color:var(--soft)}
td i{font-style:normal;font-weight:400;color:var(--soft);margin-left:.4em}
th.ratio,td.ratio{color:var(--soft);padding-right:1.8rem}
code{font:.9em ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;
overflow-wrap:anywhere}
footer{margin-top:3.5rem;padding-top:1rem;border-top:1px solid var(--line);
color:var(--soft);font-size:.9rem}
@media (max-width:40rem){dl{grid-template-columns:1fr;gap:0}
dd{margin-bottom:.5rem}}
@media print{body{font-size:10.5pt}main{max-width:none;padding:0}nav{display:none}
h2{margin-top:1.5rem;break-after:avoid}h3{break-after:avoid}
figure,tr,dl{break-inside:avoid}figure svg{min-width:0}
.wide,figure{overflow:visible}a{text-decoration:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
""".replace("FONT", svg.FONT)


def tag(name: str, body: str, cls: str = "") -> str:
    """body is HTML."""
    written = f' class="{cls}"' if cls else ""
    return f"<{name}{written}>{body}</{name}>"


def paragraph(text: str, cls: str = "") -> str:
    return tag("p", escape(text), cls)


def row(cells: Iterable[str], cls: str = "") -> str:
    return tag("tr", "".join(cells), cls)


def table(head: list[tuple[str, str]], rows: list[str],
          caption: str = "") -> str:
    """head: each column's title and class."""
    titles = row(tag("th", escape(title), cls) for title, cls in head)
    said = tag("caption", escape(caption)) if caption else ""
    return tag("div", tag("table", f"{said}<thead>{titles}</thead>\n<tbody>" +
                          "\n".join(rows) + "</tbody>"), "wide")


def figure(drawing: svg.Drawing) -> str:
    return tag("figure", drawing.inline())


# ---- the first screen -------------------------------------------------------


def opening(result: Result) -> list[str]:
    parts = [tag("h1", "Tapio beside what people would use instead"),
             paragraph(headline.sentence(result), "lead")]
    parts.append(figure(headline.plot(result, "hatch-first")))
    parts.append(paragraph(
        "Bars are medians of the turns, whiskers go from the least to the most "
        "of them. The last column is the ratio to Tapio, taken turn by turn. "
        "Hatched: a floor, which is what the machine allows with no safety at "
        "all; the dashed line stands there.", "soft"))
    parts += warnings(result)
    parts += [navigation(result), facts(result)]
    return parts


def warnings(result: Result) -> list[str]:
    said = []
    if result.quick:
        said.append("A quick run: a few events only, to see that everything "
                    "works. Its figures mean little, and goals are not judged.")
    said.append(words.steadiness(result.pingpong_before,
                                 result.pingpong_after))
    if result.placed.unanswered:
        said.append(words.placement(result.placed))
    failed = len(result.failed())
    if failed:
        said.append(f"{words.count(failed, 'measurement')} failed: "
                    "see below, in red.")
    return [paragraph(text, "warning") for text in said if text]


def navigation(result: Result) -> str:
    targets = [("goals", "Goals")]
    targets += [(f"q{place}", f"{q.number}. {brief(q.text)}")
                for place, q in enumerate(result.questions)]
    targets += [("peers", "Who was measured")]
    links = " ".join(f'<a href="#{place}">{escape(text)}</a>'
                     for place, text in targets)
    return tag("nav", links)


def brief(text: str, most: int = 44) -> str:
    text = text.split(":")[0]
    if len(text) <= most:
        return text
    return text[:most].rsplit(" ", 1)[0].rstrip(",;") + "\u2026"


def pingpong(result: Result) -> str:
    both = [result.pingpong_before, result.pingpong_after]
    before, after = (words.quantity(ns, "ns") if ns is not None
                     else "not measured" for ns in both)
    return (f"{before} before, {after} after (a cache line handed from CPU to "
            "CPU, one way)")


def placement(result: Result) -> str:
    said = words.placement(result.placed) or "not looked at"
    return f"{result.wanted} wanted; {said}" if result.wanted else said


def facts(result: Result) -> str:
    m = result.machine
    pages = (words.count(m.huge_pages, "huge page") + " in the pool"
             if m.huge_pages else "no huge pages in the pool")
    shown = [
        ("Processor", f"{m.cpu}, {m.architecture}" +
         (", in a virtual machine" if m.hypervisor else "")),
        ("CPUs used", words.cpus(m) +
         (f", governor {m.governor}" if m.governor else "")),
        ("Memory", f"{words.size(m.memory_bytes)}, {pages}"),
        ("System", f"{m.system}, kernel {m.kernel}" if m.system
         else f"kernel {m.kernel}"),
        ("When", f"{result.started}, for {result.seconds:,.0f} s; load before "
         f"{m.load:.2f}"),
        ("Ping-pong", pingpong(result)),
        ("Placement", placement(result)),
        ("Turns", f"up to {result.turns} of every subject: A B C, A B C"),
        ("Tapio", result.version +
         (f", commit {result.commit}" if result.commit else "")),
    ]
    items = "".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>"
                    for what, value in shown)
    items += f"<dt>Command</dt><dd><code>{escape(result.command)}</code></dd>"
    return tag("dl", items)


# ---- goals ------------------------------------------------------------------


def verdict(goal: Goal) -> str:
    if goal.reached is None:
        return tag("td", "not judged", "name soft")
    if goal.reached:
        return tag("td", "reached", "good")
    return tag("td", "MISSED", "bad")


def goal_row(case: Case, goal: Goal) -> str:
    shown = case.figures[goal.figure]
    cls = "n bad" if goal.reached is False else "n"
    against = goal.against if goal.kind != "value" else ""
    against += f" + {goal.plus}" if against and goal.plus else ""
    return row((
        verdict(goal), tag("td", f'<a href="#{escape(case.name)}">'
                             f"{escape(case.title)}</a>", "long"),
        tag("td", escape(goal.text), "long"),
        tag("td", escape(words.reached_value(goal, shown)), cls),
        tag("td", escape(words.bound(goal, shown)), "n"),
        tag("td", escape(against)),
        tag("td", escape(goal.note or goal.why), "long")))


def goals(result: Result) -> list[str]:
    parts = ['<h2 id="goals">Goals</h2>', paragraph(headline.goals(result))]
    rank = {False: 0, True: 1, None: 2}
    ordered = sorted(result.goals(), key=lambda both: rank[both[1].reached])
    if ordered:
        parts.append(table(
            [("", ""), ("Case", ""), ("Goal", ""), ("Measured", "n"),
             ("Wanted", "n"), ("Against", ""), ("Note", "")],
            [goal_row(case, goal) for case, goal in ordered]))
    return parts


# ---- questions --------------------------------------------------------------


def figure_cell(shown: Figure, measured: Measured, more: str = "") -> str:
    """more: HTML behind the median."""
    median = words.quantity(measured.median, shown.unit)
    if measured.least < measured.most:
        span = words.span(measured, shown.unit)
        more += f"<small>{escape(span)}</small>"
    return tag("td", escape(median) + more, "n")


def figure_cells(case: Case, subject: Subject) -> str:
    cells = ""
    for i, (shown, measured) in enumerate(zip(case.figures, subject.figures)):
        if case.follows(i):
            median = words.quantity(measured.median, shown.unit)
            cells += tag("td", escape(median), "n")
        else:
            cells += figure_cell(shown, measured)
            cells += tag("td", words.ratio(measured.ratio), "n ratio")
    return cells


def heads(case: Case) -> list[tuple[str, str]]:
    head = [("", "")]
    for i, shown in enumerate(case.figures):
        head.append((shown.name, "n"))
        if not case.follows(i):
            head.append(("to Tapio", "n ratio"))
    return head


def subject_row(case: Case, subject: Subject) -> str:
    name = tag("td", escape(subject.name), "name")
    if subject.status == "ok":
        return row((name, figure_cells(case, subject)), subject.kind)
    columns = len(heads(case)) - 1
    return row((name, f'<td colspan="{columns}" class="{css(subject)}">'
                f"{escape(state(subject))}</td>"))


def css(subject: Subject) -> str:
    return "bad" if subject.status == "failed" else "soft"


def state(subject: Subject) -> str:
    return f"{subject.status}: {subject.why}" if subject.why \
        else subject.status


def rows_of(case: Case) -> list[Subject]:
    return bars.order(case) + [s for s in case.subjects
                               if s.status == "absent"]


def case_table(case: Case) -> str:
    return table(heads(case), [subject_row(case, s) for s in rows_of(case)],
                 f"--run {case.name}")


def family_cell(case: Case, name: str, figure: int) -> str:
    for subject in case.subjects:
        if subject.name == name and subject.status == "ok":
            measured = subject.figures[figure]
            against = f" <i>{words.ratio(measured.ratio)}</i>"
            return figure_cell(case.figures[figure], measured, against)
        if subject.name == name:
            return tag("td", escape(state(subject)), css(subject))
    return tag("td", "\u2013", "n soft")


def family_tables(family: lines.Family) -> list[str]:
    """One for each figure: subjects down, the parameter across."""
    subjects = {s.name: s.kind for case in family.cases
                for s in rows_of(case)}
    tables = []
    for i, shown in enumerate(family.figures):
        head = [(f"{shown.name}, by {family.label}", "")]
        head += [(words.short(case.param), "n") for case in family.cases]
        tables.append(table(head, [
            row((tag("td", escape(name), "name"),
                 *(family_cell(case, name, i) for case in family.cases)), kind)
            for name, kind in subjects.items()]))
    return tables


def differences(peers: list[Peer]) -> str:
    """The table to read before comparing, without empty columns."""
    columns = [(title, cls, said) for title, cls, said in (
        ("Across", "", [peer.across for peer in peers]),
        ("Copies", "", [peer.copies for peer in peers]),
        ("When a producer dies", "long", [peer.death for peer in peers]))
               if any(said)]
    rows = [row((tag("td", escape(peer.name), "name"),
                 *(tag("td", escape(said[i]), cls)
                   for _, cls, said in columns)), peer.kind)
            for i, peer in enumerate(peers)]
    return table([("What they do differently", ""),
                  *((title, "") for title, _, _ in columns)], rows)


def in_question(question: Question, result: Result) -> list[Peer]:
    there = {s.peer for case in question.cases for s in case.measured()}
    return [peer for peer in result.peers if peer.name in there]


def moment(before: Moment, after: Moment) -> list[str]:
    if before.line_ns is None or after.line_ns is None:
        return []
    said = (f"A cache line from CPU to CPU: "
            f"{words.quantity(before.line_ns, 'ns')} before these cases, "
            f"{words.quantity(after.line_ns, 'ns')} after.")
    return [paragraph(said, "soft"),
            *(paragraph(text, "warning") for text in
              [words.steadiness(before.line_ns, after.line_ns)] if text)]


def question_cases(question: Question, place: int) -> list[str]:
    families = lines.families(question.cases)
    in_lines = {case.name for family in families for case in family.cases}
    parts = []
    for i, case in enumerate(question.cases):
        if case.name in in_lines:
            continue
        name = f"hatch-{place}-{i}"
        parts += [anchor(case), figure(bars.bars(case, name, PLOT_WIDTH)),
                  case_table(case)]
    for family in families:
        parts += [anchor(case) for case in family.cases]
        for drawing, shown in zip(lines.plots(family, PLOT_WIDTH),
                                  family_tables(family)):
            parts += [figure(drawing), shown]
    return parts


def anchor(case: Case) -> str:
    return f'<a id="{escape(case.name)}"></a>'


def question_section(result: Result, place: int) -> list[str]:
    """place: of the question in the result; several may have one number."""
    question = result.questions[place]
    parts = [f'<h2 id="q{place}">{question.number}. '
             f"{escape(question.text)}</h2>"]
    cls = "warning" if question.placed.unanswered else "soft"
    if question.absent:
        parts.append(paragraph(f"Not asked: {question.absent}", "warning"))
    parts += moment(question.before, question.after)
    parts += [paragraph(text, cls) for text in
              [words.placement(question.placed)] if text]
    parts += question_cases(question, place)
    peers = in_question(question, result)
    if peers:
        parts.append(differences(peers))
    return parts


# ---- the end ----------------------------------------------------------------


def peer_row(peer: Peer) -> str:
    state = f"absent: {peer.absent}" if peer.absent else ""
    return row((tag("td", escape(peer.name), "name"),
                tag("td", escape(peer.package or "\u2013"), "name"),
                tag("td", escape(peer.across)), tag("td", escape(peer.copies)),
                tag("td", escape(peer.death), "long"),
                tag("td", escape(state), "long")), peer.kind)


def not_built(result: Result) -> list[str]:
    rows = [row((tag("td", escape(optional.name), "name"),
                 tag("td", escape(optional.package), "name"),
                 tag("td", "absent: its package was not there when Tapio was "
                     "built", "long"))) for optional in result.built
            if not optional.present]
    if not rows:
        return []
    return [table([("Not built", ""), ("Package", ""), ("", "")], rows)]


def who(result: Result) -> list[str]:
    parts = ['<h2 id="peers">Who was measured</h2>']
    if result.peers:
        parts.append(table(
            [("", ""), ("Package", ""), ("Across", ""), ("Copies", ""),
             ("When a producer dies", ""), ("", "")],
            [peer_row(peer) for peer in result.peers]))
    parts += not_built(result)
    failed = [row((tag("td", escape(case.title), "long"),
                   tag("td", escape(subject.name), "name bad"),
                   tag("td", escape(subject.why), "bad")))
              for case, subject in result.failed()]
    if failed:
        parts.append(table([("Case", ""), ("Failed", ""), ("Why", "")],
                           failed))
    return parts


def published(result: Result) -> list[str]:
    if not result.published:
        return []
    rows = [row((tag("td", escape(p.what)),
                 tag("td", escape(words.quantity(p.value, p.unit)), "n"),
                 tag("td", escape(p.source), "long")))
            for p in result.published]
    return [tag("h2", "As published, not measured"),
            paragraph("Figures of others, from elsewhere: they say of what "
                      "order something was, and no ratio to them means "
                      "anything."),
            table([("What", ""), ("As published", "n"), ("Source", "")], rows)]


def page(result: Result) -> str:
    parts = opening(result) + goals(result)
    for place in range(len(result.questions)):
        parts += question_section(result, place)
    parts += who(result) + published(result)
    parts.append(tag("footer", escape(
        f"tapio-bench {result.version}, {result.started}. Made by "
        "bench/bench-report.")))
    body = "\n".join(parts)
    return (
        "<!DOCTYPE html>\n"
        "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        "<title>Tapio beside what people would use instead</title>\n"
        f"<style>{STYLE}{svg.style()}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n")
