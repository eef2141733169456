"""The commands of `lookalike-server train`. Imports torch only when one of them runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from lookalike_server.errors import ServerError

EXTRA = "the extra is missing: pip install 'lookalike[models]'"


def run_train(argv: Sequence[str]) -> str:
    """Run one command and return what to print; raise ServerError where it cannot be done."""
    told = parser().parse_args(argv)
    try:
        return str(told.run(told))
    except ImportError as error:
        raise ServerError(f"{error}; {EXTRA}") from error
    except OSError as error:
        raise ServerError(str(error)) from error


def parser() -> argparse.ArgumentParser:
    """Return what the commands take."""
    whole = argparse.ArgumentParser(
        "lookalike-server train", description="Trains models on your shop; needs pip install 'lookalike[models]'."
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    embedder = commands.add_parser("embedder", help="a ResNet that tells your products apart")
    add_data(embedder)
    embedder.add_argument("--clicks", type=Path, help='JSONL of {"query", "clicked", "skipped"}: paths of pictures')
    embedder.add_argument(
        "--backbone",
        default="resnet18-half",
        help="resnet18, resnet34, resnet50, or lean: resnet18-half, resnet34-25%%",
    )
    embedder.add_argument("--weights", type=Path, help="weights to begin with: torchvision's, or an earlier run's .pt")
    embedder.add_argument("--teacher", type=Path, help="an embedder's archive whose likenesses are to be followed")
    embedder.add_argument("--steps", type=int, default=2000, help="(default: 2000)")
    embedder.add_argument("--side-px", type=int, default=128, help="the input, a multiple of 32 (default: 128)")
    embedder.set_defaults(run=train_embedder)
    detector = commands.add_parser("detector", help="a YOLO that finds them in photos")
    add_data(detector)
    detector.add_argument("--weights", default="yolo26n.yaml", help="a YOLO of ultralytics (default: yolo26n.yaml)")
    detector.add_argument("--labels", type=Path, help="a data.yaml of your own labelled photos, in place of composites")
    detector.add_argument("--backgrounds", type=Path, help="a folder of photos without products")
    detector.add_argument("--composites", type=int, default=2000, help="pictures to make (default: 2000)")
    detector.add_argument("--epochs", type=int, default=50, help="(default: 50)")
    detector.add_argument("--size-px", type=int, default=320, help="the input (default: 320)")
    detector.set_defaults(run=train_detector)
    return whole


def add_data(command: argparse.ArgumentParser) -> None:
    """Add what both commands take."""
    command.add_argument(
        "--data",
        type=Path,
        action="append",
        default=[],
        help="a feed as `lookalike import` takes it: CSV, JSONL, or a folder of folders; several have classes apart",
    )
    command.add_argument("--out", type=Path, required=True, help="the folder for checkpoints and the archive")
    command.add_argument("--resume", action="store_true", help="take up a run in --out that was stopped")
    command.add_argument("--seed", type=int, default=0, help="(default: 0)")
    command.add_argument("--threads", type=int, default=2, help="of the CPU (default: 2)")


def train_embedder(told: argparse.Namespace) -> str:
    """Train an embedder and write its archive."""
    import cv2
    import torch

    from lookalike_server.models.export import Facts, export_embedder
    from lookalike_server.train.catalogue import Shop, clicks_of, source_of
    from lookalike_server.train.embedder import recall_at_1, teacher_of, train
    from lookalike_server.train.learning import keep_memory
    from lookalike_server.train.run import Plan, Run, TrainError

    if told.side_px < 64 or told.side_px % 32 or told.steps < 1:
        raise TrainError("--side-px is a multiple of 32 from 64 on, and --steps 1 or more")
    torch.set_num_threads(told.threads)
    cv2.setNumThreads(1)
    keep_memory()
    shop = Shop([source_of(path) for path in told.data], clicks_of(told.clicks) if told.clicks else ())
    smaller = max(64, told.side_px * 3 // 4 // 32 * 32)
    plan = Plan(told.backbone, told.steps, seed=told.seed, sizes_px=((0.0, smaller), (0.55, told.side_px)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run = Run(plan, shop, told.out, resume=told.resume, device=device)
    if told.weights and not run.step:
        run.start_from(told.weights)
    recall = train(
        run,
        validate=lambda model: recall_at_1(model, shop.held_out, shop.others, told.side_px, device),
        teacher=teacher_of(told.teacher) if told.teacher else None,
    )
    if run.rank:  # of several processes the first one says what there is to say
        return ""
    metrics = {} if recall != recall else {"held_out_recall_at_1": round(recall, 4)}
    trained_on = ", ".join(path.name for path in told.data)
    facts = Facts(f"{told.out.name}-embedder", licence="yours", trained_on=trained_on, metrics=metrics)
    archive = export_embedder(str(run.path.with_suffix(".pt")), told.out / "embedder.zip", facts=facts)
    said = f"held-out recall@1 {recall:.3f}" if metrics else "no product with two pictures was held out to measure on"
    return f"{said}\nwrote {archive}; use it with: lookalike-server serve --embedder {archive}"


def train_detector(told: argparse.Namespace) -> str:
    """Train a detector and write its archive."""
    from lookalike_server.models.export import Facts, export_detector
    from lookalike_server.train.catalogue import Shop, source_of
    from lookalike_server.train.composites import Stock
    from lookalike_server.train.detector import DetectorPlan, train, write_composites
    from lookalike_server.train.pictures import read_rgb, shrink

    plan = DetectorPlan(told.weights, told.out, told.epochs, told.size_px, seed=told.seed, threads=told.threads)
    data = told.labels
    if data is None:
        stock = Shop([source_of(path) for path in told.data]).stock
        paths = sorted(told.backgrounds.iterdir()) if told.backgrounds else []
        scenes = [shrink(read_rgb(path), 640) for path in paths]
        stock = Stock(stock.cutouts, scenes, stock.clutter)
        data = write_composites(stock, told.out / "composites", told.composites, told.seed)
    best = train(plan, data, resume=told.resume)
    facts = Facts(f"{told.out.name}-detector", licence="AGPL-3.0 where ultralytics holds so", trained_on=str(data.name))
    archive = export_detector(str(best), told.out / "detector.zip", told.size_px, facts)
    return f"wrote {archive}; use it with: lookalike-server serve --detector {archive}"
