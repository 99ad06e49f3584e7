"""The languages that sessions run."""

from warmcell.compat.llm_sandbox.language_handlers.base import (
    AbstractLanguageHandler,
    ContainerProtocol,
    LanguageConfig,
    PlotDetectionConfig,
    PlotLibrary,
)
from warmcell.compat.llm_sandbox.language_handlers.factory import LanguageHandlerFactory
from warmcell.compat.llm_sandbox.language_handlers.handlers import (
    CppHandler,
    GoHandler,
    JavaHandler,
    JavaScriptHandler,
    PythonHandler,
    RHandler,
    RubyHandler,
)

__all__ = [
    "AbstractLanguageHandler",
    "ContainerProtocol",
    "CppHandler",
    "GoHandler",
    "JavaHandler",
    "JavaScriptHandler",
    "LanguageConfig",
    "LanguageHandlerFactory",
    "PlotDetectionConfig",
    "PlotLibrary",
    "PythonHandler",
    "RHandler",
    "RubyHandler",
]
