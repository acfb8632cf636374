"""What data can be chosen."""

from engine.datasets.arc_easy import ArcEasy
from engine.datasets.base import Dataset, DatasetEntry
from engine.datasets.fashion_mnist import FashionMnist
from engine.datasets.lambada import Lambada
from engine.datasets.movie_reviews import MovieReviews
from engine.datasets.user_file import UserFile, is_user_file
from engine.errors import InvalidValueError
from engine.registry import Registry

DATASETS: Registry[DatasetEntry] = Registry("dataset")
DATASETS.add(FashionMnist())
DATASETS.add(MovieReviews())
DATASETS.add(ArcEasy())
DATASETS.add(Lambada())

_SAMPLES = "samples="


def load_dataset(reference: str) -> Dataset:
    """Load a data set by catalog name (``NAME`` or ``NAME:samples=N``), or a person's own file.

    Raises:
        UnknownNameError: if it is neither.
        InvalidValueError: if the number of samples is none.
        DataError: if it cannot be read.
    """
    if is_user_file(reference):
        return UserFile.parse(reference).load()
    entry, samples = catalog_dataset(reference)
    dataset = entry.load()
    return dataset if samples is None else dataset.limited(samples)


def catalog_dataset(reference: str) -> tuple[DatasetEntry, int | None]:
    """Return the entry that a reference names, and how many of its test samples are scored; ``None`` for all.

    Raises:
        UnknownNameError: if there is none of that name.
        InvalidValueError: if the number of samples is none.
    """
    name, _, rest = reference.partition(":")
    entry = DATASETS.get(name)
    if not rest:
        return entry, entry.samples
    count = rest.removeprefix(_SAMPLES)
    if not rest.startswith(_SAMPLES) or not count.isdecimal() or int(count) < 1:
        raise InvalidValueError(f"'{reference}' does not name a data set. Write {name} or {name}:samples=100.")
    return entry, int(count)
