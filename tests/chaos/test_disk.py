"""Tests the small disk; needs root."""

import errno
from pathlib import Path

import pytest

from tests.chaos.disk import SmallDisk, can_mount


@pytest.mark.skipif(not can_mount(), reason="mounting a tmpfs needs root")
def test_a_full_disk_takes_nothing_until_it_is_relieved(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "disk", size_mib=1)
    disk.mount()
    try:
        disk.fill()
        with pytest.raises(OSError, match="No space") as full:
            (disk.folder / "more").write_bytes(b"x")
        assert full.value.errno == errno.ENOSPC
        disk.relieve()
        (disk.folder / "more").write_bytes(b"x")
    finally:
        disk.unmount()
    assert not any(disk.folder.iterdir())
