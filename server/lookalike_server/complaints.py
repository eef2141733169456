"""Collects what is wrong with one request, so that its caller hears of everything at once. Knows no message."""

import unicodedata
from dataclasses import dataclass, field

from lookalike_server.errors import BadField, BadFields

ID_BYTES_MAX = 128


@dataclass
class Complaints:
    """The wrong fields of one request, in the order in which they were found."""

    found: list[BadField] = field(default_factory=list)

    def add(self, path: str, description: str) -> None:
        """Note that the field at `path` is wrong."""
        self.found.append(BadField(path, description))

    def settle(self) -> None:
        """Raise what was found, if anything was."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            raise BadFields(tuple(self.found))

    def identifier(self, path: str, value: str) -> None:
        """Check an id: 1 to 128 bytes of UTF-8 without control characters."""
        if not value:
            self.add(path, "is required")
        elif (size := len(value.encode())) > ID_BYTES_MAX:
            self.add(path, f"is {size} bytes long; at most {ID_BYTES_MAX} are allowed")
        elif has_controls(value):
            self.add(path, "contains control characters")

    def text(self, path: str, value: str, chars_max: int) -> None:
        """Check text that may be empty."""
        if len(value) > chars_max:
            self.add(path, f"is {len(value)} characters long; at most {chars_max} are allowed")
        elif has_controls(value):
            self.add(path, "contains control characters")


def has_controls(value: str) -> bool:
    """Say whether text holds control characters, other than the line breaks and tabs of ordinary text."""
    return any(unicodedata.category(char) == "Cc" and char not in "\n\r\t" for char in value)
