# SPDX-License-Identifier: Apache-2.0
"""Validates JSON against the part of JSON Schema that docs/shmstat.schema.json uses. A keyword
that it does not know fails, so none is overlooked. Stricter than the standard in one point: an
object has no key that the schema does not name, since each key must be documented."""
import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
         "integer": int, "number": (int, float)}
IGNORED = {"$schema", "$defs", "title", "description"}


def is_of(value, name):
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name])


class Schema:
    def __init__(self, root):
        self.root = root

    def errors(self, value, schema=None, at="$"):
        """The first thing that is wrong, or None."""
        schema = self.root if schema is None else schema
        for keyword in schema:
            if keyword in IGNORED:
                continue
            name = "check_" + keyword.replace("$", "")
            if not hasattr(self, name):
                return f"{at}: the schema has the unknown keyword {keyword}"
            wrong = getattr(self, name)(value, schema, at)
            if wrong:
                return wrong
        return None

    def check_ref(self, value, schema, at):
        found = self.root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return self.errors(value, found, at)

    def check_anyOf(self, value, schema, at):
        wrong = [self.errors(value, one, at) for one in schema["anyOf"]]
        return None if None in wrong else "\n or ".join(wrong)

    def check_type(self, value, schema, at):
        names = schema["type"]
        names = [names] if isinstance(names, str) else names
        if any(is_of(value, name) for name in names):
            return None
        return f"{at}: {value!r} is not of type {names}"

    def check_enum(self, value, schema, at):
        return None if value in schema["enum"] else f"{at}: {value!r} is none of {schema['enum']}"

    def check_const(self, value, schema, at):
        return None if value == schema["const"] else f"{at}: {value!r} is not {schema['const']!r}"

    def check_pattern(self, value, schema, at):
        if re.search(schema["pattern"], value):
            return None
        return f"{at}: {value!r} does not match {schema['pattern']}"

    def check_minimum(self, value, schema, at):
        if value is None or value >= schema["minimum"]:
            return None
        return f"{at}: {value} is less than {schema['minimum']}"

    def check_required(self, value, schema, at):
        missing = [key for key in schema["required"] if key not in value]
        return f"{at}: without {missing}" if missing else None

    def check_properties(self, value, schema, at):
        for key, one in value.items():
            if key not in schema["properties"]:
                return f"{at}: {key} is not in the schema"
            wrong = self.errors(one, schema["properties"][key], f"{at}.{key}")
            if wrong:
                return wrong
        return None

    def check_additionalProperties(self, value, schema, at):
        for key, one in value.items():
            wrong = self.errors(one, schema["additionalProperties"], f"{at}.{key}")
            if wrong:
                return wrong
        return None

    def check_items(self, value, schema, at):
        for i, one in enumerate(value):
            wrong = self.errors(one, schema["items"], f"{at}[{i}]")
            if wrong:
                return wrong
        return None
