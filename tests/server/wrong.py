"""Asks a check what is wrong."""

from collections.abc import Callable

import pytest

from lookalike_server.errors import BadField, BadFields


def wrong_fields(check: Callable[[], object]) -> dict[str, str]:
    """Return what `check` says is wrong, by field."""
    with pytest.raises((BadField, BadFields)) as raised:
        check()
    error = raised.value
    fields = error.fields if isinstance(error, BadFields) else ()
    return {one.field: one.description for one in ((error,) if isinstance(error, BadField) else fields)}
