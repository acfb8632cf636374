"""An identity provider on this machine: OpenID Connect's authorization code flow, with a key made on the spot."""

import base64
import json
import secrets
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID = "subsecond"


class IdentityProvider:
    """Logs in whoever :attr:`claims` describes, without asking.

    Attributes:
        claims: of the person who sits at the browser.
        client_secret: what the page has to show for a token.
        refused: requests for a token that were refused.
    """

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.client_secret = secrets.token_hex(24)
        self.refused = 0
        self._key = RSAKey.generate_key(2048, {"kid": "test", "use": "sig", "alg": "RS256"})
        self._nonces: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def document(self) -> dict[str, Any]:
        """Return what a client learns about this provider (OpenID Connect Discovery 1.0)."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def keys(self) -> dict[str, Any]:
        return {"keys": [self._key.as_dict(private=False)]}

    def authorize(self, query: dict[str, list[str]]) -> str:
        """Return where the browser goes on, with a code that is good for one token."""
        code = secrets.token_urlsafe()
        self._nonces[code] = query["nonce"][0]
        assert query["client_id"] == [CLIENT_ID]
        return f"{query['redirect_uri'][0]}?{urlencode({'code': code, 'state': query['state'][0]})}"

    def token(self, form: dict[str, list[str]], authorization: str) -> dict[str, Any] | None:
        """Return tokens for a code; ``None`` for a client that does not show its secret."""
        wanted = "Basic " + base64.b64encode(f"{CLIENT_ID}:{self.client_secret}".encode()).decode()
        nonce = self._nonces.pop(form.get("code", [""])[0], None)
        if authorization != wanted or nonce is None or "code_verifier" not in form:
            self.refused += 1
            return None
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "sub": "1", "iat": now, "exp": now + 600, "nonce": nonce}
        identity = jwt.encode({"alg": "RS256", "kid": "test"}, claims | self.claims, self._key)
        return {"access_token": secrets.token_hex(8), "token_type": "Bearer", "expires_in": 600, "id_token": identity}

    def _handler(provider) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = urlsplit(self.path)
                if address.path == "/authorize":
                    self.send_response(HTTPStatus.FOUND)
                    self.send_header("Location", provider.authorize(parse_qs(address.query)))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                pages = {"/.well-known/openid-configuration": provider.document, "/keys": provider.keys}
                self._answer(pages[address.path]())

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self._answer(provider.token(form, self.headers.get("Authorization", "")))

            def _answer(self, document: dict[str, Any] | None) -> None:
                body = json.dumps(document or {"error": "invalid_client"}).encode()
                self.send_response(HTTPStatus.OK if document else HTTPStatus.UNAUTHORIZED)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler
