# SPDX-License-Identifier: Apache-2.0
"""A result as tapio-bench writes it, small and with everything that can be in
it: figures of all units, one that follows from another, both directions, goals of all
kinds in all states, a subject that failed, absent peers, a question that could not be
asked, two families of cases, and names that are no good HTML, XML or Markdown."""
from typing import Any

Json = dict[str, Any]

NASTY = 'peer <b>&"|`*_ \x01'
PEERS = {"Tapio": "tapio", NASTY: "peer", "pipe": "peer", "queue": "peer",
         "plain stores": "floor", "far & away": "peer"}


def measured(median: float, ratio: float | None) -> Json:
    turns = [median * 0.9, median, median * 1.3]
    return {"median": median, "min": turns[0], "max": turns[2],
            "ratio": ratio, "turns": turns}


def inverse(median: float, ratio: float | None, factor: float) -> Json:
    """Of what is factor over the other figure, turn by turn."""
    turns = [factor / (median * part) for part in (0.9, 1, 1.3)]
    return {"median": turns[1], "min": turns[2], "max": turns[0],
            "ratio": ratio, "turns": turns}


def subject(peer: str, figures: list[Json], variant: str | None = None) -> Json:
    return {"name": f"{peer}, {variant}" if variant else peer, "peer": peer,
            "variant": variant, "status": "ok", "why": None,
            "figures": figures}


def missing(peer: str, status: str, why: str) -> Json:
    return {"name": peer, "peer": peer, "variant": None, "status": status,
            "why": why, "figures": []}


def goal(kind: str, limit: float, value: float | None, reached: bool | None,
         against: str | None = None, why: str | None = None,
         plus: str | None = None, note: str | None = None) -> Json:
    return {"text": f"goal <{kind}> {limit}", "kind": kind, "against": against,
            "figure": 0, "limit": limit, "value": value, "reached": reached,
            "why": why, "of": None, "plus": plus, "note": note}


def placement(got: str | None, kept: int = 3, thrown: int = 0,
              waited_s: float = 0.0, unanswered: int = 0) -> Json:
    """Of a case, a question or a run: each has some more."""
    return {"got": got, "kept": kept, "thrown_away": thrown,
            "thrown_away_s": 0.5 * thrown, "waited_s": waited_s,
            "unanswered": unanswered}


def case(name: str, title: str, figures: list[tuple[str, str, bool]],
         subjects: list[Json], goals: list[Json] | None = None,
         param: int = 0, param_name: str | None = None) -> Json:
    return {"name": name, "title": title, "bytes": 64, "batch": 1,
            "param": param, "param_name": param_name, "events": 1000,
            "turns": 3, "placement": placement("apart") | {
                "line_ns": [210.5, 220.0, 215.0]},
            "figures": [{"name": n, "unit": u, "more_is_better": m}
                        for n, u, m in figures],
            "subjects": subjects, "goals": goals or []}


def stream() -> Json:
    def one(peer: str, ns: float, variant: str | None = None) -> Json:
        return subject(peer, [measured(ns, ns / 8),
                              inverse(ns, 8 / ns, 1e9),
                              inverse(ns, 8 / ns, 64)], variant)
    return case(
        "stream/64/single", "64 bytes <one> & \"at\" a time",
        [("an event", "ns", False), ("rate", "events/s", True),
         ("data", "GB/s", True)],
        [one("Tapio", 8), one("Tapio", 12, "in place"), one(NASTY, 40),
         one("pipe", 4321), one("plain stores", 5),
         missing("queue", "failed", "event <12> came twice"),
         missing("far & away", "absent", "no </td> here")],
        [goal("value", 6, 8.2, False, note="below the <floor> of 7 ns"),
         goal("value", 10, 8, True),
         goal("subject", 1.5, 1.6, False, "plain stores", plus="pi & pe"),
         goal("best_peer", 0.25, 0.2, True, NASTY),
         goal("best_peer", 1, 1.5, False, NASTY),
         goal("value", 3, None, None, None, "too <few> events")])


def latency() -> Json:
    def one(peer: str, ns: float) -> Json:
        return subject(peer, [measured(ns, ns / 200),
                              measured(ns * 3, ns / 200),
                              measured(ns * 20, ns / 200),
                               measured(1.75, 1)])
    return case("latency/64/awake", "both awake",
                [("p50", "ns", False), ("p99", "ns", False),
                 ("p99.9", "ns", False), ("p99 : p50", "x", False)],
                [one("Tapio", 200), one("pipe", 940)])


def fanout(groups: int) -> Json:
    return case(
        f"fanout/64/{groups}", f"to {groups} groups",
        [("memory", "bytes", False), ("CPU", "%", False)],
        [subject("Tapio", [measured(4096.0 * groups, 1), measured(0, None)],
                 "groups"),
         subject("pipe", [measured(65536.0 * groups, 16),
                          measured(3.0 * groups, None)])],
        param=groups, param_name="groups <n>")


def rate(events: int) -> Json:
    return case(f"rate/{events // 1000}k", "at a rate",
                [("throughput", "events/s", True)],
                [subject("Tapio", [measured(float(events), 1)])], param=events)


def question(number: int, text: str, cases: list[Json],
             absent: str | None = None) -> Json:
    return {"number": number, "text": text, "absent": absent,
            "before": {"line_ns": 101.5, "store_ns": 4.5},
            "after": {"line_ns": None, "store_ns": None},
            "placement": placement("apart", 3, 2, 12.4) | {"line_ns": 215.0},
            "cases": cases}


def result() -> Json:
    return {
        "format": "tapio-bench", "format_version": 1, "version": "0.1.0",
        "commit": None, "command": "tapio-bench --json <x>&`y`",
        "quick": False, "turns": 3, "started": "2026-11-25T10:00:00Z",
        "seconds": 12.5,
        "machine": {"cpu": "A <CPU> & more", "architecture": "x86_64",
                    "kernel": "Linux 6.18", "os": "Debian", "cpus_online": 2,
                    "cpus": [0, 1], "memory_bytes": 2**34, "huge_pages": 0,
                    "governor": None, "hypervisor": True, "load": 0.5},
        "pingpong_ns": {"before": 101.5, "after": 204.25},
        "placement": placement("apart", 18, 12, 74.4) | {
            "wanted": "apart", "wait_s": 60.0, "together_most_ns": 75.0,
            "apart_least_ns": 90.0},
        "built": [{"name": "Far <Ring>", "package": "libfar-dev",
                   "present": False}],
        "peers": [{"name": name, "kind": kind, "package": "",
                   "copies": f"copies of <{kind}>", "across": "processes",
                   "death": f"death & {kind}",
                   "absent": "never <there>" if name == "far & away" else None}
                  for name, kind in PEERS.items()],
        "published": [{"what": "put & get", "value": 89.3, "unit": "ns",
                       "source": "a <paper>"}],
        "questions": [
            question(2, "How <fast>?", [stream()]),
            question(4, "How late?", [latency()]),
            question(5, "How far?", [fanout(1), fanout(2), fanout(4)]),
            question(8, "How often?", [rate(10000), rate(1000000)]),
            question(8, "How much?", [
                case("much", "one", [("much", "bytes", False)],
                     [subject("Tapio", [measured(1000, 1)]),
                      subject("plain stores", [measured(900, 0.9)])])]),
            question(9, "How large?", [], "no <memory>")],
    }
