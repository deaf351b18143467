#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is the JSON of a tapio-bench run complete?

Usage: bench_json.py RESULT LIST

RESULT is the JSON of a run over everything, LIST what --list says. Each case of
the list must be there once with every subject; each subject has either all its
figures with as many turns as were asked for, or a reason; every number fits the
others; nothing failed. Docs: tapio-bench(1).
"""
import json
import math
import re
import statistics
import sys

STATES = {"ok", "absent", "failed"}
KINDS = {"tapio", "peer", "floor"}
PLACEMENTS = {"apart", "together", "mixed", "unknown", None}
GOALS = {"value", "subject", "best_peer"}

problems = []


def check(condition, where, what):
    if not condition:
        problems.append(f"{where}: {what}")
    return condition


def is_number(value):
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
            and math.isfinite(value))


def near(a, b):
    return abs(a - b) <= 1e-6 * max(abs(a), abs(b), 1e-9)


def has(node, where, **kinds):
    """Does the node have these keys, with values of these types?"""
    good = check(isinstance(node, dict), where, "not an object")
    for key, kind in kinds.items():
        value = node.get(key, ...) if good else ...
        if isinstance(value, bool) and kind is not bool:
            value = ...
        if kind is float:
            good &= check(is_number(value), f"{where}.{key}", "no number")
        else:
            good &= check(isinstance(value, kind), f"{where}.{key}",
                          f"not {kind}")
    return good


def check_measured(where, measured, tapio, turns):
    """One figure of one subject, beside Tapio's turns of the same one."""
    if not has(measured, where, median=float, min=float, max=float,
               turns=list):
        return
    values = measured["turns"]
    if not check(len(values) == turns and all(map(is_number, values)), where,
                 f"{len(values)} turns, or no numbers"):
        return
    check(near(measured["median"], statistics.median(values))
          and near(measured["min"], min(values))
          and near(measured["max"], max(values)), where,
          "median, min or max is not that of the turns")
    if not tapio or not all(tapio):
        return
    ratio = statistics.median(v / t for v, t in zip(values, tapio))
    check(is_number(measured.get("ratio")) and near(measured["ratio"], ratio),
          where, "the ratio is not that of the turns")


def check_subject(where, subject, case, peers, turns):
    if not has(subject, where, name=str, peer=str, status=str, figures=list):
        return
    where = f"{where} ({subject['name']})"
    status, figures = subject["status"], subject["figures"]
    check(status in STATES, where, f"status {status}")
    check(subject["peer"] in peers, where, "not in the list of peers")
    # To be absent is no shame: packages and rights differ.
    check(status != "failed", where, f"failed: {subject.get('why')}")
    if status != "ok":
        check(subject.get("why"), where, f"{status} for no reason")
        check(not figures, where, f"{status}, with figures")
        return
    if not check(len(figures) == len(case["figures"]), where,
                 "not all figures"):
        return
    tapio = next((s for s in case["subjects"] if s["status"] == "ok"
                  and peers.get(s["peer"]) == "tapio"), None)
    for i, measured in enumerate(figures):
        check_measured(f"{where}.figures[{i}]", measured,
                       tapio and tapio["figures"][i]["turns"], turns)


def check_placement(where, place, turns):
    if not has(place, where, kept=int, thrown_away=int, thrown_away_s=float,
               waited_s=float, unanswered=int):
        return 0
    check(place.get("got", ...) in PLACEMENTS, where, "got")
    check(turns is None or place["kept"] == turns, where,
          f"{place['kept']} turns kept of {turns}")
    return place["kept"]


def check_lines(where, place, turns):
    """Of a case: a line for each turn, or null where it could not be timed."""
    check(len(place.get("line_ns", ())) == turns and
          all(ns is None or is_number(ns) and ns > 0
              for ns in place.get("line_ns", ())), where, "line_ns")


def check_goal(where, goal, case, run):
    if not has(goal, where, text=str, kind=str, figure=int, limit=float):
        return
    check(goal["kind"] in GOALS, where, f"kind {goal['kind']}")
    check(goal["figure"] < len(case["figures"]), where, "no such figure")
    for key in ("of", "plus", "note"):
        check(key in goal, where, f"no {key}")
    if goal["kind"] == "subject":
        check(goal.get("against"), where, "against nobody")
    if goal.get("of") and all(b["present"] for b in run["built"]):
        check(goal["of"] in [s["name"] for s in case["subjects"]], where,
              f"of {goal['of']}, who is not in the case")
    reached = goal.get("reached", ...)
    check(reached in (True, False, None), where, "reached?")
    check(reached is None or not run["quick"], where, "judged by a quick run")
    if reached is None:
        check(goal.get("why"), where, "not judged for no reason")
    if goal["kind"] == "subject" and all(b["present"] for b in run["built"]):
        # A goal against somebody who does not exist can never be judged.
        check(any(goal.get("against") in (s["name"], s["peer"])
                  for s in case["subjects"]), where,
              f"against {goal.get('against')}, who is not in the case")


def check_case(where, case, peers, run):
    if not has(case, where, name=str, title=str, bytes=int, batch=int,
               param=int, events=int, turns=int, figures=list, subjects=list,
               goals=list, placement=dict):
        return None
    where = f"{where} {case['name']}"
    check_placement(f"{where}.placement", case["placement"], case["turns"])
    check_lines(where, case["placement"], case["turns"])
    check(case["figures"], where, "no figures")
    check(1 <= case["turns"] <= run["turns"], where, "turns")
    for i, figure in enumerate(case["figures"]):
        has(figure, f"{where}.figures[{i}]", name=str, unit=str,
            more_is_better=bool)
    check(any(peers.get(s.get("peer")) == "tapio" for s in case["subjects"]),
          where, "Tapio is not among the subjects")
    names = [s.get("name") for s in case["subjects"]]
    check(len(set(names)) == len(names), where, f"names twice in {names}")
    for i, subject in enumerate(case["subjects"]):
        check_subject(f"{where}.subjects[{i}]", subject, case, peers,
                      case["turns"])
    for i, goal in enumerate(case["goals"]):
        check_goal(f"{where}.goals[{i}]", goal, case, run)
    return case["name"]


def check_peers(run):
    for i, peer in enumerate(run["peers"]):
        if has(peer, f"peers[{i}]", name=str, kind=str, package=str,
               copies=str, across=str, death=str):
            check(peer["kind"] in KINDS, f"peers[{i}]", peer["kind"])
    return {p.get("name"): p.get("kind") for p in run["peers"]}


def check_run(run):
    """The names of the cases, with their questions' numbers."""
    if not has(run, "the run", format=str, format_version=int, version=str,
               command=str, quick=bool, turns=int, started=str, seconds=float,
               machine=dict, pingpong_ns=dict, placement=dict, built=list,
               peers=list,
               published=list, questions=list):
        return []
    check(run["format"] == "tapio-bench", "format", run["format"])
    has(run["machine"], "machine", cpu=str, architecture=str, kernel=str,
        os=str, cpus_online=int, cpus=list, memory_bytes=int, huge_pages=int,
        hypervisor=bool, load=float)
    has(run["pingpong_ns"], "pingpong_ns", before=float, after=float)
    for i, item in enumerate(run["published"]):
        has(item, f"published[{i}]", what=str, value=float, unit=str,
            source=str)
    for i, item in enumerate(run["built"]):
        if not has(item, f"built[{i}]", name=str, package=str, present=bool):
            return []
    peers = check_peers(run)
    has(run["placement"], "placement", wanted=str, wait_s=float,
        together_most_ns=float, apart_least_ns=float)
    kept = check_placement("placement", run["placement"], None)
    found = []
    for i, question in enumerate(run["questions"]):
        where = f"questions[{i}]"
        if not has(question, where, number=int, text=str, before=dict,
                   after=dict, placement=dict, cases=list):
            continue
        check(not question.get("absent"), where, question.get("absent"))
        kept -= check_placement(f"{where}.placement", question["placement"],
                                sum(c["turns"] for c in question["cases"]))
        for key in ("before", "after"):
            has(question[key], f"{where}.{key}", line_ns=float, store_ns=float)
        found += [(question["number"], check_case(where, case, peers, run))
                  for case in question["cases"]]
    check(not kept, "placement", "not the turns of the questions")
    return found


def listed(text):
    """The cases that --list names, under their questions' numbers."""
    number, cases = 0, []
    for line in text.splitlines():
        if match := re.match(r"(\d+)  \S", line):
            number = int(match[1])
        elif match := re.match(r"  (\S+)  \S", line):
            cases.append((number, match[1]))
    return cases


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        found = check_run(json.load(file))
    with open(sys.argv[2], encoding="utf-8") as file:
        wanted = listed(file.read())
    check(wanted, "--list", "no cases")
    check(len(set(wanted)) == len(wanted), "--list", "a case is there twice")
    for number, name in sorted(set(wanted) - set(found)):
        check(False, f"question {number}", f"{name} is missing")
    for number, name in sorted(set(found) - set(wanted)):
        check(False, f"question {number}", f"{name} is not on the list")
    check(len(found) == len(set(found)), "the run", "a case is there twice")
    for problem in problems:
        print(problem)
    print(f"{len(found)} cases, {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main())
