"""The handler of a language."""

from __future__ import annotations

import logging

from warmcell.compat.llm_sandbox.const import SupportedLanguage
from warmcell.compat.llm_sandbox.exceptions import (
    LanguageHandlerNotInitializedError,
    LanguageNotSupportedError,
)
from warmcell.compat.llm_sandbox.language_handlers import handlers
from warmcell.compat.llm_sandbox.language_handlers.base import AbstractLanguageHandler

__all__ = ["LanguageHandlerFactory"]


class LanguageHandlerFactory:
    """All handlers, by language."""

    _kinds: dict[str, type[AbstractLanguageHandler]] = {  # noqa: RUF012 (register_handler changes it)
        SupportedLanguage.PYTHON.value: handlers.PythonHandler,
        SupportedLanguage.JAVA.value: handlers.JavaHandler,
        SupportedLanguage.JAVASCRIPT.value: handlers.JavaScriptHandler,
        SupportedLanguage.CPP.value: handlers.CppHandler,
        SupportedLanguage.GO.value: handlers.GoHandler,
        SupportedLanguage.RUBY.value: handlers.RubyHandler,
        SupportedLanguage.R.value: handlers.RHandler,
    }

    @classmethod
    def create_handler(
        cls, language: str, logger: logging.Logger | None = None
    ) -> AbstractLanguageHandler:
        """LanguageNotSupportedError: there is none."""
        kind = cls._kinds.get(str(language).lower())
        if kind is None:
            raise LanguageNotSupportedError(str(language))
        handler = kind(logger)
        if not hasattr(handler, "config"):
            raise LanguageHandlerNotInitializedError(str(language))
        return handler

    @classmethod
    def register_handler(cls, language: str, kind: type[AbstractLanguageHandler]) -> None:
        """Adds a language, or has another handler for one."""
        cls._kinds[str(language).lower()] = kind

    @classmethod
    def get_supported_languages(cls) -> list[str]:
        """Those that there are handlers of."""
        return list(cls._kinds)
