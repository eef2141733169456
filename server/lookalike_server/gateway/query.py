"""Reads the fields of a message from a path and a query. Knows no routes and no services."""

import json
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from starlette.datastructures import QueryParams

from lookalike_server.gateway.body import from_tree, not_json

TRUTHS = {"true": True, "false": False}


def query_message(kind: type[Message], params: QueryParams, path: dict[str, str]) -> Message:
    """Make a message of a GET; fields are named as in JSON or as in the proto, a filter is JSON."""
    names = {name: field for field in kind.DESCRIPTOR.fields for name in (field.name, field.json_name)}
    tree: dict[str, Any] = dict(path)
    for name, value in params.multi_items():
        if name not in names:
            raise not_json(f"has no parameter {name[:64]!r}; there are {', '.join(sorted(names)) or 'none'}")
        if names[name].name in tree:
            raise not_json(f"has the parameter {name[:64]!r} twice")
        tree[names[name].name] = read(names[name], value)
    return from_tree(tree, kind)


def read(field: Any, value: str) -> Any:
    """Read one parameter as its field wants it."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return TRUTHS.get(value.lower(), value)
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise not_json(f"has a parameter {field.name!r} that is not JSON") from error
    return value
