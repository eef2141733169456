"""Says rows, searches and answers in Milvus's own protocol. Opens no connection.

The messages are milvus-proto's, the stable contract of every Milvus SDK, as pymilvus ships them. pymilvus's own
clients are not used: they retry without end, share one lock for all reconnects, and spend more on an answer than the
server does.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from lookalike_router import columns, expression
from lookalike_router.filter import COLUMNS
from lookalike_router.shard import DIM, Candidate, Head, Row, Stored
from lookalike_router.slots import slot_of

KIND = schema_pb2.DataType
INT_COLUMNS = {
    "product": KIND.Int64,
    "slot": KIND.Int32,
    "version": KIND.Int64,
    "title": KIND.Int64,
    "category": KIND.Int64,
    "brand": KIND.Int64,
    "price_minor": KIND.Int64,
    "currency": KIND.Int64,
    "in_stock": KIND.Int8,
}
# Bytes of UTF-8; a shop's ids are at most 128.
TEXT_COLUMNS = {"key": 32, "product_id": 512, "image_id": 512, "model": 512, "document": columns.DOCUMENT_BYTES_MAX}
HEAD_FIELDS = ["product_id", "image_id", "version"]
KEY_FIELDS = ["slot", "key"]
CANDIDATE_FIELDS = [*HEAD_FIELDS, "document"]
STORED_FIELDS = [*CANDIDATE_FIELDS, "model"]
ROW_FIELDS = [*STORED_FIELDS, "vector"]
LEVEL = common_pb2.ConsistencyLevel
# FloatArray's only field as it begins in bytes: number 1, of which follow so many bytes, each four a float32.
FLOATS_TAG = 0x0A
# Rows live in the partition that every collection has; vectors whose answers are known live beside them, so that a
# join proves this very index, and no search or count of the shop meets them.
ROWS, KNOWN = "_default", "known"
# As of when a query answers, where it is not a timestamp that a server gave: now; or some seconds ago at the latest,
# for which nobody waits but those who ask a server that has just started and still reads its own log.
STRONG = 0
LATELY = 2
LOADED = common_pb2.LoadState.LoadStateLoaded
FLOATS = common_pb2.PlaceholderType.FloatVector
# Replicas times the page sizes in use; to make a request anew costs a search more than to copy it.
SEARCHES_KEPT = 256


def schema(collection: str, description: str) -> Any:
    """Return the schema of a shard's collection."""
    fields = [
        schema_pb2.FieldSchema(
            name=name,
            data_type=KIND.VarChar,
            is_primary_key=name == "key",
            type_params=_pairs(max_length=length),
        )
        for name, length in TEXT_COLUMNS.items()
    ]
    fields += [schema_pb2.FieldSchema(name=name, data_type=kind) for name, kind in INT_COLUMNS.items()]
    fields.append(schema_pb2.FieldSchema(name="facts", data_type=KIND.JSON))
    fields.append(schema_pb2.FieldSchema(name="vector", data_type=KIND.FloatVector, type_params=_pairs(dim=DIM)))
    return schema_pb2.CollectionSchema(name=collection, description=description, fields=fields)


def layout(found: Any) -> dict[str, str]:
    """Return what matters of a schema: each field's type, its length or dimension."""
    return {
        field.name: " ".join(
            [KIND.Name(field.data_type), *sorted(f"{pair.key}={pair.value}" for pair in field.type_params)]
        )
        for field in found.fields
    }


def create(collection: str, description: str) -> Any:
    """Return the request that makes a shard's collection."""
    return milvus_pb2.CreateCollectionRequest(
        collection_name=collection,
        schema=schema(collection, description).SerializeToString(),
        shards_num=1,
        consistency_level=LEVEL.Bounded,
    )


def index(collection: str, kind: str, params: dict[str, int]) -> Any:
    """Return the request that makes the vectors' index."""
    return milvus_pb2.CreateIndexRequest(
        collection_name=collection,
        field_name="vector",
        index_name="vector",
        extra_params=_pairs(index_type=kind, metric_type="IP", params=json.dumps(params)),
    )


def metric(described: Any) -> str:
    """Return the metric of the described index."""
    pairs = (pair for index in described.index_descriptions for pair in index.params)
    return next((pair.value for pair in pairs if pair.key == "metric_type"), "")


def search(
    collection: str,
    queries: npt.NDArray[np.float32],
    limit: int,
    said: str,
    ef: int,
    *,
    partition: str = ROWS,
    group_by: str = "",
) -> Any:
    """Return the request that finds the `limit` rows nearest to each of `queries` (n, 256)."""
    vectors = common_pb2.PlaceholderValue(
        tag="$0",
        type=FLOATS,
        values=[query.tobytes() for query in np.ascontiguousarray(queries, dtype="<f4")],
    )
    request = milvus_pb2.SearchRequest()
    request.CopyFrom(_search(collection, limit, ef, partition, group_by))
    request.dsl = said
    request.placeholder_group = common_pb2.PlaceholderGroup(placeholders=[vectors]).SerializeToString()
    request.nq = len(queries)
    return request


@lru_cache(SEARCHES_KEPT)
def _search(collection: str, limit: int, ef: int, partition: str, group_by: str) -> Any:
    """Return what searches of one kind have in common; not to be changed."""
    grouped = {"group_by_field": group_by} if group_by else {}
    return milvus_pb2.SearchRequest(
        collection_name=collection,
        partition_names=[partition],
        dsl_type=common_pb2.DslType.BoolExprV1,
        output_fields=CANDIDATE_FIELDS,
        search_params=_pairs(
            anns_field="vector",
            topk=limit,
            metric_type="IP",
            round_decimal=-1,
            params=json.dumps({"ef": ef}),
            **grouped,
        ),
        consistency_level=LEVEL.Bounded,
        guarantee_timestamp=LATELY,
    )


def query(collection: str, said: str, fields: Sequence[str], limit: int | None, since: int) -> Any:
    """Return the request for rows that meet an expression, as of `since`: a server's timestamp, STRONG or LATELY."""
    level = {STRONG: LEVEL.Strong, LATELY: LEVEL.Bounded}.get(since, LEVEL.Customized)
    return milvus_pb2.QueryRequest(
        collection_name=collection,
        partition_names=[ROWS],
        expr=said,
        output_fields=fields,
        query_params=_pairs(limit=limit) if limit is not None else [],
        consistency_level=level,
        guarantee_timestamp=since,
    )


def nothing(collection: str, since: int) -> Any:
    """Return the request that finds no row, and that once reads are as of `since`."""
    return query(collection, expression.NEVER, ["version"], 1, since)


def upsert(collection: str, rows: Sequence[Row], partition: str = ROWS) -> Any:
    """Return the request that stores rows whole."""
    texts: dict[str, list[str]] = {
        "key": [columns.key_of(row.product_id, row.image_id, row.version) for row in rows],
        "product_id": [row.product_id for row in rows],
        "image_id": [row.image_id for row in rows],
        "model": [row.model for row in rows],
        "document": [columns.document(row.attributes, row.picture) for row in rows],
    }
    data = [_texts(name, values) for name, values in texts.items()]
    data += [_ints(name, kind, [_int(name, row) for row in rows]) for name, kind in INT_COLUMNS.items()]
    facts = schema_pb2.JSONArray(data=[columns.facts(row.attributes).encode() for row in rows])
    data.append(
        schema_pb2.FieldData(type=KIND.JSON, field_name="facts", scalars=schema_pb2.ScalarField(json_data=facts))
    )
    flat = np.concatenate([row.vector for row in rows]).astype("<f4")
    vectors = schema_pb2.VectorField(dim=DIM, float_vector=_floats(flat))
    data.append(schema_pb2.FieldData(type=KIND.FloatVector, field_name="vector", vectors=vectors))
    return milvus_pb2.UpsertRequest(
        collection_name=collection, partition_name=partition, fields_data=data, num_rows=len(rows)
    )


def delete(collection: str, keys: Sequence[str]) -> Any:
    """Return the request that deletes the rows with these primary keys."""
    return milvus_pb2.DeleteRequest(collection_name=collection, expr=expression.of_keys(keys))


def candidates(answer: Any, queries: int) -> list[list[Candidate]]:
    """Return what a search found, for each query best first."""
    results = answer.results
    fields = _columns(results.fields_data)
    if not fields:
        return [[] for _ in range(queries)]
    found = list(
        map(
            Candidate,
            fields["product_id"],
            fields["image_id"],
            fields["version"],
            results.scores,
            fields["document"],
        )
    )
    lists: list[list[Candidate]] = []
    start = 0
    for count in results.topks:
        lists.append(found[start : start + count])
        start += count
    return lists


def heads(answer: Any) -> list[Head]:
    """Return the heads that a query found."""
    fields = _columns(answer.fields_data)
    return list(map(Head, *(fields[name] for name in HEAD_FIELDS))) if fields else []


def keys(answer: Any) -> list[tuple[int, str]]:
    """Return slot and primary key of the rows that a query found."""
    fields = _columns(answer.fields_data)
    return list(zip(*(fields[name] for name in KEY_FIELDS), strict=True)) if fields else []


def stored(answer: Any) -> list[Stored]:
    """Return the rows that a query found, without vectors."""
    return _stored(_columns(answer.fields_data))


def rows(answer: Any) -> list[Row]:
    """Return the rows that a query found."""
    fields = _columns(answer.fields_data)
    vectors = np.asarray(fields.get("vector", ()), dtype=np.float32).reshape(-1, DIM)
    return [Row(**vars(each), vector=vector) for each, vector in zip(_stored(fields), vectors, strict=True)]


def counted(answer: Any) -> int:
    """Return what count(*) says."""
    [field] = answer.fields_data
    return int(field.scalars.long_data.data[0])


def _stored(fields: Mapping[str, Any]) -> list[Stored]:
    values = zip(*(fields.get(name, ()) for name in STORED_FIELDS), strict=True)
    return [
        Stored(product_id, image_id, slot_of(product_id), version, model, *columns.opened(document))
        for product_id, image_id, version, document, model in values
    ]


def _columns(data: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in data:
        match field.WhichOneof("field"):
            case "vectors":
                found[field.field_name] = field.vectors.float_vector.data
            case _:
                scalars = field.scalars
                found[field.field_name] = getattr(scalars, scalars.WhichOneof("data") or "string_data").data
    return found if any(len(values) for values in found.values()) else {}


def _int(name: str, row: Row) -> int:
    match name:
        case "product":
            return columns.fingerprint(row.product_id)
        case "slot":
            return row.slot
        case "version":
            return row.version
        case _:
            assert name in COLUMNS
            return columns.column(name, row.attributes)


def _texts(name: str, values: list[str]) -> Any:
    scalars = schema_pb2.ScalarField(string_data=schema_pb2.StringArray(data=values))
    return schema_pb2.FieldData(type=KIND.VarChar, field_name=name, scalars=scalars)


def _ints(name: str, kind: int, values: list[int]) -> Any:
    if kind == KIND.Int64:
        scalars = schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=values))
    else:
        scalars = schema_pb2.ScalarField(int_data=schema_pb2.IntArray(data=values))
    return schema_pb2.FieldData(type=kind, field_name=name, scalars=scalars)


def _floats(values: npt.NDArray[np.float32]) -> Any:
    """Return numbers as a message, by its bytes: protobuf would take them one by one, 200 times slower."""
    size = values.nbytes
    said = bytearray([FLOATS_TAG])
    while size > 0x7F:
        said.append(size & 0x7F | 0x80)
        size >>= 7
    said.append(size)
    return schema_pb2.FloatArray.FromString(bytes(said) + values.tobytes())


def _pairs(**values: object) -> list[Any]:
    return [common_pb2.KeyValuePair(key=key, value=str(value)) for key, value in values.items()]
