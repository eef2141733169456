"""Writes model archives: a stored zip of the manifest and the network. Knows no networks' insides."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lookalike_server.models.load import MANIFEST

# The oldest time that a zip can tell: equal archives are equal bytes, whenever they were made.
NO_TIME = (1980, 1, 1, 0, 0, 0)


def pack(out: Path, manifest: Mapping[str, Any], network: bytes) -> Path:
    """Write the archive `out` whole or not at all; an archive that was there stays until then."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            text = json.dumps(manifest, indent=2).encode() + b"\n"
            for name, data in ((MANIFEST, text), (manifest["file"], network)):
                archive.writestr(zipfile.ZipInfo(name, NO_TIME), data)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return out
