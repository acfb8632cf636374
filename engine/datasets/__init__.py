"""What data can be chosen."""

from engine.datasets.base import Dataset, DatasetEntry
from engine.datasets.fashion_mnist import FashionMnist
from engine.datasets.movie_reviews import MovieReviews
from engine.datasets.user_file import UserFile, is_user_file
from engine.registry import Registry

DATASETS: Registry[DatasetEntry] = Registry("dataset")
DATASETS.add(FashionMnist())
DATASETS.add(MovieReviews())


def load_dataset(reference: str) -> Dataset:
    """Load a data set by catalog name, or a person's own file.

    Raises:
        UnknownNameError: if it is neither.
        DataError: if it cannot be read.
    """
    return UserFile.parse(reference).load() if is_user_file(reference) else DATASETS.get(reference).load()
