"""A backend that Subsecond has never heard of: one file, one line, and everything that asks the registry knows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard import choices
from engine import present
from engine.backends import BACKENDS
from engine.probe import main as try_runtime
from engine.resolve import resolve, technique_problem
from engine.results import Capability
from engine.spec import Choice, Task
from tests import third_party
from tests.contracts import test_backends as contract
from tests.readme import tables
from tests.tiny import KINDS, Kind


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[third_party.Double]:
    monkeypatch.setattr(BACKENDS, "_entries", dict(BACKENDS._entries))
    third_party.add(BACKENDS)
    yield BACKENDS.get("double")


def test_it_keeps_the_contract(added: third_party.Double) -> None:
    contract.test_it_is_declared(added)
    contract.test_every_option_is_explained_and_bounded(added)
    contract.test_default_options_survive_a_round_trip_through_json(added)
    contract.test_what_it_offers_was_tried(added)


def test_a_device_it_has_not_is_a_sentence(added: third_party.Double, tmp_path: Path) -> None:
    contract.test_a_device_that_is_not_there_is_a_sentence(added, tmp_path)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_answers(added: third_party.Double, kind: Kind, tmp_path: Path) -> None:
    contract.test_it_answers_as_the_module_does(added, kind, tmp_path)


def test_it_can_be_asked_for(added: third_party.Double) -> None:
    spec = resolve(model="minilm-l6", backend=Choice(name="double"), techniques=[Choice(name="prune-magnitude")])
    assert spec.backend.params["device"] == "cpu"
    assert technique_problem("int8-static", Task.TEXT_CLASSIFICATION, "double") is not None


def test_it_is_tried_and_offered(added: third_party.Double, capsys: pytest.CaptureFixture[str]) -> None:
    try_runtime("double")
    found = Capability.model_validate_json(capsys.readouterr().out)
    assert found.available
    assert choices.why_not_backend(added, {"double": found}, Task.TEXT_CLASSIFICATION) is None
    assert any(row["name"] == "double" for row in present.registry_rows(BACKENDS))
    assert "`double`" in tables()["backends"]
