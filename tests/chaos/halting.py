"""Halts a router at a step of a move until a test lets it go: a launcher for routers, and what tests steer it with.

The two speak through files of one folder. Knows no fault; python -m tests.chaos.halting runs a router.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# Puts this module within reach, wherever the router is started.
LAUNCH = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.chaos.halting import main; sys.exit(main())"
POLL_S = 0.01
# A router that nobody lets go goes on by itself.
HALT_S = 30.0
# A hasty router's calls end after so long, and what was late has arrived after twice as much; 10 and 15 s otherwise.
HASTY_CALL_S = 2.0
HASTY_LATE_S = 4.0


@dataclass(frozen=True)
class Halt:
    """One wait: of the first router that reaches a step after it was armed."""

    folder: Path
    number: int

    @property
    def router(self) -> str:
        """The router that waits, or has waited; empty before."""
        found = self.folder / f"reached-{self.number}"
        return found.read_text() if found.exists() else ""

    def release(self) -> None:
        """Let the router go on."""
        (self.folder / f"released-{self.number}").touch()


class Halts:
    """A test's side: has the next router that reaches a step wait there."""

    def __init__(self, folder: Path) -> None:
        """Take the folder that the routers were given."""
        self._folder = folder
        self._number = 0

    def arm(self, step: str) -> Halt:
        """Have one router wait at its next `step`; what was armed before is not any more."""
        self.disarm()
        self._number += 1
        written = self._folder / "arming"
        written.write_text(f"{self._number} {step}")
        written.rename(self._folder / "armed")
        return Halt(self._folder, self._number)

    def disarm(self) -> None:
        """Have no router wait that does not wait already."""
        (self._folder / "armed").unlink(missing_ok=True)


def program(folder: Path, router: str, *, without: str, hasty: bool) -> Sequence[str]:
    """Return what Python runs for a router that can be halted, and lacks a safeguard where one is named."""
    return ("-c", LAUNCH, str(folder), router, without, "hasty" if hasty else "")


async def halted(folder: Path, router: str, step: str) -> None:
    """Wait, if this step is armed, until the test lets go."""
    number = claimed(folder, router, step)
    until = time.monotonic() + HALT_S
    while number and not (folder / f"released-{number}").exists() and time.monotonic() < until:  # noqa: ASYNC110 - a file tells
        await asyncio.sleep(POLL_S)


def claimed(folder: Path, router: str, step: str) -> str:
    """Return the number of what is armed if it is this step, and nobody else was faster; empty else."""
    try:
        number, armed = (folder / "armed").read_text().split()
        if armed != step:
            return ""
        (folder / "armed").rename(folder / f"claimed-{number}")
    except FileNotFoundError:
        return ""
    written = folder / f"claimed-{number}"
    written.write_text(router)
    written.rename(folder / f"reached-{number}")
    return number


def main() -> int:
    """Run a router that tells of every step."""
    # Imported here and changed before anything else is: most names are taken over at import.
    from lookalike_router import failpoints, jobs, safeguards

    _, folder, router, without, hasty = sys.argv[:5]
    failpoints.nothing = partial(halted, Path(folder), router)
    if without:
        safeguards.ALL = safeguards.Safeguards(**{without: False})
    if hasty:
        jobs.LATE_S = HASTY_LATE_S
        from lookalike_router import mover

        mover.CALL_DEADLINE_S = HASTY_CALL_S
    from lookalike_server.__main__ import main as run

    return run(sys.argv[5:])
