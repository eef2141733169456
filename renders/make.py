"""The command line: `python -m renders.make train|packs|backgrounds|sample`. Starts one Blender process a core."""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    """Parse the arguments and do as told."""
    parser = argparse.ArgumentParser(prog="python -m renders.make", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="cut-outs of goods to train on")
    train.add_argument("--products", type=int, required=True)
    drawn = commands.add_parser("packs", help="cut-outs of packages to train on; needs no Blender, but OpenCV")
    drawn.add_argument("--families", type=int, required=True, help="three varieties each")
    for command in (train, drawn):
        command.add_argument("--after", type=int, default=0, help="pass over so many, that an earlier run has learnt")
    places = commands.add_parser("backgrounds", help="cluttered places without goods to train on")
    places.add_argument("--count", type=int, default=60)
    scenes = commands.add_parser("photos", help="photos of training goods in places, with boxes")
    scenes.add_argument("--count", type=int, default=100)
    sample = commands.add_parser("sample", help="the sample shop; with several workers, assemble it afterwards")
    ready = commands.add_parser("assemble", help="write the sample shop from its rendered cache")
    for command in (train, drawn, places, scenes, sample, ready):
        command.add_argument("--out", type=Path, required=True)
    for command in (sample, ready):
        command.add_argument("--cache", type=Path, required=True, help="folder for the renders themselves")
    for command in (train, drawn, places, scenes, sample):
        command.add_argument("--worker", type=int, default=0, help="which share this process renders")
        command.add_argument("--workers", type=int, default=1, help="how many processes share the work")
    _obey(parser.parse_args())


def _obey(told: argparse.Namespace) -> None:
    """Do what was told; Blender is loaded only now, so that --help is quick."""
    if told.command == "packs":
        from renders import packs

        packs.render(told.out, told.families, told.after, told.worker, told.workers)
        return
    from renders import shop, train

    match told.command:
        case "train":
            train.render(told.out, told.products, told.after, told.worker, told.workers)
        case "backgrounds":
            train.render_backgrounds(told.out, told.count, told.worker, told.workers)
        case "photos":
            train.render_photos(told.out, told.count, told.worker, told.workers)
        case "sample":
            shop.render(told.cache, told.worker, told.workers)
            if told.workers == 1:
                shop.assemble(told.cache, told.out)
        case _:
            shop.assemble(told.cache, told.out)


if __name__ == "__main__":
    main()
