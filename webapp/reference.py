"""The API's OpenAPI document, read into what its page shows: no reader of the page needs JSON."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DEEPEST = 3
"""How many objects within objects are listed field by field."""

TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}

Node = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One parameter or field of a body: its type in words, and the fields inside it."""

    name: str
    type: str
    required: bool
    description: str
    inside: tuple["Field", ...] = ()


@dataclass(frozen=True)
class Answer:
    """What may come back."""

    status: str
    description: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Operation:
    """One method of one path, with a command that calls it."""

    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[Field, ...]
    body: tuple[Field, ...]
    answers: tuple[Answer, ...]
    curl: str

    @property
    def anchor(self) -> str:
        """Return a name to link to."""
        return f"{self.method} {self.path}".lower().translate(_TO_DASHES)


_TO_DASHES = str.maketrans({" ": "-", "/": "-", "{": None, "}": None})


def operations_by_tag(document: Node, server: str) -> dict[str, list[Operation]]:
    """Return the document's operations by tag, in the order of their paths."""
    reader = _Reader(document, server)
    groups: dict[str, list[Operation]] = {}
    for path, methods in sorted(document.get("paths", {}).items()):
        for method, node in methods.items():
            for tag in node.get("tags") or ["Other"]:
                groups.setdefault(tag, []).append(reader.operation(method, path, node))
    return groups


@dataclass(frozen=True)
class _Reader:
    document: Node
    server: str

    def operation(self, method: str, path: str, node: Node) -> Operation:
        body = self.resolved(_json_schema(node.get("requestBody", {})))
        return Operation(
            method=method.upper(),
            path=path,
            summary=node.get("summary", ""),
            description=node.get("description", ""),
            parameters=tuple(self.parameter(each) for each in node.get("parameters", ())),
            body=self.fields(body),
            answers=tuple(
                Answer(status, answer.get("description", ""), self.fields(_json_schema(answer)))
                for status, answer in sorted(node.get("responses", {}).items())
            ),
            curl=self.curl(method, path, node, body),
        )

    def parameter(self, node: Node) -> Field:
        schema = self.resolved(node.get("schema", {}))
        where = {"path": "in the path", "header": "a header"}.get(node["in"], "in the query")
        told = [where, self.type(schema)]
        if schema.get("default") is not None:
            told.append(f"{schema['default']} if missing")
        description = node.get("description") or schema.get("description", "")
        return Field(node["name"], ", ".join(told), node.get("required", False), description)

    def fields(self, schema: Node, depth: int = 0) -> tuple[Field, ...]:
        """Return an object's fields; what is not an object has none."""
        schema = self.resolved(schema)
        required = schema.get("required", ())
        return tuple(
            self.field(name, self.resolved(each), name in required, depth)
            for name, each in schema.get("properties", {}).items()
        )

    def field(self, name: str, schema: Node, required: bool, depth: int) -> Field:
        inside = next(self._objects(schema), None) if depth < DEEPEST else None
        within = self.fields(inside, depth + 1) if inside else ()
        return Field(name, self.type(schema), required, schema.get("description", ""), within)

    def type(self, schema: Node) -> str:
        """Return a schema's type in words."""
        schema = self.resolved(schema)
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return " or ".join(dict.fromkeys(self.type(choice) for choice in choices))
        if "enum" in schema or "const" in schema:
            return " or ".join(
                json.dumps(value) for value in schema.get("enum", [schema.get("const")])
            )
        if schema.get("type") == "array":
            return f"list of {self.type(schema.get('items', {}))}"
        name = str(schema.get("type", "any value"))
        return TYPES.get(name, name) + _limits(schema)

    def resolved(self, schema: Node) -> Node:
        """Return the schema that a $ref points to; an unknown one counts as any value."""
        seen = 0
        while "$ref" in schema and seen < DEEPEST:
            found: Any = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found.get(part, {}) if isinstance(found, Mapping) else {}
            schema, seen = found, seen + 1
        return schema

    def curl(self, method: str, path: str, node: Node, body: Node) -> str:
        lines = [f"curl -X {method.upper()} {self.server}{path}"]
        if node.get("security"):
            lines.append("-H 'Authorization: Bearer YOUR_API_KEY'")
        if body:
            lines.append("-H 'Content-Type: application/json'")
            lines.append(f"-d {shlex.quote(json.dumps(self.example(body)))}")
        return " \\\n  ".join(lines)

    def example(self, schema: Node, depth: int = 0) -> Any:
        """Return the schema's own example, or one made of its required fields."""
        schema = self.resolved(schema)
        for given in ("example", "default", "const"):
            if given in schema:
                return schema[given]
        if known := schema.get("examples") or schema.get("enum"):
            return known[0]
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return self.example(choices[0], depth)
        if schema.get("type") == "object" and depth < DEEPEST:
            required = schema.get("required", ())
            fields = schema.get("properties", {})
            return {
                name: self.example(fields[name], depth + 1) for name in required if name in fields
            }
        return {"string": "…", "integer": 1, "number": 0.5, "boolean": True, "array": []}.get(
            schema.get("type", ""), {}
        )

    def _objects(self, schema: Node) -> Iterator[Node]:
        """Yield the objects with named fields that a value of this schema may be or hold."""
        schema = self.resolved(schema)
        if schema.get("properties"):
            yield schema
        for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from self._objects(choice)
        if "items" in schema:
            yield from self._objects(schema["items"])


def _json_schema(node: Node) -> Node:
    content = node.get("content", {})
    kind = next((kind for kind in content if "json" in kind), None)
    schema: Node = content[kind].get("schema", {}) if kind else {}
    return schema


def _limits(schema: Node) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    longest = schema.get("maxLength")
    return f", at most {longest:,} characters" if longest else ""
