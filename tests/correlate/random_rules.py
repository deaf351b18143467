# SPDX-License-Identifier: Apache-2.0
"""Random rules and recordings: each rule as text and as conditions for the reference.

Values come from small sets, so that events meet: few keys, few names, close times.
"""
import ipaddress
import json
import operator

from reference import Rule

COMMS = ["sh", "bash", "ash", "nginx", "dns"]
PEERS = ["10.0.0.1", "10.0.0.200", "10.1.0.1", "192.168.1.1", "fd00::1", "fd00:1::2"]
NETS = ["10.0.0.0/24", "10.0.0.0/8", "192.168.0.0/16", "0.0.0.0/0", "fd00::/16", "fd00::/32"]
SEVERITIES = ["info", "warning", "error"]
SEVERITY_NUMBERS = {"info": 3, "warning": 5, "error": 6}

# Of each type: fields that are numbers with the values that they may have, and texts.
TYPES = {
    "process.start": ({"ppid": range(1, 4)}, ["comm"], []),
    "process.exit": ({"exit_code": range(-1, 3), "ppid": range(1, 4)}, ["comm"], []),
    "network.connection": ({"duration_ns": range(0, 400000001, 100000000),
                            "peer_port": range(1, 4)}, ["comm"], ["peer"]),
    "process.oom": ({"score_adjustment": range(-2, 3)}, ["comm"], []),
}
HEADER = {"pid": range(1, 4), "cgroup_id": range(7, 9), "uid": range(0, 3)}
KEYS = [(), ("pid",), ("cgroup_id",), ("comm",), ("pid", "comm"), ("uid",), ("pod.uid",)]
COMPARE = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
           ">": operator.gt, ">=": operator.ge}


def spelt(field, value):
    """A number as a rule may spell it."""
    return f"{value // 1000000}ms" if field == "duration_ns" else str(value)


class Conditions:
    """Makes conditions: pairs of a text and a function of (event, chain)."""

    def __init__(self, rng):
        self.rng = rng

    def number(self, fields):
        name = self.rng.choice(sorted(fields))
        values = fields[name]
        if self.rng.random() < 0.2:
            some = self.rng.sample(list(values), min(2, len(values)))
            text = ", ".join(spelt(name, v) for v in some)
            return f"{name} in {{ {text} }}", lambda e, c: e.get(name) in some
        sign = self.rng.choice(sorted(COMPARE))
        value = self.rng.choice(list(values))

        def test(event, _):
            return event.get(name) is not None and COMPARE[sign](event[name], value)
        short = "duration" if name == "duration_ns" and self.rng.random() < 0.5 else name
        return f"{short} {sign} {spelt(name, value)}", test

    def text(self):
        word = self.rng.choice(COMMS)
        how = self.rng.choice(["==", "!=", "prefix", "suffix", "contains", "in"])
        part = word[:2] if how == "prefix" else word[-2:] if how == "suffix" else word[1:2] \
            if how == "contains" else word
        tests = {
            "==": lambda s: s == word, "!=": lambda s: s != word,
            "prefix": lambda s: s.startswith(part), "suffix": lambda s: s.endswith(part),
            "contains": lambda s: part in s, "in": lambda s: s in (word, "nginx"),
        }
        shown = f'{{ "{word}", "nginx" }}' if how == "in" else f'"{part}"'
        return (f"comm {how} {shown}",
                lambda e, c: e.get("comm") is not None and tests[how](e["comm"]))

    def peer(self):
        net = self.rng.choice(NETS)
        known = ipaddress.ip_network(net)
        shown = f'"{net}"' if ":" in net else net

        def test(event, _):
            peer = event.get("peer")
            return peer is not None and ipaddress.ip_address(peer) in known
        return f"peer in {shown}", test

    def severity(self):
        name = self.rng.choice(SEVERITIES)
        return (f"severity >= {name}",
                lambda e, c: SEVERITY_NUMBERS[e["severity"]] >= SEVERITY_NUMBERS[name])

    def reference(self, earlier):
        step = self.rng.choice(earlier)
        mine, theirs = self.rng.choice([("comm", "comm"), ("pid", "pid"), ("uid", "pid")])
        sign = self.rng.choice(["==", "!="])

        def test(event, chain):
            other = chain.get(step, {}).get(theirs)
            return (other is not None and event.get(mine) is not None
                    and COMPARE[sign](event[mine], other))
        return f"{mine} {sign} {step}.{theirs}", test

    def pod(self):
        name = self.rng.choice(["web-1", "web-2"])
        sign = self.rng.choice(["==", "!="])
        return (f'pod.name {sign} "{name}"',
                lambda e, c: e.get("pod.name") is not None
                and COMPARE[sign](e["pod.name"], name))

    def leaf(self, kind, earlier):
        """One test on events of a type."""
        numbers, _, addresses = TYPES[kind]
        dice = self.rng.random()
        if self.rng.random() < 0.05:
            return self.pod()
        if earlier and dice < 0.3:
            return self.reference(earlier)
        if addresses and dice < 0.5:
            return self.peer()
        if dice < 0.55:
            return self.severity()
        if dice < 0.6:
            return "has uid", lambda e, c: e.get("uid") is not None
        if dice < 0.75:
            return self.text()
        return self.number({**numbers, **HEADER} if dice < 0.9 else HEADER)

    def tree(self, kind, earlier, depth):
        dice = self.rng.random()
        if depth == 0 or dice < 0.5:
            return self.leaf(kind, earlier)
        a, f = self.tree(kind, earlier, depth - 1)
        if dice < 0.6:
            return f"not ({a})", lambda e, c: not f(e, c)
        b, g = self.tree(kind, earlier, depth - 1)
        if dice < 0.8:
            return f"({a} and {b})", lambda e, c: f(e, c) and g(e, c)
        return f"({a} or {b})", lambda e, c: f(e, c) or g(e, c)

    def step(self, earlier):
        """The condition of a step, on one type or two."""
        kinds = self.rng.sample(sorted(TYPES), self.rng.choice([1, 1, 1, 2]))
        shown = f"type == {kinds[0]}" if len(kinds) == 1 else f"type in {{ {', '.join(kinds)} }}"
        if self.rng.random() < 0.35:
            return shown, lambda e, c: e["type"] in kinds
        text, test = self.tree(kinds[0], earlier, 2)
        return (f"{shown} and {text}",
                lambda e, c: e["type"] in kinds and test(e, c))


def random_rule(rng, name):
    """A rule: its text, and what the reference takes."""
    make = Conditions(rng)
    kind = rng.choice(["sequence", "sequence", "count", "distinct", "absent"])
    names = ["a", "b", "c", "d"][:rng.choice([2, 2, 3, 4]) if kind == "sequence" else 1]
    steps, texts = [], []
    for i, step in enumerate(names):
        text, test = make.step(names[:i])
        steps.append((step, test))
        texts.append(f"  {step}: {text}")
    key = rng.choice(KEYS)
    rule = Rule(name, kind, steps, key, within=rng.choice([1, 5, 10, 30]) * 1000000,
                cooldown=rng.choice([0, 0, 0, 10, 40]) * 1000000)
    if kind == "sequence":
        rule.need = rng.choice([len(names), len(names), rng.randint(1, len(names))])
        shown = f"sequence {', '.join(names)}"
    elif kind == "absent":
        shown = rng.choice(["absent", "absent a"])
    else:
        rule.need = rng.randint(1, 4)
        rule.field = rng.choice(["comm", "uid", "pid"])
        what = f"distinct(a.{rule.field})" if kind == "distinct" else "count(a)"
        shown = f"{what} {rng.choice([f'>= {rule.need}', f'> {rule.need - 1}'])}" \
            if rule.need > 1 else f"{what} >= 1"
    tail = ([f"by {', '.join(key)}"] if key else []) + [f"within {rule.within // 1000}us"]
    if kind == "sequence" and rule.need != len(names):
        tail.append(f"at least {rule.need}")
    rng.shuffle(tail)
    texts.append(f"  {shown} {' '.join(tail)}")
    if rule.cooldown:
        texts.append(f"  cooldown {rule.cooldown // 1000000}ms")
    rng.shuffle(texts[len(names) - 1:])
    return f"rule {name} {{\n" + "\n".join(texts) + "\n}\n", rule


def random_event(rng, time):
    """An event without its place."""
    kind = rng.choice(sorted(TYPES))
    numbers, _, addresses = TYPES[kind]
    event = {"type": kind, "t": time, "severity": rng.choice(SEVERITIES)}
    for name, values in {**numbers, **HEADER}.items():
        if rng.random() < 0.9:
            event[name] = rng.choice(list(values))
    if rng.random() < 0.9:
        event["comm"] = rng.choice(COMMS)
    for name in addresses:
        if rng.random() < 0.9:
            event[name] = rng.choice(PEERS)
    if rng.random() < 0.2:
        event["container_id"] = rng.choice(["c7", "c8", "c9"])
    return event


def random_pod(rng, time):
    """An event that tells of a pod: the cgroup and the container of one of its containers."""
    number = rng.choice([1, 2, 3])
    cgroup, container = rng.choice([7, 8]), rng.choice(["c7", "c8"])
    return {"type": "kubernetes.object", "t": time, "severity": "info", "kind": "Pod",
            "name": f"web-{number}", "namespace": "prod", "object_uid": f"uid-{number}",
            "cgroups": {container: str(cgroup)},
            "pod": {"pod.name": f"web-{number}", "pod.uid": f"uid-{number}"},
            "cgroup_ids": {cgroup}, "container_ids": {container}}


def random_events(rng, count):
    """A recording, in the order of time. Many events share a time."""
    time, events, positions = 1000000000, [], {}
    for _ in range(count):
        time += rng.choice([0, 0, 1, 1, 2, 3, 7]) * 1000000
        event = (random_pod if rng.random() < 0.08 else random_event)(rng, time)
        lane = (rng.choice(["events", "logs"]), rng.choice(["", "1"]), rng.randrange(3))
        positions[lane] = positions.get(lane, 0) + rng.choice([1, 1, 2])
        event["place"] = lane + (positions[lane],)
        events.append(event)
    return events


def line_of(event):
    """An event as tapio-tail --json writes it."""
    channel, instance, lane, position = event["place"]
    line = {"channel": channel, "instance": instance, "class": 0, "stamp_ns": event["t"],
            "lane": lane, "position": position, "time_ns": event["t"]}
    ours = ("t", "place", "pod", "cgroup_ids", "container_ids")
    return json.dumps({**line, **{k: v for k, v in event.items() if k not in ours}})
