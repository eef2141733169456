"""Turns renders into pictures as a shop or a telephone would have them. Pillow and numpy only, no Blender."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Box = tuple[float, float, float, float]  # left, top, right, bottom, fractions of the picture


def alpha_box(alpha: npt.NDArray[np.uint8], threshold: int = 96) -> Box | None:
    """Return the tight box round what is solid in an alpha channel (h, w), or None if nothing is."""
    solid = alpha >= threshold
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if not len(rows):
        return None
    height, width = alpha.shape
    return (
        float(columns[0] / width),
        float(rows[0] / height),
        float((columns[-1] + 1) / width),
        float((rows[-1] + 1) / height),
    )


def studio(cut: Image.Image) -> Image.Image:
    """Stand a cut-out (RGBA) on the light ground of a catalogue, with a soft shadow where it touches."""
    shade = np.linspace(255, 238, cut.height, dtype=np.float32)[:, None, None]
    ground = np.broadcast_to(shade, (cut.height, cut.width, 3)).astype(np.uint8)
    left, top, right, bottom = cut.getbbox() or (0, 0, cut.width, cut.height)
    # A product's shadow under a wide lamp is about its own outline, lying flat; rendering it cost three times as much.
    flat = cut.getchannel("A").crop((left, top, right, bottom))
    flat = flat.resize((right - left, max(4, int((right - left) * 0.16))), Image.Resampling.BILINEAR)
    dark = Image.new("L", cut.size, 0)
    dark.paste(flat, (left, bottom - int(flat.height * 0.72)))
    wide, near = dark.filter(ImageFilter.GaussianBlur(cut.width * 0.03)), dark.filter(ImageFilter.GaussianBlur(3))
    strength = np.asarray(wide, dtype=np.float32) * 0.26 + np.asarray(near, dtype=np.float32) * 0.14
    shadow = Image.new("RGBA", cut.size, (40, 40, 46, 0))
    shadow.putalpha(Image.fromarray(strength.astype(np.uint8)))
    lit = over(Image.fromarray(np.ascontiguousarray(ground)), shadow, (0, 0))
    return over(lit, cut, (0, 0))


def over(ground: Image.Image, cut: Image.Image, at: tuple[int, int]) -> Image.Image:
    """Return `ground` with an RGBA cut-out pasted on it at `at` (left, top in pixels)."""
    out = ground.convert("RGB")
    out.paste(cut, at, cut)
    return out


def phone(picture: Image.Image, numbers: np.random.Generator) -> Image.Image:
    """Return a render as a telephone would have taken it: white balance, contrast, vignette, softness, noise."""
    light = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255.0
    balance = 1.0 + numbers.normal(0, 0.045, 3)
    light = light * balance * numbers.uniform(0.9, 1.08)
    light = np.clip(light, 0, 1) ** numbers.uniform(0.88, 1.15)
    height, width, _ = light.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light *= (1.0 - numbers.uniform(0.02, 0.16) * (x**2 + y**2) / 2)[..., None].astype(np.float32)
    soft = Image.fromarray((np.clip(light, 0, 1) * 255).astype(np.uint8))
    soft = soft.filter(ImageFilter.GaussianBlur(float(numbers.uniform(0.0, 0.8))))
    light = np.asarray(soft, dtype=np.float32) / 255.0
    strength = numbers.uniform(0.006, 0.022)
    grain = numbers.normal(0, strength, (height, width, 1)) + numbers.normal(0, strength / 2, (height, width, 3))
    return Image.fromarray((np.clip(light + grain, 0, 1) * 255).astype(np.uint8))
