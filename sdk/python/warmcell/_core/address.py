"""Where a gateway is, and how to show who is calling."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Address:
    """`base` is without a final slash; with `socket`, a path, it names no host that is looked
    up."""

    base: str
    socket: str | None = None
    token: str | None = field(default=None, repr=False)
    ca: str | None = None

    @classmethod
    def parse(cls, url: str, token: str | None = None, ca: str | None = None) -> Address:
        """Of `http://HOST:PORT/BASE`, `https://…` or `unix:/PATH`, each with `?token=` or without.
        A token that is given goes before that of the url."""
        parts = urlsplit(url)
        shown = parse_qs(parts.query).get("token", [None])[0]
        if parts.scheme == "unix":
            if not parts.path.startswith("/"):
                raise ValueError(f"{url!r} names no absolute path of a socket")
            return cls("http://localhost", parts.path, token or shown, ca)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError(f"{url!r} is neither http://, https:// nor unix:/path")
        base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        return cls(base, None, token or shown, ca)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def websocket(self) -> str:
        return f"ws{self.base[len('http') :]}/v1/stream"

    def tls(self) -> ssl.SSLContext | None:
        if not self.base.startswith("https:"):
            return None
        return ssl.create_default_context(cafile=self.ca)

    def __str__(self) -> str:
        return f"unix:{self.socket}" if self.socket else self.base
