"""A small disk that can be filled up: a tmpfs of a given size. Needs root. Knows nothing of who writes to it."""

import os
import subprocess
from pathlib import Path

BLOCK_BYTES = 64 * 1024


def can_mount() -> bool:
    """Say whether this process may mount a tmpfs."""
    return os.geteuid() == 0 and Path("/proc/filesystems").exists()


class SmallDisk:
    """One mounted tmpfs."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        """Take where to mount it, and how much it holds."""
        self.folder = folder
        self.size_mib = size_mib
        self._filler = folder / "filler"

    def mount(self) -> None:
        """Mount it, empty."""
        self.folder.mkdir(parents=True, exist_ok=True)
        told = ["mount", "-t", "tmpfs", "-o", f"size={self.size_mib}m", "tmpfs", str(self.folder)]
        subprocess.run(told, check=True, capture_output=True)

    def unmount(self) -> None:
        """Take it away with all it holds."""
        subprocess.run(["umount", "-l", str(self.folder)], check=True, capture_output=True)

    def fill(self) -> None:
        """Write until nothing more fits."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (BLOCK_BYTES, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass  # a block of this size does not fit any more
        assert self.free_bytes() == 0, f"{self.folder} is not full"

    def free_bytes(self) -> int:
        """Return how much fits."""
        told = os.statvfs(self.folder)
        return told.f_bavail * told.f_frsize

    def relieve(self) -> None:
        """Make room again."""
        self._filler.unlink(missing_ok=True)
