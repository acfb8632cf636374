"""Fashion-MNIST, a stratified subset that ships with the package."""

from pathlib import Path

import numpy as np

from engine.datasets.base import Dataset, DatasetEntry
from engine.datasets.files import file_sha256, packaged_file, read_table, split_by_column
from engine.spec import Task

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SIDE = 28


class FashionMnist(DatasetEntry):
    """12,000 train, 2,000 validation and 4,000 test images of 28x28 grey pixels in ten classes."""

    name = "fashion-mnist"
    title = "Fashion-MNIST"
    summary = "28x28 grey images of ten kinds of clothes; 12,000 train, 2,000 validation, 4,000 test."
    task = Task.IMAGE_CLASSIFICATION
    licence = "MIT, Xiao, Rasul, Vollgraf 2017"

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or packaged_file("fashion_mnist.parquet")

    def load(self) -> Dataset:
        """Read the images as ``(n, 28, 28)`` uint8."""
        table = read_table(self._path)
        pixels = np.frombuffer(b"".join(table["image"]), dtype=np.uint8).reshape(-1, SIDE, SIDE)
        splits = split_by_column(pixels, table["label"].to_numpy(np.int64), table["split"].to_numpy())
        return Dataset(self.name, self.task, CLASSES, *splits, content_hash=file_sha256(self._path))
