"""Says which version of the service this is, as the installed package knows it."""

from importlib.metadata import version

VERSION = version("lookalike")
