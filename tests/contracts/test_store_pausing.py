"""What every store must do with the engines' switch, whichever database is under it."""

import pytest

from engine.errors import ForbiddenError
from engine.store.pausing import Control
from engine.store.store import Store
from tests.fakes import FakeClock


def test_engines_are_not_paused_until_somebody_asks(store: Store) -> None:
    assert store.control() == Control(paused=False)


def test_who_paused_it_and_when_is_kept_until_it_goes_on(store: Store, clock: FakeClock) -> None:
    clock.advance(60)
    store.acting("ada").pause()
    paused = Control(paused=True, who="ada", since=clock.now())
    assert store.control() == paused
    clock.advance(60)
    store.acting("bob").pause()
    assert store.control() == paused, "the first one who asked stays named"
    store.acting("bob").resume()
    assert store.control() == Control(paused=False, who="bob", since=clock.now())


def test_a_change_moves_the_revision_and_what_changes_nothing_does_not(store: Store) -> None:
    revisions = [store.revision()]
    for change in (store.resume, store.pause, store.pause, store.resume):
        change()
        revisions.append(store.revision())
    assert revisions[0] == revisions[1] != revisions[2] == revisions[3] != revisions[4]


def test_it_is_noted_who_did_it(store: Store) -> None:
    store.acting("ada").pause()
    store.acting("bob").resume()
    assert [(entry["who"], entry["did"]) for entry in store.audit()] == [("bob", "resume"), ("ada", "pause")]


def test_a_viewer_may_not(store: Store) -> None:
    looking = store.looking_on("Only look.")
    for change in (looking.pause, looking.resume):
        with pytest.raises(ForbiddenError, match=r"Only look\."):
            change()
    assert not looking.control().paused
