"""What the parts of the store share."""

from collections.abc import Callable
from datetime import datetime

from engine.store.database import Database


class Part:
    """One group of the store's methods over the shared database and clock."""

    _database: Database
    _actor: str
    _now: Callable[[], datetime]
