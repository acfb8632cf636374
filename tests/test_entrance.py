"""Who comes in by a login: files that are refused, roles by address and domain, and what a provider must vouch for."""

import importlib.util
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.access import TOKENS_VARIABLE, Person, Role
from engine.entrance import (
    LOGIN_LASTS_S,
    OIDC_VARIABLE,
    Entrance,
    Guests,
    confirmed_address,
    is_logged_in,
)
from engine.errors import ContradictionError, InvalidValueError, UnavailableError

SECRETS = {"cookie_secret": "c0" * 32, "client_secret": "5ecret" * 4}
AUTH = {
    "redirect_uri": "https://subsecond.example.org/oauth2callback",
    "client_id": "subsecond",
    "server_metadata_url": "https://id.example.org/.well-known/openid-configuration",
    **SECRETS,
}
ROLES = {"Ada@example.org": "runner", "@example.org": "viewer", "bob@example.com": "viewer"}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a login file; a value of ``None`` leaves a line out."""

    def write_one(roles: dict[str, str] | None = None, extra: str = "", mode: int = 0o600, **auth: str | None) -> Path:
        lines = [f'{name} = "{value}"' for name, value in (AUTH | auth).items() if value is not None]
        guests = [f'"{name}" = "{role}"' for name, role in (ROLES if roles is None else roles).items()]
        path = tmp_path / "logins.toml"
        path.write_text("\n".join([extra, "[auth]", *lines, "[roles]", *guests, ""]))
        path.chmod(mode)
        return path

    return write_one


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of packages that seem to be missing; all others seem to be there."""
    missing: set[str] = set()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else object())
    return missing


def test_an_address_counts_before_its_domain(write: Write) -> None:
    guests = Guests.read(write())
    assert guests.person("ada@example.org") == Person("ada@example.org", Role.RUNNER)
    assert guests.person("ADA@Example.org") == Person("ada@example.org", Role.RUNNER)
    assert guests.person("eve@example.org") == Person("eve@example.org", Role.VIEWER)
    assert guests.person("bob@example.com") == Person("bob@example.com", Role.VIEWER)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "eve@example.com",
        "eve@sub.example.org",
        "eve@evilexample.org",
        "ada@example.org@example.net",
        "ada@example.org.example.net",
        "\u0430da@example.com",
    ],
)
def test_a_stranger_is_nobody(write: Write, address: str) -> None:
    assert Guests.read(write()).person(address) is None


def test_letters_that_only_fold_like_others_are_not_those(write: Write) -> None:
    guests = Guests.read(write({"kim@example.com": "runner"}))
    assert guests.person("kim@example.com") is not None
    assert "\u212aim@example.com".lower() == "kim@example.com"
    assert guests.person("\u212aim@example.com") is None


@pytest.mark.parametrize("name", sorted(AUTH))
@pytest.mark.parametrize("value", [None, "", "  "])
def test_what_the_login_needs_must_be_there(write: Write, name: str, value: str | None) -> None:
    with pytest.raises(InvalidValueError, match=rf"has no {name} in its section \[auth\]"):
        Guests.read(write(**{name: value}))


@pytest.mark.parametrize(
    ("auth", "sentence"),
    [
        ({"cookie_secret": "short"}, "cookie_secret .* shorter than 32 characters.*openssl rand -hex 32"),
        ({"redirect_uri": "https://subsecond.example.org/"}, "does not end with /oauth2callback"),
        ({"redirect_uri": "subsecond.example.org/oauth2callback"}, "redirect_uri .* no address"),
        ({"redirect_uri": "ftp://example.org/oauth2callback"}, "redirect_uri .* no address"),
        ({"redirect_uri": "https://[::/oauth2callback"}, "redirect_uri .* no address"),
        ({"redirect_uri": "http://subsecond.example.org/oauth2callback"}, "redirect_uri .* Use https"),
        ({"server_metadata_url": "http://id.example.org/x"}, "server_metadata_url .* Use https"),
        ({"expose_tokens": "id"}, r"'expose_tokens' in the section \[auth\] .* not understood"),
        ({"roles": {}}, "lets nobody in"),
        ({"roles": {"ada": "runner"}}, "'ada' .* is not ADDRESS = ROLE"),
        ({"roles": {"ada@example.org": "owner"}}, "viewer or runner for the role"),
        ({"extra": 'password = "x"'}, "'password' does not belong in"),
        ({"extra": "[more]"}, "'more' does not belong"),
        ({"extra": "auth = "}, "is no TOML"),
        ({"mode": 0o640}, "chmod 600"),
        ({"mode": 0o604}, "chmod 600"),
    ],
    ids=str,
)
def test_a_file_that_is_not_as_it_should_be_is_refused(write: Write, auth: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidValueError, match=sentence) as refused:
        Guests.read(write(**auth))
    assert not any(secret in str(refused.value) for secret in SECRETS.values())


def test_a_file_without_sections_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "logins.toml"
    with pytest.raises(InvalidValueError, match=r"login file .* cannot be read"):
        Guests.read(path)
    path.touch(0o600)
    with pytest.raises(InvalidValueError, match="has no redirect_uri"):
        Guests.read(path)
    path.write_text('auth = "yes"\n')
    with pytest.raises(InvalidValueError, match="has no redirect_uri"):
        Guests.read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidValueError, match="cannot be read"):
        Guests.read(path)


ODD = ("1", "-1.5", "nan", "true", "[]", "[[1]]", "{}", '{ a = "b" }', "1979-05-27", '"\\u0000"', '"{port}"', '"//"')


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", [*sorted(AUTH), "client_kwargs", '"ada@example.org"', "[auth]", "[roles]"])
def test_whatever_stands_in_it_is_refused_with_a_sentence_or_understood(write: Write, name: str, value: str) -> None:
    path = write()
    kept = [line for line in path.read_text().splitlines() if not line.lower().startswith(name.lower())]
    if name.startswith("["):
        text = "\n".join([f"{name[1:-1]} = {value}", *kept])
    else:
        place = "[roles]" if "@" in name else "[auth]"
        text = "\n".join(kept).replace(place, f"{place}\n{name} = {value}")
    path.write_text(text)
    is_fine = (name == "client_kwargs" and value.startswith("{")) or (name == "client_id" and value.startswith('"'))
    if is_fine or (name == "client_secret" and value.startswith('"')):
        assert Guests.read(path).person("eve@example.org")
    else:
        with pytest.raises(InvalidValueError, match=r"logins\.toml"):
            Guests.read(path)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_this_machine_may_do_without_encryption(write: Write, host: str) -> None:
    Guests.read(write(redirect_uri=f"http://{host}:{{port}}/oauth2callback", server_metadata_url=f"http://{host}:9/x"))


@pytest.mark.parametrize(
    ("claims", "address"),
    [
        ({"email": "ada@example.org", "email_verified": True}, "ada@example.org"),
        ({"email": "ada@example.org", "email_verified": "true"}, "ada@example.org"),
        ({"email": "ada@example.org", "email_verified": False}, None),
        ({"email": "ada@example.org", "email_verified": "false"}, None),
        ({"email": "ada@example.org", "email_verified": 1.5}, None),
        ({"email": "ada@example.org"}, None),
        ({"email": "@example.org", "email_verified": True}, None),
        ({"email": "ada", "email_verified": True}, None),
        ({"email": ["ada@example.org"], "email_verified": True}, None),
        ({"email_verified": True}, None),
        ({}, None),
    ],
    ids=str,
)
def test_only_a_confirmed_address_tells_who_it_is(claims: dict[str, Any], address: str | None) -> None:
    assert confirmed_address(claims) == address


def test_a_login_lasts_a_day() -> None:
    claims = {"is_logged_in": True, "iat": 1_000_000}
    assert is_logged_in(claims, 1_000_000 + LOGIN_LASTS_S - 1)
    assert not is_logged_in(claims, 1_000_000 + LOGIN_LASTS_S)
    assert not is_logged_in({"is_logged_in": True}, 1_000_000)
    assert not is_logged_in({**claims, "is_logged_in": False}, 1_000_000)
    assert not is_logged_in({"iat": 1_000_000}, 1_000_000)
    assert not is_logged_in({}, 1_000_000)


class TestEntrance:
    def test_files_are_looked_at_and_handed_on_by_path_alone(self, write: Write, installed: set[str]) -> None:
        file = write()
        entrance = Entrance(oidc=file)
        entrance.check()
        assert entrance.is_guarded
        assert entrance.environment() == {TOKENS_VARIABLE: "", OIDC_VARIABLE: str(file)}
        assert entrance.options() == {
            "secrets.files": str(file),
            "browser.serverAddress": "subsecond.example.org",
        }
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not installed

    def test_without_files_nobody_is_asked(self) -> None:
        Entrance().check()
        assert not Entrance().is_guarded
        assert Entrance().options() == {}
        assert set(Entrance().environment().values()) == {""}

    def test_tokens_and_logins_exclude_each_other(self, write: Write) -> None:
        with pytest.raises(ContradictionError, match="--tokens and --oidc"):
            Entrance(tokens=write(), oidc=write()).check()

    def test_missing_packages_are_named(self, write: Write, installed: set[str]) -> None:
        installed.add("authlib")
        with pytest.raises(UnavailableError, match=r"Logins need authlib: pip install authlib$"):
            Entrance(oidc=write()).check()

    def test_a_file_that_cannot_be_used_is_refused(self, write: Write) -> None:
        with pytest.raises(InvalidValueError, match="chmod 600"):
            Entrance(oidc=write(mode=0o644)).check()
