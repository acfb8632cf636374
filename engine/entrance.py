"""What guards a page that others can reach: a file of tokens, or logins at an identity provider (OpenID Connect)."""

import importlib.util
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from engine.access import TOKENS_VARIABLE, Person, Role, Tokens, is_loopback, read_private
from engine.errors import ContradictionError, InvalidValueError, UnavailableError

OIDC_VARIABLE = "SUBSECOND_OIDC"
SHORTEST_COOKIE_SECRET = 32
LOGIN_LASTS_S = 24 * 3600.0
"""Streamlit remembers a login for thirty days; whoever was shut out at the provider would stay in for so long."""
_CALLBACK = "/oauth2callback"
_NEEDED = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
_ADDRESS, _GUESTS = re.compile(r"[^@\s]+@[^@\s]+"), re.compile(r"[^@\s]*@[^@\s]+")


class Guests:
    """Who may come in after a login, by confirmed e-mail address.

    Args:
        roles: by address, or by ``@`` and a whole domain; an address counts before its domain.
    """

    def __init__(self, roles: Mapping[str, Role]) -> None:
        self._roles = {_folded(name): role for name, role in roles.items()}

    @classmethod
    def read(cls, path: Path) -> "Guests":
        """Read a file of secrets as Streamlit takes it (TOML): ``[auth]`` for the provider, ``[roles]`` for the guests.

        Raises:
            InvalidValueError: if others can read it, or anything in it is missing or not as it should be.
        """
        try:
            document = tomllib.loads(read_private(path, "login file"))
        except tomllib.TOMLDecodeError as error:
            raise InvalidValueError(f"The login file '{path}' is no TOML: {error}.") from error
        if unknown := sorted(document.keys() - {"auth", "roles"}):
            # Streamlit would also put what stands outside of sections into the environment.
            raise InvalidValueError(
                f"'{unknown[0]}' does not belong into '{path}': it has the sections auth and roles."
            )
        _check_provider(path, document.get("auth"))
        return cls(_roles(path, document.get("roles")))

    def person(self, address: str) -> Person | None:
        """Return who has this address; ``None`` for a stranger."""
        folded = _folded(address)
        role = self._roles.get(folded) or self._roles.get("@" + folded.rpartition("@")[2])
        return None if role is None else Person(folded, role)


def is_logged_in(claims: Mapping[str, Any], now: float) -> bool:
    """Tell whether somebody has logged in, and lately.

    Args:
        claims: of the identity token, as Streamlit hands them on.
        now: seconds since the epoch.
    """
    issued = claims.get("iat")
    return claims.get("is_logged_in") is True and isinstance(issued, int | float) and now - issued < LOGIN_LASTS_S


def confirmed_address(claims: Mapping[str, Any]) -> str | None:
    """Return the e-mail address that the provider vouches for; ``None`` if it does not.

    Anybody can write any address into a profile. That it was confirmed is a claim of its own (OpenID Connect Core 1.0,
    section 5.1), which some providers spell as a word; one that is missing counts as a no.
    """
    address, verified = claims.get("email"), claims.get("email_verified")
    is_confirmed = verified is True or verified == "true"
    return address if is_confirmed and isinstance(address, str) and _ADDRESS.fullmatch(address) else None


@dataclass(frozen=True, slots=True)
class Entrance:
    """How people come in; without either file, everybody who reaches the page does."""

    tokens: Path | None = None
    oidc: Path | None = None

    @property
    def is_guarded(self) -> bool:
        """Tell whether anybody is asked who they are."""
        return self.tokens is not None or self.oidc is not None

    def check(self) -> None:
        """Refuse files that cannot be used.

        Raises:
            ContradictionError: if both were given.
            InvalidValueError: if one is not as it should be.
            UnavailableError: if packages are missing.
        """
        if self.tokens is not None and self.oidc is not None:
            raise ContradictionError("People show a token or log in, not both. Choose one of --tokens and --oidc.")
        if self.tokens is not None:
            Tokens.read(self.tokens)
        if self.oidc is not None:
            Guests.read(self.oidc)
            missing = [name for name in ("authlib", "httpx2") if importlib.util.find_spec(name) is None]
            if missing:
                raise UnavailableError(f"Logins need {' and '.join(missing)}: pip install {' '.join(missing)}")

    def environment(self) -> dict[str, str]:
        """Return what the page's process must know: paths, never what stands in the files."""
        files = {TOKENS_VARIABLE: self.tokens, OIDC_VARIABLE: self.oidc}
        return {name: str(path.resolve()) if path else "" for name, path in files.items()}

    def options(self) -> dict[str, str]:
        """Return Streamlit's options for it."""
        if self.oidc is None:
            return {}
        options = {"secrets.files": str(self.oidc.resolve())}
        redirect = tomllib.loads(self.oidc.read_text("utf-8"))["auth"]["redirect_uri"]
        if name := _split(redirect).hostname:
            options["browser.serverAddress"] = name  # the name that browsers come by, perhaps through a proxy
        return options


def _check_provider(path: Path, auth: object) -> None:
    """Refuse a section ``[auth]`` that does not lead to a safe login; no message holds a value that may be secret."""
    section = auth if isinstance(auth, dict) else {}
    for name in _NEEDED:
        if not isinstance(section.get(name), str) or not section[name].strip():
            raise InvalidValueError(f"'{path}' has no {name} in its section [auth]: {', '.join(_NEEDED)} are needed.")
    if unknown := sorted(section.keys() - {*_NEEDED, "client_kwargs"}):
        raise InvalidValueError(f"'{unknown[0]}' in the section [auth] of '{path}' is not understood. Take it out.")
    if not isinstance(section.get("client_kwargs", {}), dict):
        raise InvalidValueError(f"client_kwargs in '{path}' is no table, such as {{ scope = 'openid email' }}.")
    if len(section["cookie_secret"]) < SHORTEST_COOKIE_SECRET:
        raise InvalidValueError(
            f"The cookie_secret in '{path}' is shorter than {SHORTEST_COOKIE_SECRET} characters. "
            "Make one: openssl rand -hex 32"
        )
    for name in ("redirect_uri", "server_metadata_url"):
        parts = _split(section[name])
        if not parts.hostname or parts.scheme not in ("http", "https"):
            raise InvalidValueError(f"The {name} in '{path}' is no address: it begins with https://.")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise InvalidValueError(
                f"The {name} in '{path}' begins with http://, where others could listen. Use https."
            )
    if _split(section["redirect_uri"]).path != _CALLBACK:
        raise InvalidValueError(f"The redirect_uri in '{path}' does not end with {_CALLBACK}, where logins come back.")


def _roles(path: Path, section: object) -> dict[str, Role]:
    if not isinstance(section, dict) or not section:
        raise InvalidValueError(f"""'{path}' lets nobody in. Add a section [roles]: "ada@example.org" = "runner".""")
    for name, role in section.items():
        if not _GUESTS.fullmatch(name) or role not in list(Role):
            raise InvalidValueError(
                f"""'{name}' in the section [roles] of '{path}' is not ADDRESS = ROLE: "ada@example.org" for one, """
                f""""@example.org" for a whole domain, and {" or ".join(Role)} for the role."""
            )
    return {name: Role(role) for name, role in section.items()}


def _split(address: str) -> SplitResult:
    """Return the parts of an address, none of one that is damaged."""
    try:
        return urlsplit(address.replace("{port}", "0"))  # Streamlit fills in its own
    except ValueError:
        return urlsplit("")


def _folded(address: str) -> str:
    """Return an address in small letters; letters that only look or fold like others stay what they are."""
    return address.lower() if address.isascii() else address
