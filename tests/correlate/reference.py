#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The meaning of the rules of tapio-correlate, by brute force over a whole recording.

It says the definitions of docs/guide/correlation.md in the plainest way, with no state, no
timers, no index: each event looks at all events before it. So it is slow, and short enough to
be compared with the guide line by line.

An event is a dict of its fields, with "place" (channel, instance, lane, position) and "t". One
that tells of a pod has "pod", the fields of it, and the ids that lead to it.
A condition is a function of (event, chain); chain is a dict from the names of earlier steps to
their events, and holds only those that are part of the sequence.
"""
import dataclasses


@dataclasses.dataclass
class Rule:
    """A rule. Steps are pairs of a name and a condition, in the order of the operator."""
    name: str
    kind: str  # sequence, count, distinct, absent
    steps: list
    key: tuple
    within: int
    need: int = 1
    cooldown: int = 0
    field: str = ""  # of distinct


@dataclasses.dataclass
class Finding:
    """A window that is complete."""
    rule: str
    time: int
    evidence: list
    verdict: str = "true"

    def line(self):
        """As the driver prints it, without the id."""
        places = " ".join("/".join(str(x) for x in e["place"]) for e in self.evidence)
        return f"{self.rule} {self.verdict} {self.time} {len(self.evidence)} {places}"


def order(event):
    """The one order of all events."""
    return (event["t"],) + event["place"]


def key_of(rule, event):
    """The key of an event, or None: one of its fields is unset."""
    values = tuple(event.get(name) for name in rule.key)
    return None if None in values else values


class Result:
    """The findings of one rule, and its numbers."""

    def __init__(self, rule, events, gaps, end):
        self.rule = rule
        self.gaps = gaps
        self.end = end  # the watermark at the end
        self.findings = []
        self.suppressed = self.unknown = 0
        for key in sorted({key_of(rule, e) for e in events} - {None}, key=repr):
            mine = [e for e in events if key_of(rule, e) == key]
            self.cool = 0
            getattr(self, rule.kind)(mine)

    # ---- what is told ------------------------------------------------------------

    def touched(self, first, last):
        """Whether events were lost between two times, both included."""
        return any(a <= last and b >= first for a, b in self.gaps)

    def fire(self, time, evidence):
        """A complete window: told, unknown, or suppressed."""
        first = evidence[0]["t"]
        lost = (self.rule.kind == "sequence" and self.touched(first, time)
                or self.rule.kind == "absent" and self.touched(first + 1, time))
        if time < self.cool:
            self.suppressed += 1
            return
        if lost:
            self.unknown += 1
        elif self.rule.cooldown:
            self.cool = time + self.rule.cooldown
        self.findings.append(Finding(self.rule.name, time, evidence,
                                     "unknown" if lost else "true"))

    # ---- operators ---------------------------------------------------------------

    def matching(self, events):
        """Events of the only step."""
        condition = self.rule.steps[0][1]
        return [e for e in events if condition(e, {})]

    def count(self, events):
        """Enough events in a window that ends with one of them."""
        since = 0
        events = self.matching(events)
        for i, event in enumerate(events):
            window = [e for e in events[since:i + 1]
                      if event["t"] - e["t"] <= self.rule.within]
            if len(window) >= self.rule.need:
                self.fire(event["t"], window)
                since = i + 1

    def distinct(self, events):
        """Enough values in a window that ends with an event. Each has its latest event."""
        since = 0
        events = [e for e in self.matching(events) if e.get(self.rule.field) is not None]
        for i, event in enumerate(events):
            window = [e for e in events[since:i + 1]
                      if event["t"] - e["t"] <= self.rule.within]
            latest = {e[self.rule.field]: e for e in window}
            if len(latest) >= self.rule.need:
                self.fire(event["t"], sorted(latest.values(), key=order))
                since = i + 1

    def absent(self, events):
        """An event that no other one follows in time."""
        events = self.matching(events)
        for event, following in zip(events, events[1:] + [None]):
            deadline = event["t"] + self.rule.within
            if deadline > self.end or following and following["t"] <= deadline:
                continue
            self.fire(deadline, [event])

    def chains(self, events, last, step, left):
        """All ways to put `left` of the events and then `last` on ascending steps."""
        if not left:
            yield [(step, last)]
            return
        for i, event in enumerate(events):
            for earlier in range(step):
                for chain in self.chains(events[:i], event, earlier, left - 1):
                    yield chain + [(step, last)]

    def holds(self, chain):
        """Whether the condition of each step holds in a chain."""
        known = {}
        for step, event in chain:
            name, condition = self.rule.steps[step]
            if not condition(event, known):
                return False
            known[name] = event
        return True

    def sequence(self, events):
        """The chain whose last event is the latest, then the one before it, and so on."""
        since = 0
        for i, event in enumerate(events):
            window = [e for e in events[since:i]
                      if event["t"] - e["t"] <= self.rule.within]
            found = [chain for step in range(len(self.rule.steps))
                     for chain in self.chains(window, event, step, self.rule.need - 1)
                     if self.holds(chain)]
            if not found:
                continue
            best = max(found, key=lambda c: [(order(e), s) for s, e in reversed(c)])
            self.fire(event["t"], [e for _, e in best])
            since = i + 1


def pod_of(event, before):
    """The pod that was last said to have the event's cgroup, or else its container."""
    for name, field in (("cgroup_ids", "cgroup_id"), ("container_ids", "container_id")):
        for pod in reversed(before):
            if event.get(field) is not None and event[field] in pod[name]:
                return pod["pod"]
    return {}


def evaluate(rules, events, gaps, end):
    """The lines of all findings, sorted, and {rule: (suppressed, unknown)}."""
    lines, numbers = [], {}
    events = sorted(events, key=order)
    pods = [e for e in events if "pod" in e]
    events = [{**e, **pod_of(e, [p for p in pods if order(p) <= order(e)])} for e in events]
    for rule in rules:
        result = Result(rule, events, gaps, end)
        lines += [finding.line() for finding in result.findings]
        numbers[rule.name] = (result.suppressed, result.unknown)
    return sorted(lines), numbers
