"""The search that one would write without Lookalike, in a process of its own: ultralytics, torchvision, pymilvus.

Run by bench/search.py with a Python that has torch; it imports nothing of ours but the rounds.
"""

import argparse
import io
import threading
from pathlib import Path

import torch
import torchvision
from PIL import Image, ImageOps
from pymilvus import MilvusClient
from ultralytics import YOLO

from bench.rounds import obey

DIM = 256
HITS = 10
# As the server: the surest four and the whole photo.
CANDIDATES_MAX = 4


class Search:
    """Detects, cuts, embeds and searches; a YOLO for each thread, as ultralytics' guide to threads says."""

    def __init__(self, weights: str, uri: str, photos: list[bytes]) -> None:
        self._weights = weights
        self._photos = photos
        self._own = threading.local()
        self._resnet = torchvision.models.resnet50(weights=None)
        self._resnet.fc = torch.nn.Linear(self._resnet.fc.in_features, DIM)
        self._resnet.eval()
        self._shape = torchvision.transforms.Compose(
            [
                torchvision.transforms.Resize((224, 224)),
                torchvision.transforms.ToTensor(),
                torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )
        self._milvus = MilvusClient(uri)
        (self._collection,) = self._milvus.list_collections()

    def __call__(self, number: int) -> int:
        photo = ImageOps.exif_transpose(Image.open(io.BytesIO(self._photos[number % len(self._photos)]))).convert("RGB")
        if not hasattr(self._own, "yolo"):
            self._own.yolo = YOLO(self._weights)
        boxes = self._own.yolo.predict(photo, imgsz=640, verbose=False)[0].boxes.xyxy[:CANDIDATES_MAX].tolist()
        parts = [photo.crop(tuple(map(round, box))) for box in boxes] + [photo]
        with torch.inference_mode():
            vectors = self._resnet(torch.stack([self._shape(part) for part in parts]))
            vectors = torch.nn.functional.normalize(vectors)
        answers = self._milvus.search(
            self._collection, vectors.numpy(), anns_field="vector", limit=HITS, output_fields=["*"]
        )
        max(answers, key=lambda hits: hits[0]["distance"])
        return len(parts)


def main() -> None:
    """Obey bench/search.py."""
    parser = argparse.ArgumentParser()
    parser.add_argument("weights")
    parser.add_argument("uri")
    parser.add_argument("photos", type=Path, nargs="+")
    told = parser.parse_args()
    search = Search(told.weights, told.uri, [path.read_bytes() for path in told.photos])
    search(0)
    obey(search)


if __name__ == "__main__":
    main()
