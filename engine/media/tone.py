"""HDR → standard range: PQ and HLG clips as an ordinary BT.709 picture, for viewing and editing.

Reference white is 203 cd/m² (ITU-R BT.2408). What has up to three quarters of it keeps its brightness; what is brighter is
rolled off so that 1000 cd/m² just reaches white (our choice of curve). The largest of the three colours is mapped and the
others follow in proportion, so hues stay. Standards: SMPTE ST 2084 (PQ), ITU-R BT.2100 (HLG), BT.2087 (primaries).
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

PQ, HLG = 16, 18
WHITE = 203.0  # cd/m²
PEAK = 1000.0 / WHITE
KNEE = 0.75
STEPS = 4096
TOP = 10_000 / WHITE
BT709_FROM_BT2020 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
BT2020_LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]], np.float32)
HLG_GAMMA = 1.2  # system gamma of a 1000 cd/m² display


def to_standard_range(picture: np.ndarray, transfer: int) -> np.ndarray:
    """(H, W, 3) uint16 BT.2020 R′G′B′ of PQ (16) or HLG (18) → (H, W, 3) uint16 BT.709 R′G′B′, 65535 = white."""
    light = np.take(_light_table(transfer), picture >> 4, mode="clip")
    if transfer == HLG:
        luminance = cv2.transform(light, BT2020_LUMINANCE)
        light *= (PEAK * np.maximum(luminance, 1e-6) ** np.float32(HLG_GAMMA - 1))[..., None]
    light = cv2.transform(light, BT709_FROM_BT2020)
    largest = cv2.max(cv2.max(light[..., 0], light[..., 1]), light[..., 2])
    light *= np.take(_roll_table(), _steps(largest, TOP), mode="clip")[..., None]
    return np.take(_signal_table(), _steps(light, 1.0), mode="clip")


def _steps(light: np.ndarray, top: float) -> np.ndarray:
    """Linear light 0 to `top` as numbers of table entries, by square root: as fine in the shadows as they are seen."""
    scaled = light * np.float32((4 * STEPS - 1) ** 2 / top)
    np.maximum(scaled, 0, out=scaled)
    np.sqrt(scaled, out=scaled)
    np.minimum(scaled, 4 * STEPS - 1, out=scaled)
    return (scaled + np.float32(0.5)).astype(np.uint16)


def rolled_off(light: np.ndarray) -> np.ndarray:
    """The tone curve on linear light (1 = reference white): identity up to the knee, then smoothly to 1 at the peak."""
    slope = (PEAK - KNEE) / (1 - KNEE)
    part = np.clip((light - KNEE) / (PEAK - KNEE), 0, 1)
    return np.where(light <= KNEE, light, KNEE + (1 - KNEE) * slope * part / (1 + part * (slope - 1))).astype(np.float32)


@cache
def _roll_table() -> np.ndarray:
    """(16384,) float32: square root of linear light up to `TOP` → the factor that the tone curve scales it by."""
    light = (np.arange(STEPS * 4) / (STEPS * 4 - 1)) ** 2 * TOP
    light[0] = light[1]
    return (rolled_off(light) / light).astype(np.float32)


@cache
def _light_table(transfer: int) -> np.ndarray:
    """(4096,) float32: signal → light; PQ in units of reference white, HLG as scene light 0–1."""
    signal = np.arange(STEPS) / (STEPS - 1)
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = signal ** (1 / m2)
        light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * 10_000 / WHITE
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return light.astype(np.float32)


@cache
def _signal_table() -> np.ndarray:
    """(16384,) uint16: square root of linear light → BT.709 signal for a display of gamma 2.4 (BT.1886)."""
    light = (np.arange(STEPS * 4) / (STEPS * 4 - 1)) ** 2
    return np.rint(light ** (1 / 2.4) * 65535).astype(np.uint16)
