"""Who may open a page that others can reach: people with a token, to look on (viewer) or to work (runner)."""

import hashlib
import hmac
import ipaddress
import stat
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from engine.errors import InvalidValueError

TOKENS_VARIABLE = "SUBSECOND_TOKENS"
SHORTEST = 16
TRIES, WITHIN_S = 5, 60.0


class Role(StrEnum):
    """What a person may do."""

    VIEWER = "viewer"
    RUNNER = "runner"


@dataclass(frozen=True)
class Person:
    """Somebody who showed a token, or the one who sits at this machine."""

    name: str
    role: Role


class Tokens:
    """The people of a token file: a line each, ``ROLE NAME TOKEN``; ``#`` begins a comment.

    Tokens are kept as hashes only, and one is compared with all of them in constant time.

    Args:
        people: each with the SHA-256 of the token.
    """

    def __init__(self, people: list[tuple[Person, bytes]]) -> None:
        self._people = people

    @classmethod
    def read(cls, path: Path) -> "Tokens":
        """Read a token file.

        Raises:
            InvalidValueError: if others can read it, a line is not as it should be, or it names nobody.
        """
        people: dict[bytes, Person] = {}
        for number, line in enumerate(read_private(path, "token file").splitlines(), start=1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            if len(words) != 3 or words[0] not in list(Role) or len(words[2]) < SHORTEST:
                raise InvalidValueError(
                    f"Line {number} of '{path}' is not ROLE NAME TOKEN, with {' or '.join(Role)} for the role and a "
                    f"token of at least {SHORTEST} characters. Make one: openssl rand -hex 16"
                )
            people[_digest(words[2])] = Person(words[1], Role(words[0]))
        if not people:
            raise InvalidValueError(f"The token file '{path}' names nobody. Add a line: runner NAME TOKEN")
        return cls([(person, digest) for digest, person in people.items()])

    def person(self, token: str) -> Person | None:
        """Return whose token it is; ``None`` for nobody's."""
        given, found = _digest(token), None
        for person, digest in self._people:
            if hmac.compare_digest(given, digest):
                found = person
        return found


class Attempts:
    """Counts wrong tokens, so that nobody can try them all.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wrong: defaultdict[str, deque[float]] = defaultdict(deque)

    def wait_s(self, who: str) -> float:
        """Return how long somebody has to wait before the next try; 0 for not at all."""
        tries, now = self._wrong[who], self._clock()
        while tries and now - tries[0] > WITHIN_S:
            tries.popleft()
        return WITHIN_S - (now - tries[0]) if len(tries) >= TRIES else 0.0

    def failed(self, who: str) -> None:
        """Note a wrong token."""
        self._wrong[who].append(self._clock())


def read_private(path: Path, kind: str) -> str:
    """Return the text of a file that holds secrets.

    Args:
        path: where it is.
        kind: what messages call it.

    Raises:
        InvalidValueError: if it cannot be read, or others can read it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InvalidValueError(f"The {kind} '{path}' cannot be read ({error}). Check its path.") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidValueError(f"Others can read the {kind} '{path}'. Keep it to yourself: chmod 600 {path}")
    return text


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
