"""The floor, in a process of its own: the server's onnxruntime sessions on the same inputs, and nothing around them."""

import argparse
from pathlib import Path

from bench.rounds import obey
from lookalike_server.image import Limits, decode
from lookalike_server.models.load import load_detector, load_embedder
from lookalike_server.models.session import Runtime
from lookalike_server.pipeline import CANDIDATES_MAX
from lookalike_server.regions import WHOLE_BOX


def main() -> None:
    """Obey bench/search.py; "-" is the bundled model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("detector")
    parser.add_argument("embedder")
    parser.add_argument("photos", type=Path, nargs="+")
    told = parser.parse_args()
    detector = load_detector(None if told.detector == "-" else Path(told.detector), Runtime())
    embedder = load_embedder(None if told.embedder == "-" else Path(told.embedder), Runtime())
    inputs = []
    for path in told.photos:
        picture = decode(path.read_bytes(), Limits())
        scaled = detector.prepare(picture)
        boxes = [seen.box for seen in detector.run([scaled])[0][:CANDIDATES_MAX]]
        inputs.append((scaled, embedder.prepare(picture, [*boxes, WHOLE_BOX])))

    def call(number: int) -> int:
        scaled, parts = inputs[number % len(inputs)]
        detector.run([scaled])
        embedder.run(parts)
        return len(parts)

    obey(call)


if __name__ == "__main__":
    main()
