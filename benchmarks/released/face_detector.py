"""Teach face_detector's released weights (PyTorch; a GPU, or some hours of a CPU).

    pip install torch
    CELFLOW_REAL_DATA=DATA python -m benchmarks.released.face_detector [--leave 0|1] [--steps N]

Faces are where the old detectors agree (`face_boxes`), where the sample's painter put them, and in
face crops; photographs have none. `--leave` keeps a half of characters3 and of the photographs out
and measures on it, instead of writing the weights.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from benchmarks.released.face_canvases import Maker, Picture
from benchmarks.released.face_pictures import gather
from celflow.images import read_image
from stages.models.face_detector import finder
from stages.models.face_detector.config import FaceDetectorConfig
from stages.models.face_detector.network import CHANNELS, STRIDE
from stages.models.face_detector.scenes import hits


def conv(i: int, o: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> nn.Sequential:
    layers = [nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *[nn.ReLU()] * relu)


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class Network(nn.Module):
    """stages.models.face_detector.network with batch normalisation; layers in the same order."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d, e, f = CHANNELS
        self.x8 = nn.Sequential(
            conv(3, a, 3, 2), conv(a, b, 3, 2), Residual(b),
            conv(b, c, 3, 2), Residual(c), Residual(c),
        )  # fmt: skip
        self.x16 = nn.Sequential(conv(c, d, 3, 2), Residual(d), Residual(d))
        self.x32 = nn.Sequential(conv(d, e, 3, 2), Residual(e))
        self.x64 = nn.Sequential(conv(e, f, 3, 2), Residual(f))
        self.coarse = nn.ModuleList([conv(f, d, 1), conv(d, c, 1), conv(c, c)])
        fine = ((e, d), (d, c), (c, c))
        self.fine = nn.ModuleList(conv(i, o, 1, 1, relu=False) for i, o in fine)
        self.head = nn.Sequential(conv(c, c), conv(c, c), nn.Conv2d(c, 4, 1))
        self.head[-1].bias.data = torch.tensor([-4.0, 1.5, 0.0, 0.0])

    def forward(self, x: Tensor) -> Tensor:
        x8 = self.x8(x)
        x16 = self.x16(x8)
        x32 = self.x32(x16)
        p = self.x64(x32)
        for coarse, fine, level in zip(self.coarse, self.fine, (x32, x16, x8), strict=True):
            p = F.relu(F.interpolate(coarse(p), scale_factor=2.0) + fine(level))
        return self.head(p)

    def folded(self) -> list[np.ndarray]:
        """Kernels and biases in Keras's order, half precision, batch normalisation in them."""
        joined = [m for pair in zip(self.coarse, self.fine, strict=True) for m in pair]
        blocks = [b for part in (self.x8, self.x16, self.x32, self.x64) for b in part]
        arrays = []
        for block in (*blocks, *joined, *self.head[:-1]):
            kernel, norm = getattr(block, "conv", block)[:2]
            factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            arrays += [kernel.weight * factor[:, None, None, None]]
            arrays += [norm.bias - norm.running_mean * factor]
        arrays += [self.head[-1].weight, self.head[-1].bias]
        arrays = [a.permute(2, 3, 1, 0) if a.ndim == 4 else a for a in arrays]
        return [a.detach().cpu().numpy().astype(np.float16) for a in arrays]


def loss_of(y: Tensor, boxes: Tensor, unknown: Tensor) -> Tensor:
    """Focal loss of the heat map (Law & Deng, CornerNet, 2018), and place and side, by face."""
    grid = torch.arange(y.shape[-1], device=y.device) + 0.5
    x, down, side = (boxes[..., i, None, None] / STRIDE for i in range(3))
    status, side = boxes[..., 3, None, None], side.clamp(min=0.5)
    dx, dy = x - grid, down - grid[:, None]
    sigma = (0.11 * side).clamp(min=0.55)
    bell, which = (torch.exp(-(dx**2 + dy**2) / (2 * sigma**2)) * (status > 0.5)).max(1)
    peak = ((dx.abs() <= 0.5) & (dy.abs() <= 0.5) & (status > 0.5)).any(1)
    bell = torch.where(peak, 1.0, bell)
    maybe = ((dx.abs() < side / 2) & (dy.abs() < side / 2) & (status == 0)).any(1)
    p = torch.sigmoid(y[:, 0].float()).clamp(1e-5, 1 - 1e-5)
    # Where not all faces are known, what looks like one counts neither for nor against.
    unsure = (unknown > 0.3) & (p.detach() > 0.25) & (bell < 0.1)
    count = ~(maybe & (bell < 0.5)) & ~unsure & ~peak
    heat = -(torch.log(p) * (1 - p) ** 2 * peak).sum()
    heat = heat - (torch.log1p(-p) * p**2 * (1 - bell) ** 4 * count).sum()
    weight = torch.where(bell > 0.45, bell, 0.0)
    tx, ty, ts = (
        torch.gather(t.expand(-1, -1, *y.shape[2:]), 1, which[:, None])[:, 0]
        for t in (dx, dy, side)
    )
    away = torch.sqrt(((y[:, 2] - tx) / ts) ** 2 + ((y[:, 3] - ty) / ts) ** 2 + 1e-4)
    size = F.smooth_l1_loss(y[:, 1].float(), torch.log(ts), beta=0.1, reduction="none")
    place = (weight * (away + 0.7 * size)).sum() / weight.sum().clamp(min=1)
    return heat / peak.sum().clamp(min=1) + 2 * place


class Canvases(IterableDataset):
    """Endless canvases; each worker has its own."""

    def __init__(self, pictures: dict[str, list[Picture]]) -> None:
        self.pictures = pictures

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        cv2.setNumThreads(1)
        worker = torch.utils.data.get_worker_info()
        maker = Maker(self.pictures, worker.id if worker else 0)
        while True:
            yield maker.canvas()


def standardised(x: Tensor) -> Tensor:
    x = x.permute(0, 3, 1, 2).float()
    return (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True).clamp(min=12)


def train(pictures: dict[str, list[Picture]], steps: int, batch: int) -> Network:
    """The moving average of the weights."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = Network().to(device, memory_format=torch.channels_last)
    mean = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.997), use_buffers=True
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=2.5e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2.5e-3, steps, pct_start=0.05)
    workers = max(1, (os.cpu_count() or 2) - 1)
    for step, (x, boxes, unknown) in enumerate(
        DataLoader(Canvases(pictures), batch, num_workers=workers)
    ):
        if step == steps:
            break
        with torch.autocast(device.type, torch.bfloat16):
            y = network(standardised(x.to(device)).contiguous(memory_format=torch.channels_last))
        loss = loss_of(y.float(), boxes.to(device), unknown.to(device))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        mean.update_parameters(network)
        if step % 100 == 0:
            print(f"step {step}: loss {float(loss.detach()):.3f}", flush=True)
    return mean.module.eval()


def measure(weights: Path, truth: dict[Path, np.ndarray], photos: list[Path]) -> None:
    """Print the recall at one false box in 20 illustrations, and at which score that is."""
    find = finder.load(
        FaceDetectorConfig(init=str(weights), short_side=448, threshold=0.05), "init"
    )
    hit, wrong = [], []
    for file, rows in truth.items():
        found = find(read_image(file).pixels)
        right = hits(found, tuple(map(tuple, rows[:, :3])))
        hit += [found[right[:, i], 4].max(initial=0) for i in range(len(rows))]
        wrong += found[~right.any(axis=1), 4].tolist()
    border = sorted(wrong, reverse=True)[len(truth) // 20]
    shown = [find(read_image(file).pixels)[:, 4].max(initial=0) for file in photos]
    print(
        f"{len(truth)} illustrations: recall {np.mean(np.array(hit) > border):.3f} at one false "
        f"box in 20, where the score is {border:.2f}; {np.mean(np.array(shown) > border):.3f} of "
        f"{len(photos)} photographs have a face there"
    )


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--leave", type=int, choices=(0, 1))
    ask.add_argument("--steps", type=int, default=6000)
    ask.add_argument("--batch", type=int, default=24)
    ask.add_argument("--out", type=Path, default=finder.RELEASED)
    options = ask.parse_args()
    pictures, left, left_photos = gather(Path(os.environ["CELFLOW_REAL_DATA"]), options.leave)
    network = train(pictures, options.steps, options.batch)
    out = options.out if options.leave is None else options.out.with_suffix(f".{options.leave}.npz")
    np.savez_compressed(out, *network.folded())
    print(f"wrote {out}")
    if options.leave is not None:
        measure(out, left, left_photos)


if __name__ == "__main__":
    main()
