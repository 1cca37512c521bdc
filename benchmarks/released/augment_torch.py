"""Vary pictures at random on a GPU, as cameras, screens and those who pass them on do.

Pictures are float [B, 3, H, W], 0 to 1; each is varied on its own.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
N = np.arange(8)
DCT = np.cos((2 * N[None] + 1) * N[:, None] * np.pi / 16)
DCT *= np.sqrt(np.where(N[:, None] == 0, 1, 2) / 8)
# JPEG (ITU-T T.81), tables K.1 and K.2
LUMA_STEPS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
COLOUR_STEPS = np.full((8, 8), 99)
COLOUR_STEPS[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]


def view(x: Tensor, side: int, smallest: float) -> Tensor:
    """A random part of each, at least the share `smallest` of its area, turned and mirrored, to
    side x side; a third of them whole."""
    b = len(x)
    area = torch.exp(torch.rand(b, device=x.device) * np.log(1 / smallest)) * smallest
    area = torch.where(torch.rand(b, device=x.device) < 0.35, torch.ones_like(area), area)
    ratio = torch.exp((torch.rand(b, device=x.device) - 0.5) * 0.7)
    sx, sy = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    tx, ty = ((torch.rand(b, device=x.device) * 2 - 1) * (1 - size) for size in (sx, sy))
    turned = torch.rand(b, device=x.device) < 0.3
    angle = (torch.rand(b, device=x.device) - 0.5) * 0.5 * turned
    mirror = torch.where(torch.rand(b, device=x.device) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [(sx * cos * mirror, -sx * sin, tx), (sy * sin * mirror, sy * cos, ty)]
    theta = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = F.affine_grid(theta, [b, 3, side, side], align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur, a sigma (px) for each, [B, 1, 1, 1]."""
    radius, (h, w) = 4, x.shape[2:]
    places = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-(places**2) / (2 * sigma.view(-1, 1) ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).view(len(x), -1, 1, 1, 1)
    y = F.pad(x, (0, 0, radius, radius), mode="reflect")
    y = sum(y[:, :, i : i + h] * kernel[:, i] for i in range(len(places)))
    y = F.pad(y, (radius, radius, 0, 0), mode="reflect")
    return sum(y[:, :, :, i : i + w] * kernel[:, i] for i in range(len(places)))


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """What JPEG of a quality [B, 1, 1, 1] leaves, colours halved; sides are multiples of 16."""
    r, g, b = (x * 255).unbind(1)
    y = LUMA[0] * r + LUMA[1] * g + LUMA[2] * b
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).view(-1, 1, 1, 1, 1) / 100
    dct = torch.tensor(DCT, device=x.device, dtype=torch.float32)

    def squeeze(plane: Tensor, steps: np.ndarray) -> Tensor:
        n, h, w = plane.shape
        table = torch.tensor(steps, device=x.device, dtype=torch.float32)
        table = (table * scale).clamp(1, 255).round()
        blocks = plane.view(n, h // 8, 8, w // 8, 8).transpose(2, 3)
        kept = (dct @ blocks @ dct.T / table).round() * table
        return (dct.T @ kept @ dct).transpose(2, 3).reshape(n, h, w)

    colours = F.avg_pool2d(torch.stack([(b - y) * 0.564, (r - y) * 0.713], 1), 2)
    colours = torch.stack([squeeze(one, COLOUR_STEPS) for one in colours.unbind(1)], 1)
    colours = F.interpolate(colours, scale_factor=2, mode="bilinear", align_corners=False)
    y = squeeze(y - 128, LUMA_STEPS) + 128
    b, r = y + colours[:, 0] / 0.564, y + colours[:, 1] / 0.713
    g = (y - LUMA[0] * r - LUMA[2] * b) / LUMA[1]
    return (torch.stack([r, g, b], 1) / 255).clamp(0, 1)


def grey(x: Tensor) -> Tensor:
    """Luma, [B, 1, H, W]."""
    return (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def augment(x: Tensor) -> Tensor:
    """Light, colours, sharpness, grain, compression, borders, holes."""
    b, _, h, w = x.shape

    def number(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.rand(b, channels, 1, 1, device=x.device) * (high - low) + low

    def sometimes(new: Tensor, share: float) -> Tensor:
        chosen = (number(0, 1) < share).float()
        return (new * chosen + x * (1 - chosen)).clamp(0, 1)

    x = sometimes(x.clamp(1e-4, 1) ** torch.exp(number(-0.6, 0.6)), 0.35)
    x = sometimes((x - 0.5) * number(0.6, 1.5) + 0.5 + number(-0.15, 0.15), 0.4)
    x = sometimes(grey(x) + (x - grey(x)) * number(0.2, 2.2), 0.35)
    x = sometimes(x * number(0.75, 1.25, channels=3), 0.2)
    x = sometimes(x[:, torch.randperm(3, device=x.device)], 0.04)
    x = sometimes(grey(x).expand_as(x), 0.12)
    x = sometimes(x * number(0.15, 0.6), 0.12)
    x = sometimes(blur(x, number(0.3, 2.2)), 0.2)
    small = F.interpolate(x, scale_factor=0.45, mode="bilinear", antialias=True)
    x = sometimes(F.interpolate(small, (h, w), mode="bilinear"), 0.12)
    x = sometimes(x + (x - blur(x, torch.ones_like(number(0, 1)))) * number(0.3, 1.2), 0.1)
    noise = torch.randn_like(x)
    noise = torch.where(number(0, 1) < 0.5, noise, noise[:, :1])
    x = sometimes(x + noise * number(0.01, 0.09), 0.18)
    x = sometimes(jpeg(x, number(18, 95)), 0.45)

    rows = torch.arange(h, device=x.device).view(1, 1, h, 1)
    columns = torch.arange(w, device=x.device).view(1, 1, 1, w)
    top, left = number(0, 0.22 * h), number(0, 0.22 * w) * (number(0, 1) < 0.5)
    inside = (rows >= top) & (rows < h - top) & (columns >= left) & (columns < w - left)
    border = torch.where(number(0, 1) < 0.7, number(0, 1).round(), number(0, 1, channels=3))
    x = sometimes(torch.where(inside, x, border), 0.12)
    y, z, high, wide = number(0, h), number(0, w), number(6, 30), number(6, 30)
    hole = ((rows - y).abs() < high) & ((columns - z).abs() < wide)
    return sometimes(torch.where(hole, number(0, 1, channels=3), x), 0.12)


def nothing(x: Tensor) -> Tensor:
    """Pictures of nothing, of the shape of x: one colour, a ramp of two, noise."""
    b, _, _, w = x.shape
    one, other = torch.rand(2, b, 3, 1, 1, device=x.device)
    kind = torch.rand(b, 1, 1, 1, device=x.device)
    ramp = torch.linspace(0, 1, w, device=x.device).view(1, 1, 1, w)
    y = one.expand_as(x)
    y = torch.where((kind > 0.4) & (kind < 0.7), one * (1 - ramp) + other * ramp, y)
    noise = torch.randn_like(x) * (torch.rand(b, 1, 1, 1, device=x.device) * 0.48 + 0.02)
    return torch.where(kind > 0.7, y + noise, y).clamp(0, 1)
