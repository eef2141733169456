"""Walks the imports of the three packages: arrows between them go one way, and a third-party library has one owner."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {
    "lookalike": ROOT / "client",
    "lookalike_router": ROOT / "router",
    "lookalike_server": ROOT / "server",
}
OURS = {
    "lookalike": {"lookalike"},
    "lookalike_router": {"lookalike_router"},
    "lookalike_server": {"lookalike_server", "lookalike_router", "lookalike.v1"},
}
# The demo is a user of the service: it fills and asks the shop as users do, through the SDK.
# Training and calibration read the feeds and ground truths that the SDK's command line reads.
USERS = {"lookalike_server/demo.py", "lookalike_server/models/shop.py"}
OWNERS = {
    "PIL": {"lookalike_server/image.py"},
    # export.py compares what onnxruntime and torch answer.
    "onnxruntime": {"lookalike_server/models/session.py", "lookalike_server/models/export.py"},
    # lite_server.py is the other end of the same protocol.
    "pymilvus": {
        *(f"lookalike_router/milvus{part}.py" for part in ("", "_channel", "_join", "_wire")),
        "lookalike_server/lite_server.py",
    },
    "milvus_lite": {"lookalike_server/lite_server.py"},
    "sqlalchemy": {"lookalike_router/sql_"},
    "uhashring": {"lookalike_router/ring.py"},
    "torch": {"lookalike_server/models/export.py", "lookalike_server/models/resnet.py", "lookalike_server/train/"},
    "torchvision": {"lookalike_server/models/export.py", "lookalike_server/models/resnet.py"},
    "ultralytics": {"lookalike_server/models/export.py", "lookalike_server/train/detector.py"},
    "starlette": {"lookalike_server/gateway/"},
    "uvicorn": {"lookalike_server/gateway/listening.py"},
    "pytorch_metric_learning": {"lookalike_server/train/losses.py"},
    "cv2": {"lookalike_server/train/"},
    "typer": {"lookalike/cli/"},
    "rich": {"lookalike/cli/", "lookalike_server/demo.py"},
}


def files() -> Iterator[Path]:
    for package, root in SOURCES.items():
        yield from (path for path in (root / package).rglob("*.py") if "/v1/" not in path.as_posix())


def place(path: Path) -> str:
    """Return the file's place below its source root."""
    return path.relative_to(ROOT / path.relative_to(ROOT).parts[0]).as_posix()


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("path", list(files()), ids=place)
def test_arrows_between_packages_go_one_way(path: Path) -> None:
    package = place(path).split("/")[0]
    allowed = OURS[package] | ({"lookalike"} if place(path) in USERS else set())
    strangers = {
        module
        for module in imported(path)
        if any(within(module, ours) for ours in SOURCES) and not any(within(module, one) for one in allowed)
    }
    assert not strangers


@pytest.mark.parametrize("path", list(files()), ids=place)
def test_a_library_has_one_owner(path: Path) -> None:
    poached = {
        module
        for module in imported(path)
        for library, owners in OWNERS.items()
        if within(module, library) and not any(place(path).startswith(owner) for owner in owners)
    }
    assert not poached


def test_the_walk_sees_every_package() -> None:
    assert {place(path).split("/")[0] for path in files()} == set(SOURCES)
