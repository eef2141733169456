"""Makes the OpenAPI document from the protos' descriptors. Knows no HTTP library."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

from lookalike_server.gateway.methods import Offer
from lookalike_server.version import VERSION

Schema = dict[str, Any]
# Descriptors are of one class or another, as protobuf runs in C or in Python.
Field: TypeAlias = Any
Descriptor: TypeAlias = Any

# 64-bit numbers travel as text: JavaScript's numbers end at 2^53.
SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte", "contentEncoding": "base64"},
}
WELL_KNOWN: dict[str, Schema] = {"google.protobuf.Struct": {"type": "object"}}
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "reason"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened and what to do, for people."},
        "reason": {"type": "string", "description": "Stable, for programs; the same as gRPC's ErrorInfo.reason."},
        "code": {"type": "string", "description": "The gRPC status code, where a service refused."},
        "fields": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
            },
        },
        "retryAfterSeconds": {"type": "number"},
    },
}


def document(offers: Iterable[Offer]) -> Schema:
    """Return the OpenAPI document of `offers` and of the catalogue's pictures."""
    schemas: dict[str, Schema] = {"Problem": PROBLEM}
    paths: dict[str, Schema] = {}
    for offer in offers:
        paths.setdefault(offer.path, {})[offer.verb.lower()] = operation(offer, schemas)
    paths["/v1/images/{path}"] = {"get": pictures()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lookalike", "version": VERSION, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def operation(offer: Offer, schemas: dict[str, Schema]) -> Schema:
    """Describe one method."""
    told: Schema = {
        "operationId": offer.name.replace(".", "_"),
        "summary": offer.says,
        "responses": responses({"application/json": {"schema": message_schema(offer.response.DESCRIPTOR, schemas)}}),
    }
    fields: list[Field] = list(offer.request.DESCRIPTOR.fields)
    if offer.verb == "POST":
        body = {"application/json": {"schema": message_schema(offer.request.DESCRIPTOR, schemas)}}
        if any(field.name == "image" for field in fields):
            body["multipart/form-data"] = {"schema": form_schema()}
        told["requestBody"] = {"required": True, "content": body}
    elif fields:
        told["parameters"] = [parameter(field, offer.path_field, schemas) for field in fields]
    return told


def form_schema() -> Schema:
    """Describe a photo with the rest of its message."""
    properties = {
        "image": {"type": "string", "format": "binary"},
        "request": {"type": "string", "description": "The rest of the message as JSON."},
    }
    return {"type": "object", "required": ["image"], "properties": properties}


def parameter(field: Field, path_field: str, schemas: dict[str, Schema]) -> Schema:
    """Describe one field of a GET."""
    if field.name == path_field:
        schema = {"type": "string", "minLength": 1, "maxLength": 128}
        return {"name": field.name, "in": "path", "required": True, "schema": schema}
    schema = field_schema(field, schemas)
    if field.message_type:
        return {"name": field.json_name, "in": "query", "content": {"application/json": {"schema": schema}}}
    return {"name": field.json_name, "in": "query", "schema": schema}


def pictures() -> Schema:
    """Describe the catalogue's pictures."""
    return {
        "operationId": "pictures",
        "summary": "Get a catalogue picture, or with `w` a thumbnail.",
        "parameters": [
            {"name": "path", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
            {"name": "w", "in": "query", "schema": {"type": "integer", "enum": [160, 320, 640]}},
        ],
        "responses": responses({"image/*": {"schema": {"type": "string", "format": "binary"}}}),
    }


def responses(content: Schema) -> Schema:
    """Describe an answer and its refusals."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "200": {"description": "The answer.", "content": content},
        "default": {"description": "Why there is none.", "content": problem},
    }


def message_schema(kind: Descriptor, schemas: dict[str, Schema]) -> Schema:
    """Return a reference to a message's schema, and make that schema and all it needs."""
    if kind.full_name in WELL_KNOWN:
        return WELL_KNOWN[kind.full_name]
    name = kind.full_name.removeprefix("lookalike.v1.")
    if name not in schemas:
        schema = schemas[name] = {"type": "object"}  # before its fields: a filter holds filters
        schema["properties"] = {field.json_name: field_schema(field, schemas) for field in kind.fields}
        schema["additionalProperties"] = False
    return {"$ref": f"#/components/schemas/{name}"}


def field_schema(field: Field, schemas: dict[str, Schema]) -> Schema:
    """Describe one field."""
    if field.message_type:
        schema = message_schema(field.message_type, schemas)
    elif field.enum_type:
        schema = {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    else:
        schema = SCALARS[field.type]
    # The property is newer than the oldest protobuf that is supported; later ones deprecate the label.
    repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
    return {"type": "array", "items": schema} if repeated else schema
