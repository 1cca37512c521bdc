"""Teach character_embedding's released encoder, on a GPU (PyTorch; a CPU takes a day).

    pip install torch
    CELFLOW_REAL_DATA=DATA python -m benchmarks.released.character_embedding [--hold-out]

It learns to tell characters apart: those of DATA, and invented ones, which the sample's painter
draws, in hues that lie near to each other and far. `--hold-out` holds a quarter of the characters
of each style out, four times, writes left_out.csv, and says how well five faces of each, or one,
are enough to know them by.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.released import held_out_characters
from benchmarks.released.augment_torch import blur, grey, jpeg
from benchmarks.released.held_out_characters import Fold
from benchmarks.released.inception_torch import Inception, array, from_keras, to_keras
from benchmarks.released.invented_characters import PACKED, invented
from celflow import faces
from stages.models.character_embedding import network
from stages.models.common import released_weights

DATA = Path(os.environ.get("CELFLOW_REAL_DATA", ""))
SIDE = 128
INVENTED = 300
TURNS = 3  # of the circle of hues; turned faces are characters of their own
SHARES = {  # of a batch
    "characters16": 0.42, "stickers": 0.1, "thumbs": 0.15, "cast": 0.05, "characters3": 0.05,
    "drawn": 0.23,
}  # fmt: skip
BATCH, MARGIN, SHARPNESS = 192, 0.25, 24.0


def read(path: Path) -> np.ndarray | None:
    """A face; of a whole illustration the largest one, or none."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    if "characters3" in path.parts:
        found = faces.detect(pixels, DATA / "lbpcascade_animeface.xml")
        if not found:
            return None
        pixels = faces.crop(pixels, found[0])
    return cv2.resize(pixels, (PACKED, PACKED), interpolation=cv2.INTER_AREA)


class Faces:
    """All faces in the GPU's memory, with their character and style."""

    def __init__(self, dev: str) -> None:
        pixels, self.character, self.style = [], [], []
        parts = ("characters16", "characters_more", "characters3/raw", "characters3/unrecognized")
        paths = [path for one in parts for path in sorted((DATA / one).glob("*/*.*"))]
        with ProcessPoolExecutor() as pool:
            for path, face in zip(paths, tqdm(pool.map(read, paths, chunksize=20)), strict=True):
                if face is not None:
                    root = path.relative_to(DATA).parts[0]
                    more = root == "characters_more"
                    style = path.parent.name.split("_")[0] if more else root
                    self._add(pixels, face, f"{style} {path.parent.name}", style)
            for number, found in enumerate(tqdm(pool.map(invented, range(INVENTED)))):
                for face in found:
                    self._add(pixels, face, f"drawn {number}", "drawn")
        self.pixels = torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2).contiguous().to(dev)
        self.names, self.truth = np.unique(self.character, return_inverse=True)
        self.styles = np.array(self.style)

    def _add(self, pixels: list[np.ndarray], face: np.ndarray, name: str, style: str) -> None:
        pixels.append(face)
        self.character.append(name)
        self.style.append(style)

    def of_style(self, style: str) -> np.ndarray:
        """Its characters, by number."""
        return np.unique(self.truth[self.styles == style])


class Encoder(nn.Module):
    """`network.encoder` in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = from_keras(Inception(4), str(DATA / "weights/inception_v3_notop.weights.h5"))
        self.norm = nn.BatchNorm1d(288 + 768, affine=False, eps=network.EPSILON, momentum=0.05)
        self.project = nn.Linear(288 + 768, network.DIMENSIONS, bias=False)

    def features(self, x: Tensor) -> Tensor:
        """Means of the channels of two layers."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda):
            found = self.trunk(x, ("mixed2", "mixed4"))
        return torch.cat([found[tap].float().mean((2, 3)) for tap in ("mixed2", "mixed4")], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.norm(self.features(x)), 0.2, self.training)
        return F.normalize(self.project(x), dim=1)


def shrink(x: Tensor) -> Tensor:
    """Faces as the encoder takes them."""
    return F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)


def hues(dev: str) -> Tensor:
    """[TURNS, 3, 3]: turns of the plane of colours of YIQ."""
    yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    turned = []
    for angle in 2 * np.pi * np.arange(TURNS) / TURNS:
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        turned.append(np.linalg.inv(yiq) @ turn @ yiq)
    return torch.tensor(np.stack(turned), dtype=torch.float32, device=dev)


def vary(x: Tensor) -> Tensor:
    """Faces [B, 3, H, W], 0 to 1, to [B, 3, SIDE, SIDE], as artists and cameras vary them."""
    b, dev = len(x), x.device

    def number(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.rand(b, channels, 1, 1, device=dev) * (high - low) + low

    def sometimes(new: Tensor, share: float) -> Tensor:
        chosen = (number(0, 1) < share).float()
        return (new * chosen + x * (1 - chosen)).clamp(0, 1)

    def flat(low: float, high: float) -> Tensor:
        return number(low, high).view(b)

    wide = torch.exp(flat(-0.22, 0.15))
    high = wide * torch.exp(flat(-0.1, 0.1))
    angle = flat(-0.3, 0.3) * (flat(0, 1) < 0.5)
    mirror = torch.where(flat(0, 1) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [
        (wide * cos * mirror, -wide * sin, flat(-0.15, 0.15)),
        (high * sin * mirror, high * cos, flat(-0.15, 0.15)),
    ]
    theta = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = F.affine_grid(theta, [b, 3, SIDE, SIDE], align_corners=False)
    beside = "zeros" if torch.rand(()) < 0.3 else "border"
    x = F.grid_sample(x, grid, padding_mode=beside, align_corners=False)
    x = sometimes(x.clamp(1e-4, 1) ** torch.exp(number(-0.5, 0.5)), 0.3)
    x = sometimes((x - 0.5) * number(0.65, 1.4) + 0.5 + number(-0.12, 0.12), 0.4)
    x = sometimes(grey(x) + (x - grey(x)) * number(0.3, 1.7), 0.35)
    x = sometimes(x * number(0.78, 1.22, 3), 0.25)
    soft = blur(grey(x).expand_as(x), number(1.0, 3.0))[:, :1]
    lines = (grey(x) / (soft + 0.02)).clamp(0, 1) ** number(1, 6)
    x = sometimes(lines.expand_as(x), 0.07)
    x = sometimes(grey(x).expand_as(x), 0.12)
    x = sometimes(x * number(0.2, 0.6), 0.08)
    x = sometimes(blur(x, number(0.3, 2.0)), 0.2)
    small = F.interpolate(x, scale_factor=0.4, mode="bilinear", antialias=True)
    x = sometimes(F.interpolate(small, (SIDE, SIDE), mode="bilinear"), 0.15)
    x = sometimes(x + torch.randn_like(x) * number(0.01, 0.06), 0.1)
    x = sometimes(jpeg(x, number(18, 95)), 0.35)
    places = torch.arange(SIDE, device=dev)
    down, across = places.view(1, 1, -1, 1), places.view(1, 1, 1, -1)
    x = sometimes(torch.where(down < number(0.1, 0.4) * SIDE, number(0, 1, 3), x), 0.1)  # a hat
    hole = ((down - number(0, SIDE)).abs() < number(6, 26)) & (
        (across - number(0, SIDE)).abs() < number(6, 26)
    )
    return sometimes(torch.where(hole, number(0, 1, 3), x), 0.25)


def taught(faces: Faces, held_out: np.ndarray, seed: int, steps: int, dev: str) -> Encoder:
    """An encoder that has learnt all characters but those held out (CosFace, eq. 4)."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Encoder().to(dev, memory_format=torch.channels_last)
    with torch.no_grad():  # the norm begins with what the trunk gives
        some = shrink(faces.pixels[:: max(1, len(faces.pixels) // 500)].float())
        features = net.eval().features(some)
        net.norm.running_mean.copy_(features.mean(0))
        net.norm.running_var.copy_(features.var(0))
    classes = {style: np.setdiff1d(faces.of_style(style), held_out) for style in SHARES}
    rows = {c: np.flatnonzero(faces.truth == c) for all_c in classes.values() for c in all_c}
    live = np.zeros((TURNS, len(faces.names)), bool)
    live[:, list(rows)] = True
    dead = torch.as_tensor(~live.ravel(), device=dev)
    count = len(faces.names)
    heads = nn.Parameter(F.normalize(torch.randn(count * TURNS, network.DIMENSIONS, device=dev)))
    trunk = [one for one in net.trunk.parameters() if one.requires_grad]
    groups = [
        {"params": trunk, "lr": 4e-4, "weight_decay": 0.03},
        {"params": net.project.parameters(), "lr": 2e-3, "weight_decay": 0.01},
        {"params": [heads], "lr": 4e-3, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups)
    rates = [one["lr"] for one in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, steps, pct_start=0.06)
    ema = torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
    averaged = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=ema, use_buffers=True)
    turned = hues(dev)
    for step in tqdm(range(steps)):
        styles = rng.choice(list(SHARES), BATCH, p=list(SHARES.values()))
        chosen = np.array([rng.choice(classes[style]) for style in styles])
        picked = np.array([rng.choice(rows[c]) for c in chosen])
        turn = np.where(rng.random(BATCH) < 0.3, rng.integers(1, TURNS, BATCH), 0)
        x = faces.pixels[torch.as_tensor(picked, device=dev)].float() / 255
        x = torch.einsum("bij,bjhw->bihw", turned[torch.as_tensor(turn, device=dev)], x)
        x = (vary(x.clamp(0, 1)) * 255).round().contiguous(memory_format=torch.channels_last)
        y = torch.as_tensor(chosen + turn * count, device=dev)
        net.train()
        cosines = net(x) @ F.normalize(heads, dim=1).T
        margin = MARGIN * min(1, step / (0.2 * steps))
        logits = SHARPNESS * (cosines - margin * F.one_hot(y, len(heads)))
        loss = F.cross_entropy(logits.masked_fill(dead, -1e4), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(net)
    net.load_state_dict(averaged.module.state_dict())
    return net.eval()


@torch.no_grad()
def encoded(net: Encoder, faces: Faces) -> np.ndarray:
    """Unit encodings [N, D], of faces and their mirror images together."""
    both = []
    for start in range(0, len(faces.pixels), 256):
        x = shrink(faces.pixels[start : start + 256].float())
        both.append(F.normalize(net(x) + net(x.flip(3)), dim=1).cpu())
    return torch.cat(both).numpy()


def release(net: Encoder) -> None:
    """Write released.npz."""
    import keras

    model = network.encoder(SIDE, 0.0)
    norm = next(one for one in model.layers
                if isinstance(one, keras.layers.BatchNormalization) and not one.center)  # fmt: skip
    norm.set_weights([array(net.norm.running_mean), array(net.norm.running_var)])
    dense = next(one for one in model.layers if isinstance(one, keras.layers.Dense))
    dense.set_weights([array(net.project.weight).T])
    to_keras(net.trunk, model)
    released_weights.save(model, network.RELEASED)


def main() -> None:
    """Teach, and write into the model's folder; or hold out, write and print."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--hold-out", action="store_true")
    parser.add_argument("--steps", type=int, help="2100, or 650 where a quarter is held out")
    arguments = parser.parse_args()
    dev = "cuda" if torch.cuda.is_available() else "cpu"
    faces = Faces(dev)
    if not arguments.hold_out:
        release(taught(faces, np.array([], int), 100, arguments.steps or 2100, dev))
        return
    folds = []
    for fold in range(4):
        quarters = [faces.of_style(style) for style in SHARES]
        held_out = np.concatenate([c[np.arange(len(c)) % 4 == fold] for c in quarters])
        net = taught(faces, held_out, fold, arguments.steps or 650, dev)
        folds.append(Fold(encoded(net, faces), faces.truth, faces.styles, set(held_out)))
    held_out_characters.write(folds)
    held_out_characters.report(folds)


if __name__ == "__main__":
    main()
