import numpy as np
import pytest
from pymilvus.grpc_gen import schema_pb2

from lookalike_router import milvus_wire
from tests.parts.shop import row, vectors

QUERIES = vectors(2, seed=1)


def test_every_search_is_a_message_of_its_own() -> None:
    first = milvus_wire.search("shop", QUERIES[:1], 10, "slot == 1", 128)
    before = first.SerializeToString(deterministic=True)
    second = milvus_wire.search("shop", QUERIES, 10, "", 128)
    assert (first.nq, first.dsl, second.nq, second.dsl) == (1, "slot == 1", 2, "")
    assert first.placeholder_group != second.placeholder_group
    second.search_params[0].value = "changed"
    assert first.SerializeToString(deterministic=True) == before
    assert milvus_wire.search("shop", QUERIES[:1], 10, "slot == 1", 128) == first


def test_what_a_search_asks_is_in_its_message() -> None:
    said = milvus_wire.search("shop", QUERIES, 7, "", 256, partition="known", group_by="product")
    params = {pair.key: pair.value for pair in said.search_params}
    assert (said.collection_name, list(said.partition_names)) == ("shop", ["known"])
    assert (params["topk"], params["params"], params["group_by_field"]) == ("7", '{"ef": 256}', "product")
    assert "group_by_field" not in {pair.key for pair in milvus_wire.search("shop", QUERIES, 7, "", 256).search_params}


def test_queries_that_lie_apart_in_memory_are_sent_in_order() -> None:
    every_second = np.repeat(QUERIES, 2, axis=0)[::2]
    assert milvus_wire.search("shop", every_second, 1, "", 128) == milvus_wire.search("shop", QUERIES, 1, "", 128)


@pytest.mark.parametrize("count", [1, 63, 64, 256])
def test_vectors_are_said_as_protobuf_itself_says_them(count: int) -> None:
    drawn = vectors(count)
    rows = [row(f"product {i}", vector=vector) for i, vector in enumerate(drawn)]
    [said] = [one for one in milvus_wire.upsert("shop", rows).fields_data if one.field_name == "vector"]
    assert said.vectors.float_vector == schema_pb2.FloatArray(data=drawn.ravel().tolist())
