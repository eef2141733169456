"""Says what a piece of text is: a number, true or false, or text. A feed and a filter must agree on it."""

import re

# "007", "1e5" and "+1" are names or codes more often than numbers, and would not come back as they were written.
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?", re.ASCII)
_TRUTH = {"true": True, "false": False}


def guess(text: str) -> str | int | float | bool:
    """Return `text` as the value that it looks like.

    >>> guess("38"), guess("3.50"), guess("true"), guess("007"), guess("red")
    (38, 3.5, True, '007', 'red')
    """
    if text in _TRUTH:
        return _TRUTH[text]
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    return float(text) if match[2] else int(text)
