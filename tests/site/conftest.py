"""The same made-up house as in tests/analysis."""

from tests.analysis.conftest import executed

__all__ = ["executed"]
