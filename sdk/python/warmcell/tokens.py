"""Tokens, for plain calls; see warmcell.aio.tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from warmcell._core.facade import Facade, words_of
from warmcell.aio.tokens import AsyncTokens
from warmcell.models import Token


@words_of(AsyncTokens)
class Tokens(Facade[AsyncTokens]):
    def create(
        self,
        name: str = "",
        *,
        principal: str | None = None,
        role: str | None = None,
        scopes: Sequence[str] | None = None,
        quotas: Mapping[str, int] | None = None,
        expires_in: float | None = None,
        key: str | None = None,
    ) -> Token:
        made = self._inner.create(
            name,
            principal=principal,
            role=role,
            scopes=scopes,
            quotas=quotas,
            expires_in=expires_in,
            key=key,
        )
        return self._portal.call(made)

    def list(self) -> Iterator[Token]:
        return self._portal.iterate(self._inner.list())

    def revoke(self, token: str) -> None:
        self._portal.call(self._inner.revoke(token))
