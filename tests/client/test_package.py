"""What a user meets first: the import, the errors, the examples."""

import doctest
import importlib
import pickle
import pkgutil
import subprocess
import sys

import pytest

import lookalike
from lookalike.aio_rebalancing import AsyncRebalancing
from lookalike.rebalancing import Rebalancing

MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(lookalike.__path__, "lookalike.")
    if not name.startswith("lookalike.v1")
]


def test_the_import_brings_nothing_heavy() -> None:
    code = "import sys, lookalike; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "torch", "typer", "rich", "PIL", "pymilvus", "onnxruntime"} & set(loaded)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_are_true(name: str) -> None:
    failures, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failures == 0


def test_every_public_name_is_there() -> None:
    assert all(hasattr(lookalike, name) for name in lookalike.__all__)


@pytest.mark.parametrize(
    ("kind", "count"),
    [(lookalike.Client, 20), (lookalike.AsyncClient, 20), (Rebalancing, 10), (AsyncRebalancing, 10)],
)
def test_every_call_has_an_example(kind: type, count: int) -> None:
    calls = [name for name, member in vars(kind).items() if callable(member) and not name.startswith("_")]
    assert len(calls) == count
    assert all(">>>" in (getattr(kind, name).__doc__ or "") for name in calls)


def test_both_clients_have_the_same_calls() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(lookalike.Client) == public(lookalike.AsyncClient)
    assert public(Rebalancing) == public(AsyncRebalancing)


@pytest.mark.parametrize(
    "error",
    [
        lookalike.Overloaded("full", reason="OVERLOADED", retry_after_s=2.0),
        lookalike.InvalidArgument("no", field_violations=(lookalike.FieldViolation("f", "d"),)),
    ],
)
def test_an_error_survives_the_way_to_another_process(error: lookalike.LookalikeError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_a_photo_is_not_printed_with_its_product() -> None:
    product = lookalike.Product("mug-1", images=(lookalike.Image(bytes(1000)),))
    assert len(repr(product)) < 400
    assert hash(product) == hash(product)
