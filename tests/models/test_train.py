"""Real torch on small shops: what `lookalike-server train embedder` learns, refuses, and goes on from."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="needs pip install 'lookalike[models]'")
cv2: Any = pytest.importorskip("cv2", reason="needs pip install 'lookalike[models]'")
pytest.importorskip("pytorch_metric_learning", reason="needs pip install 'lookalike[models]'")

from lookalike_server.models.export import export_embedder  # noqa: E402 - after the skip
from lookalike_server.models.load import load_embedder  # noqa: E402 - after the skip
from lookalike_server.models.resnet import build  # noqa: E402 - after the skip
from lookalike_server.models.session import Runtime  # noqa: E402 - after the skip
from lookalike_server.models.shop import BadShop  # noqa: E402 - after the skip
from lookalike_server.train.batch import UNCLASSED, Batch  # noqa: E402 - after the skip
from lookalike_server.train.catalogue import Shop, clicks_of, source_of  # noqa: E402 - after the skip
from lookalike_server.train.commands import run_train  # noqa: E402 - after the skip
from lookalike_server.train.crops import MARGIN  # noqa: E402 - after the skip
from lookalike_server.train.embedder import recall_at_1, teacher_of, train  # noqa: E402 - after the skip
from lookalike_server.train.losses import (  # noqa: E402 - after the skip
    SCALE,
    SMOOTHING,
    TEACHER_TEMPERATURE,
    TEACHER_WEIGHT,
    TEMPERATURE,
    Losses,
)
from lookalike_server.train.pictures import held_out  # noqa: E402 - after the skip
from lookalike_server.train.run import Plan, Run, TrainError, embedded  # noqa: E402 - after the skip

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's tracing warns about itself

SMALL = "resnet18-12%"


def painted(folder: Path, name: str, seed: int) -> str:
    """Write a catalogue picture of two coloured bars on white, and return its name."""
    rng = np.random.default_rng(seed)
    picture = np.full((96, 96, 3), 255, np.uint8)
    for left in (16, 48):
        picture[16 + 8 * (seed % 3) : 80, left : left + 28] = rng.integers(0, 200, 3)
    cv2.imwrite(str(folder / f"{name}.png"), picture)
    return f"{name}.png"


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a shop of forty products, two pictures each."""
    folder = tmp_path_factory.mktemp("shop")
    rows = [f"p{n},{painted(folder, f'{n}-{k}', n)}" for n in range(40) for k in range(2)]
    (folder / "shop.csv").write_text("\n".join(["product_id,image", *rows]) + "\n")
    return folder / "shop.csv"


def run_of(feed: Path, out: Path, steps: int, resume: bool = False, seed: int = 0) -> Run:
    torch.set_num_threads(1)
    plan = Plan(SMALL, steps, sizes_px=((0.0, 64),), rate=3e-3, seed=seed)
    return Run(plan, Shop([source_of(feed)]), out, resume=resume)


def taken(run: Run, count: int) -> list[float]:
    """Take steps and return the loss of each."""
    with closing(run.batches()) as batches:
        return [run.learn(batch)["class"] for batch in islice(batches, count)]


def test_a_run_learns_to_tell_products_apart(feed: Path, tmp_path: Path) -> None:
    run = run_of(feed, tmp_path, steps=30)
    losses = taken(run, 30)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_a_killed_run_that_is_resumed_goes_the_same_way(feed: Path, tmp_path: Path) -> None:
    whole = taken(run_of(feed, tmp_path / "whole", steps=8), 8)
    first = run_of(feed, tmp_path / "killed", steps=8)
    before = taken(first, 4)
    first.save()
    after = taken(run_of(feed, tmp_path / "killed", steps=8, resume=True), 4)
    assert before + after == pytest.approx(whole, rel=1e-4)


def test_sixteen_bits_learn_what_thirty_two_do(feed: Path, tmp_path: Path) -> None:
    figures, gradients = [], []
    for halves in (False, True):
        run = run_of(feed, tmp_path, steps=8, seed=2)
        run.halves = halves
        figures += taken(run, 1)
        # After one step the optimiser's mean is the gradient, but for a factor.
        states = [run.optimizer.state[weight]["exp_avg"].flatten() for weight in run.model.parameters()]
        gradients.append(torch.cat(states))
    assert not torch.equal(*gradients)  # they were sixteen
    assert figures[1] == pytest.approx(figures[0], rel=1e-2)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


BESIDE = """
import hashlib, sys
from pathlib import Path
from tests.models.test_train import run_of, taken
run = run_of(Path(sys.argv[1]), Path(sys.argv[2]), steps=2)
losses = taken(run, 2)
weights = b"".join(value.detach().numpy().tobytes() for name, value in run.model.named_parameters())
Path(sys.argv[2], f"rank {run.rank}").write_text(f"{losses} {hashlib.sha256(weights).hexdigest()}")
run.save()
"""


def test_processes_of_one_run_learn_from_batches_of_their_own_and_have_the_same_weights(
    feed: Path, tmp_path: Path
) -> None:
    (tmp_path / "beside.py").write_text(BESIDE)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    subprocess.run([*torchrun, tmp_path / "beside.py", feed, tmp_path], check=True, env=here, timeout=300)
    told = [(tmp_path / f"rank {rank}").read_text().rsplit(" ", 1) for rank in (0, 1)]
    assert told[0][0] != told[1][0]
    assert told[0][1] == told[1][1]
    assert run_of(feed, tmp_path, steps=2, resume=True).step == 2


def test_ctrl_c_loses_no_step(feed: Path, tmp_path: Path) -> None:
    def stopped(_: Any) -> float:
        raise KeyboardInterrupt

    run = run_of(feed, tmp_path, steps=4)
    with pytest.raises(KeyboardInterrupt):
        train(run, validate=stopped, save_every_s=0, say=lambda line: None)
    assert (run.step, run_of(feed, tmp_path, steps=4, resume=True).step) == (1, 1)


def test_another_seed_or_other_data_is_no_resuming(feed: Path, tmp_path: Path) -> None:
    run_of(feed, tmp_path, steps=4).save()
    with pytest.raises(TrainError, match="seed 0"):
        run_of(feed, tmp_path, steps=4, resume=True, seed=1)
    fewer = feed.with_name("fewer.csv")
    fewer.write_text("".join(feed.read_text().splitlines(keepends=True)[:40]))
    with pytest.raises(TrainError, match="other data"):
        run_of(fewer, tmp_path, steps=4, resume=True)


def test_the_command_trains_and_writes_an_archive_that_serves(
    feed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"--data": feed, "--out": tmp_path, "--backbone": SMALL, "--steps": 3, "--side-px": 64, "--threads": 1}
    said = run_train(["embedder", *(str(part) for flag in told.items() for part in flag)])
    assert f"--embedder {tmp_path / 'embedder.zip'}" in said
    assert load_embedder(tmp_path / "embedder.zip", Runtime(threads=1)).dim == 256
    assert "step 3 (100.0%), 64 px: class " in capsys.readouterr().err


def test_a_batch_has_each_product_twice_and_sets_have_classes_apart(feed: Path) -> None:
    one = source_of(feed)
    shop = Shop([one, one])
    batch = shop.batch(64, np.random.default_rng(0))
    assert len(batch.pictures) == 2 * len(set(batch.instances))
    assert {picture.shape for picture in batch.pictures} == {(64, 64, 3)}
    assert set(batch.spaces) == {0, 1}
    assert all(0 <= label < shop.classes[space] for label, space in zip(batch.labels, batch.spaces, strict=True))
    again = shop.batch(64, np.random.default_rng(0))
    assert all((a == b).all() for a, b in zip(batch.pictures, again.pictures, strict=True))


def test_held_out_products_are_never_drawn(feed: Path) -> None:
    shop = Shop([source_of(feed)])
    names = [f"shop/p{n}" for n in range(40)]
    assert set(shop.held_out) == {name for name in names if held_out(name)}
    assert sum(shop.classes) + len(shop.held_out) == 40


def test_clicks_pull_the_chosen_and_push_the_passed_over(feed: Path, tmp_path: Path) -> None:
    rows = [{"query": "0-0.png", "clicked": "0-1.png", "skipped": "1-0.png"}]
    path = feed.with_name("clicks.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    batch = Shop([source_of(feed)], clicks_of(path)).batch(64, np.random.default_rng(0))
    query, clicked, skipped = batch.instances[-3:]
    assert query == clicked != skipped
    assert batch.labels[-3:] == [UNCLASSED] * 3
    path.write_text('{"query": "0-0.png", "clicked": "gone.png", "skipped": "1-0.png"}\n')
    with pytest.raises(BadShop, match="line 1"):
        clicks_of(path)


def test_the_loss_falls_where_vectors_are_as_they_should_be(feed: Path) -> None:
    batch = Shop([source_of(feed)]).batch(64, np.random.default_rng(0))
    torch.manual_seed(0)
    losses = Losses([40], 256)
    apart = torch.nn.functional.normalize(torch.randn(40, 256))
    right = apart[torch.tensor(batch.instances)]
    wrong = torch.nn.functional.normalize(torch.randn(len(batch.instances), 256))
    assert losses(right, batch, None)["contrast"] < losses(wrong, batch, None)["contrast"]


def test_what_is_of_one_class_belongs_together_and_what_has_none_only_with_itself() -> None:
    one, other = torch.eye(2, 256)
    losses = Losses([2, 1], 256)

    def contrast(vectors: list[Any], labels: list[int], spaces: Sequence[int] = (0, 0, 0, 0)) -> float:
        batch = Batch([], instances=[0, 1, 2, 3], spaces=spaces, labels=labels)
        return float(losses(torch.stack(vectors), batch, None)["contrast"])

    by_class = [one, one, other, other]
    assert contrast(by_class, [0, 0, 1, 1]) < contrast([one, other, one, other], [0, 0, 1, 1])
    assert contrast(by_class, [0, 0, 0, 0], (0, 0, 1, 1)) == contrast(by_class, [0, 0, 1, 1])
    assert contrast(by_class, [UNCLASSED] * 4) == 0  # no two of these are one thing


def test_being_right_without_doubt_costs() -> None:
    losses = Losses([40], 256)
    sure = torch.nn.functional.normalize(losses.by_space[0].W.detach().T)
    batch = Batch([], instances=list(range(40)), spaces=[0] * 40, labels=list(range(40)))
    assert losses(sure, batch, None)["class"] > 0.5 * SMOOTHING * SCALE


def alike(first: float, second: float, third: float) -> Any:
    """Return three unit vectors with these cosines: of 0 and 1, 0 and 2, 1 and 2."""
    cosines = torch.tensor([[1, first, second], [first, 1, third], [second, third, 1]])
    return torch.nn.functional.pad(torch.linalg.cholesky(cosines), (0, 253))


def test_a_teacher_is_heard_of_which_things_are_more_alike() -> None:
    batch = Batch([], instances=[0, 1, 2], spaces=[0] * 3, labels=[UNCLASSED] * 3)
    losses, taught = Losses([1], 256), alike(0.05, 0.1, 0.2)
    share = TEMPERATURE / TEACHER_TEMPERATURE
    follows = losses(alike(0.05 * share, 0.1 * share, 0.2 * share), batch, taught)["teacher"]
    torch.testing.assert_close(follows, torch.tensor(0.0), atol=1e-5, rtol=0)
    rows = [torch.tensor(row).div(TEACHER_TEMPERATURE).softmax(0) for row in ([0.05, 0.1], [0.05, 0.2], [0.1, 0.2])]
    undecided = sum((row * (row * 2).log()).sum() for row in rows) / 3
    torch.testing.assert_close(losses(alike(0.3, 0.3, 0.3), batch, taught)["teacher"], TEACHER_WEIGHT * undecided)
    assert losses(alike(0.4, 0.2, 0.1), batch, taught)["teacher"] > TEACHER_WEIGHT * undecided


def test_a_teacher_is_heard_of_different_things_alone() -> None:
    batch = Batch([], instances=[0, 0, 1, 2], spaces=[0] * 4, labels=[UNCLASSED] * 4)
    few = alike(0.4, 0.2, 0.1)
    vectors, taught = few[[0, 0, 1, 2]].requires_grad_(), alike(0.1, 0.2, 0.4)[[0, 2, 1, 2]]
    losses = Losses([1], 256)
    for heard in ([True, True, False, False], [False] * 4):  # the same thing, nothing
        told = losses(vectors, batch, taught * torch.tensor(heard)[:, None])["teacher"]
        assert (told, told.requires_grad) == (0, False)
    losses(vectors, batch, taught * torch.tensor([True, False, True, True])[:, None])["teacher"].backward()
    assert vectors.grad.any(1).tolist() == [True, False, True, True]


def test_recall_asks_the_second_pictures_for_the_first(feed: Path) -> None:
    shop = Shop([source_of(feed)])
    model = build(SMALL)
    model(torch.randn(8, 3, 64, 64))  # statistics for the batch norms
    assert recall_at_1(model, shop.held_out, shop.others, 64) == 1.0  # both pictures of a product are the same here
    assert math.isnan(recall_at_1(model, {"alone": [next(iter(shop.held_out.values()))[0]]}, [], 64))


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "resnet34-25%", "resnet18-half"])
def test_every_network_gives_unit_vectors(backbone: str) -> None:
    with torch.no_grad():
        vectors = build(backbone).eval()(torch.randn(2, 3, 64, 64))
    assert vectors.shape == (2, 256)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-4)


@pytest.mark.parametrize("backbone", ["vgg16", "resnet50-half", "resnet18-0%", "resnet18-x%", "resnet34-half%"])
def test_a_network_that_there_is_not_is_told(backbone: str) -> None:
    with pytest.raises(ValueError, match="resnet18-half"):
        build(backbone)


def test_torchvision_weights_are_begun_with(feed: Path, tmp_path: Path) -> None:
    import torchvision

    torch.manual_seed(7)
    published = torchvision.models.resnet18()
    torch.save(published.state_dict(), tmp_path / "resnet18.pth")
    run = Run(Plan("resnet18", 1, sizes_px=((0.0, 64),)), Shop([source_of(feed)]), tmp_path, resume=False)
    run.start_from(tmp_path / "resnet18.pth")
    x = torch.randn(1, 3, 64, 64)
    stages = torch.nn.Sequential(*list(published.children())[:-2]).eval()
    torch.testing.assert_close(run.model.eval().stages(x), stages(x))
    with pytest.raises(TrainError, match="another network"):
        run_of(feed, tmp_path / "small", 1).start_from(tmp_path / "resnet18.pth")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(TrainError, match="no weights that torch reads"):
        run.start_from(tmp_path / "text.pt")


def test_a_teacher_is_followed_by_its_own_archive(feed: Path, tmp_path: Path) -> None:
    run = run_of(feed, tmp_path, steps=2)
    run.save()
    archive = export_embedder(str(tmp_path / "embedder.pt"), tmp_path / "teacher.zip")
    with ZipFile(archive) as file:
        assert json.loads(file.read("manifest.json"))["margin"] == MARGIN > 0
    pictures = [shots[0].picture[:64, :64] for shots in list(source_of(feed).products.values())[:3]]
    taught = teacher_of(archive)(pictures)
    own = embedded(run.ema, pictures).numpy()
    np.testing.assert_allclose((taught * own).sum(1), 1, atol=1e-2)
    recall = train(run, validate=lambda model: 0.5, teacher=teacher_of(archive), say=lambda line: None)
    assert (recall, run.step) == (0.5, 2)


def test_too_little_to_learn_from_is_told(tmp_path: Path) -> None:
    painted(tmp_path, "a", 1)
    (tmp_path / "shop.csv").write_text("product_id,image\nonly,a.png\n")
    with pytest.raises(BadShop, match="fewer than two products"):
        Shop([source_of(tmp_path / "shop.csv")])
