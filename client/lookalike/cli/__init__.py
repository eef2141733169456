"""The command line. It is a user of the SDK like any other; `main` is its entry point."""

import sys


def main() -> None:
    """Run the command line; say how to install it where its libraries are missing."""
    try:
        from lookalike.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.exit(f"lookalike: the command line needs {error.name}: pip install 'lookalike[cli]'")
    app()
