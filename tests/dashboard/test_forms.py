from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import Field

from dashboard.forms import fields_of
from engine.backends import BACKENDS
from engine.spec import Frozen
from engine.techniques import TECHNIQUES

EVERY_CONFIG: list[type[Frozen]] = [
    *(technique.config_type for technique in TECHNIQUES),
    *(backend.options_type for backend in BACKENDS),
]


class Speed(StrEnum):
    SLOW = "slow"
    FAST = "fast"


class Everything(Frozen):
    flag: bool = Field(default=True, title="A flag", description="What it does")
    mode: Literal["a", "b"] = "b"
    only: Literal["cpu"] = "cpu"
    speed: Speed = Speed.FAST
    count: int = Field(default=3, ge=1, le=10)
    many: int = Field(default=3, gt=0, le=1000)
    share: float = Field(default=0.5, gt=0, lt=1)
    epochs: float = Field(default=2.0, ge=0, le=50, json_schema_extra={"unit": "epochs"})
    rate: float = Field(default=1e-4, gt=0, le=0.1)
    maybe: int | None = Field(default=None, ge=1)
    name: str = "x"
    needed: int


def field(name: str) -> Any:
    return next(one for one in fields_of(Everything) if one.name == name)


def test_kinds_follow_from_types() -> None:
    kinds = {one.name: one.kind for one in fields_of(Everything)}
    assert kinds == {
        "flag": "switch",
        "mode": "choice",
        "only": "choice",
        "speed": "choice",
        "count": "whole",
        "many": "whole",
        "share": "number",
        "epochs": "number",
        "rate": "number",
        "maybe": "whole",
        "name": "text",
        "needed": "whole",
    }


def test_titles_help_and_defaults_come_from_the_field() -> None:
    flag = field("flag")
    assert (flag.title, flag.help, flag.default) == ("A flag", "What it does", True)
    assert field("mode").title == "Mode"
    assert field("epochs").title == "Epochs"
    assert field("speed").default == "fast"
    assert field("speed").options == ("slow", "fast")
    assert field("needed").default is None


def test_one_option_is_no_choice() -> None:
    assert not field("only").has_choice
    assert field("mode").has_choice


def test_excluded_bounds_move_in() -> None:
    assert (field("share").low, field("share").high) == (pytest.approx(0.01), pytest.approx(0.99))
    assert field("many").low == 1
    assert 0 < field("rate").low <= field("rate").default


def test_shares_and_handfuls_are_dragged_the_rest_is_typed() -> None:
    dragged = {one.name for one in fields_of(Everything) if one.is_short_range}
    assert dragged == {"count", "share"}


def test_an_optional_field_may_be_empty() -> None:
    assert field("maybe").optional
    assert not field("count").optional


@pytest.mark.parametrize("config", EVERY_CONFIG, ids=lambda config: config.__name__)
def test_every_real_parameter_has_a_widget_whose_default_is_allowed(config: type[Frozen]) -> None:
    for one in fields_of(config):
        assert one.title
        assert one.help, f"{config.__name__}.{one.name} has no description"
        assert one.kind != "text", f"{config.__name__}.{one.name} would be typed as free text"
        if one.kind == "choice":
            assert one.default in one.options
        if isinstance(one.default, int | float) and one.low is not None:
            assert one.default >= one.low
        if isinstance(one.default, int | float) and one.high is not None:
            assert one.default <= one.high


@pytest.mark.parametrize("config", EVERY_CONFIG, ids=lambda config: config.__name__)
def test_the_ends_of_every_widget_are_accepted_by_the_configuration(config: type[Frozen]) -> None:
    for one in fields_of(config):
        for end in (one.low, one.high):
            if end is not None:
                value = int(end) if one.kind == "whole" else end
                config.model_validate({**_required(config), one.name: value})


def _required(config: type[Frozen]) -> dict[str, Any]:
    """Return a value for every parameter without a default."""
    return {one.name: one.low or 0 for one in fields_of(config) if config.model_fields[one.name].is_required()}


def test_what_a_machine_offers_becomes_a_choice() -> None:
    found = {"name": ("x", "y"), "count": (), "nothing of ours": ("z",)}
    fields = {one.name: one for one in fields_of(Everything, found)}
    assert (fields["name"].kind, fields["name"].options, fields["name"].default) == ("choice", ("x", "y"), "x")
    assert fields["count"].kind == "whole"
    assert fields.keys() == {one.name for one in fields_of(Everything)}
