"""Teach photo_compact's released weights, on a GPU (PyTorch; a CPU takes days).

    pip install torch
    CELFLOW_REAL_DATA=DATA python -m benchmarks.released.photo_compact [--leave-one-out]

A teacher, Inception-v3 to mixed7 with a linear layer over the means of three of its layers, is
fitted twice: with a frozen trunk, and tuned. The small network learns what both say of the same
picture, varied at random. `--leave-one-out` writes left_out.csv instead: the answers of networks
that were taught, as the released one but shorter, without two sources, to pictures of those two.

Longer than other files: two networks and their lessons in one place.
"""

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.released.augment_torch import augment, nothing, view
from benchmarks.released.inception_torch import Inception, array, from_keras, to_keras
from stages.models.common import compact_network, released_weights
from stages.models.photo_compact import photo_compact

DATA = Path(os.environ.get("CELFLOW_REAL_DATA", ""))
TEACHER_SIDE, SIDE, BATCH = 192, 112, 192
TAPS = ("mixed2", "mixed5", "mixed7")
PAIRS = [
    ("storybook", "receipt"), ("screen", "things"), ("poster", "clothes"), ("clipart", "night"),
    ("creature", "animals"), ("portrait", "bsds_val"), ("illustration", "bsds_train"),
    ("travel", "greyface"),
]  # fmt: skip


class Pictures:
    """All pictures in the GPU's memory: whole ones and crops of them, and faces of characters."""

    def __init__(self, dev: str) -> None:
        self.paths = sorted((DATA / "cartoon_or_photo").glob("*/*"))
        rng = np.random.default_rng(0)
        faces = [path for name in ("characters16", "characters_more") for path in
                 sorted((DATA / name).rglob("*.jpg")) if rng.random() < 0.33]  # fmt: skip
        with ThreadPoolExecutor() as threads:
            whole = list(threads.map(lambda path: read(path, 272), tqdm(self.paths)))
            crops = list(threads.map(lambda path: read_crop(path, 192), tqdm(self.paths)))
            crops += list(threads.map(lambda path: read(path, 192), tqdm(faces)))
        self.whole, self.crops = (
            torch.tensor(np.stack(one)).permute(0, 3, 1, 2).contiguous().to(dev)
            for one in (whole, crops)
        )
        self.source = np.array([source(path) for path in self.paths])
        self.cartoon = np.float32([path.parent.name == "cartoon" for path in self.paths])
        self.crop_source = np.append(self.source, ["face"] * len(faces))
        self.crop_cartoon = np.append(self.cartoon, np.ones(len(faces), np.float32))

    def shares(self, kept: set[str]) -> tuple[np.ndarray, np.ndarray]:
        """How often each whole picture and each crop is drawn: classes alike, sources by the root
        of their size."""

        def of(sources: np.ndarray, cartoon: np.ndarray) -> np.ndarray:
            share = np.zeros(len(sources))
            for one in kept | {"face"}:
                share[sources == one] = np.sum(sources == one) ** -0.5
            for label in (0, 1):
                share[cartoon == label] /= share[cartoon == label].sum()
            return share / share.sum()

        return of(self.source, self.cartoon), of(self.crop_source, self.crop_cartoon)


def source(path: Path) -> str:
    """What a picture's name begins with."""
    words = path.name.split("_")
    return "_".join(words[:2]) if words[0] == "bsds" else words[0]


def read(path: Path, side: int) -> np.ndarray:
    """uint8 [side, side, 3], stretched."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BOX))


def read_crop(path: Path, side: int) -> np.ndarray:
    """A square of 39 to 78 % of the shorter side, always the same."""
    with Image.open(path) as image:
        rng = np.random.default_rng(len(path.name) + path.stat().st_size)
        size = round(min(image.size) * rng.uniform(0.39, 0.78))
        x, y = (int(rng.integers(0, one - size + 1)) for one in image.size)
        part = image.convert("RGB").crop((x, y, x + size, y + size))
        return np.asarray(part.resize((side, side), Image.Resampling.BOX))


class Teacher(nn.Module):
    """The large network: pixels to a logit of "cartoon"."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = from_keras(Inception(7), str(DATA / "weights/inception_v3_notop.weights.h5"))
        self.norm = nn.BatchNorm1d(288 + 768 + 768, affine=False)
        self.head = nn.Linear(288 + 768 + 768, 1)

    def features(self, x: Tensor) -> Tensor:
        """Means of the channels of three layers."""
        found = self.trunk(x, TAPS)
        return torch.cat([found[tap].float().mean((2, 3)) for tap in TAPS], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.norm(self.features(x)), 0.5, self.training)
        return self.head(x)[:, 0]


class Separable(nn.Module):
    """Keras's SeparableConv2D, 3 x 3, and batch normalisation."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.deep = nn.Conv2d(i, i, 3, padding=1, groups=i, bias=False)
        self.point = nn.Conv2d(i, o, 1)
        self.bn = nn.BatchNorm2d(o, eps=1e-3, momentum=0.05)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.point(self.deep(x))))


class Compact(nn.Module):
    """`compact_network.network` in PyTorch: pixels to a logit of "cartoon"."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = from_keras(Inception(2), str(DATA / "weights/inception_v3_notop.weights.h5"))
        self.separable = nn.Sequential(Separable(288, 384), Separable(384, 384))
        self.head = nn.Linear(288 + 384, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.trunk(x, ("mixed2",))["mixed2"]
        y = self.separable(F.max_pool2d(x, 3, 2))
        both = torch.cat([x.float().mean((2, 3)), y.float().mean((2, 3))], 1)
        return self.head(F.dropout(both, 0.3, self.training))[:, 0]


class Lesson:
    """Training on all pictures of the sources that are kept."""

    def __init__(self, pictures: Pictures, kept: set[str], seed: int, dev: str) -> None:
        torch.manual_seed(seed)
        self.pictures, self.dev, self.rng = pictures, dev, np.random.default_rng(seed)
        self.shares = pictures.shares(kept)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Varied pixels [size, 3, 192, 192] and whether they are cartoons; one half where it is
        nothing at all."""
        p, dev = self.pictures, self.dev
        whole, crop = self.shares
        of_whole = self.rng.choice(len(whole), round(0.65 * size), p=whole)
        of_crops = self.rng.choice(len(crop), size - len(of_whole), p=crop)
        whole_pictures, crops = (
            pixels[torch.as_tensor(rows, device=dev)].float() / 255
            for pixels, rows in ((p.whole, of_whole), (p.crops, of_crops))
        )
        x = torch.cat([view(whole_pictures, TEACHER_SIDE, 0.12), view(crops, TEACHER_SIDE, 0.35)])
        y = torch.as_tensor(np.append(p.cartoon[of_whole], p.crop_cartoon[of_crops]), device=dev)
        x = augment(x)
        empty = max(1, size // 24)
        x[:empty], y[:empty] = nothing(x[:empty]), 0.5
        return (x * 255).round().contiguous(memory_format=torch.channels_last), y

    def frozen(self, views: int) -> Teacher:
        """A teacher whose linear layer alone is fitted, to many views."""
        teacher = Teacher().to(self.dev, memory_format=torch.channels_last).eval()
        features, truth = [], []
        with torch.no_grad(), autocast(self.dev):
            for _ in range(views // 256):
                x, y = self.batch(256)
                features.append(teacher.features(x))
                truth.append(y)
        x, y = torch.cat(features), torch.cat(truth)
        teacher.norm.running_mean.copy_(x.mean(0))
        teacher.norm.running_var.copy_(x.var(0))
        x, head = teacher.norm(x), teacher.head
        optimizer = torch.optim.LBFGS(head.parameters(), max_iter=60, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            fit = F.binary_cross_entropy_with_logits(head(x)[:, 0], y)
            value = fit + 5e-3 * head.weight.square().sum()
            value.backward()
            return value

        optimizer.step(loss)
        return teacher

    def fit(self, net: nn.Module, groups: list[dict], steps: int, teachers: list[Teacher]) -> None:
        """Train with AdamW and a cosine; the moving average of the weights counts."""
        optimizer = torch.optim.AdamW(groups)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [one["lr"] for one in groups], steps, pct_start=0.06
        )
        averaged = torch.optim.swa_utils.AveragedModel(
            net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
        )
        for _ in tqdm(range(steps), desc=type(net).__name__):
            x, y = self.batch(BATCH // 2 if not teachers else BATCH)
            net.train()
            if teachers:
                with torch.no_grad(), autocast(self.dev):
                    said = torch.stack([teacher(x).float() for teacher in teachers]).mean(0)
                said = torch.where(y == 0.5, y, torch.sigmoid(said))
                target = 0.7 * said + 0.3 * (0.94 * y + 0.03)
                x = shrink(x)
            else:
                net.trunk.eval()  # its means and variances stay
                target = 0.94 * y + 0.03
            with autocast(self.dev):
                logit = net(x)
            loss = F.binary_cross_entropy_with_logits(logit.float(), target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            optimizer.step()
            schedule.step()
            averaged.update_parameters(net)
        net.load_state_dict(averaged.module.state_dict())
        net.eval()


def autocast(dev: str) -> torch.autocast:
    """bfloat16 where there is a GPU."""
    return torch.autocast(dev, torch.bfloat16, enabled=dev == "cuda")


def shrink(x: Tensor) -> Tensor:
    """Pictures as the small network takes them."""
    size = (SIDE, SIDE)
    small = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
    return small.contiguous(memory_format=torch.channels_last)


def taught(pictures: Pictures, kept: set[str], seed: int, steps: int, dev: str) -> Compact:
    """A small network taught on the sources that are kept."""
    lesson = Lesson(pictures, kept, seed, dev)
    frozen = lesson.frozen(20_000)
    tuned = Teacher().to(dev, memory_format=torch.channels_last)
    tuned.load_state_dict(frozen.state_dict())
    tuned.trunk.stem.requires_grad_(False)
    trunk = [one for one in tuned.trunk.parameters() if one.requires_grad]
    groups = [{"params": trunk, "lr": 1.5e-4}, {"params": tuned.head.parameters(), "lr": 5e-4}]
    lesson.fit(tuned, [one | {"weight_decay": 0.05} for one in groups], steps, [])
    small = Compact().to(dev, memory_format=torch.channels_last)
    learnt = [one for one in small.parameters() if one.requires_grad]
    group = {"params": learnt, "lr": 1e-3, "weight_decay": 0.03}
    lesson.fit(small, [group], steps, [frozen, tuned])
    return small


def release(small: Compact) -> None:
    """Write released.npz."""
    import keras

    network = compact_network.network(SIDE, 0.0)
    to_keras(small.trunk, network)
    own = [one for one in network.layers if isinstance(one, keras.layers.SeparableConv2D)]
    norms = [one for one in network.layers if getattr(one, "scale", False) is True]
    norms = [one for one in norms if isinstance(one, keras.layers.BatchNormalization)]
    for block, layer, norm in zip(small.separable, own, norms, strict=True):
        deep, point = (array(one.weight) for one in (block.deep, block.point))
        bias = array(block.point.bias)
        layer.set_weights([deep.transpose(2, 3, 0, 1), point.transpose(2, 3, 1, 0), bias])
        bn = block.bn
        values = [bn.weight, bn.bias, bn.running_mean, bn.running_var]
        norm.set_weights([array(one) for one in values])
    # A sigmoid of one logit is a softmax of half of it and its negative.
    kernel, bias = array(small.head.weight).T / 2, array(small.head.bias) / 2
    network.layers[-1].set_weights([np.hstack([kernel, -kernel]), np.append(bias, -bias)])
    released_weights.save(network, photo_compact.RELEASED)


def main() -> None:
    """Teach, and write into the model's folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--leave-one-out", action="store_true")
    parser.add_argument("--steps", type=int, help="2000, or 300 for each pair that is left out")
    arguments = parser.parse_args()
    dev = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    pictures = Pictures(dev)
    sources = set(pictures.source)
    started = time.monotonic()
    if not arguments.leave_one_out:
        release(taught(pictures, sources, 302, arguments.steps or 2000, dev))
    else:
        scores = np.zeros(len(pictures.paths))
        for seed, left in enumerate(PAIRS):
            small = taught(pictures, sources - set(left), seed, arguments.steps or 300, dev)
            rows = np.flatnonzero(np.isin(pictures.source, left))
            with torch.no_grad():
                x = shrink(pictures.whole[torch.as_tensor(rows, device=dev)].float())
                scores[rows] = torch.sigmoid((small(x) + small(x.flip(3))) / 2).cpu().numpy()
        table = {
            "source": pictures.source,
            "0": scores.round(4),
            "1": (1 - scores).round(4),
            "truth": 1 - pictures.cartoon,
        }
        pd.DataFrame(table).astype({"truth": int}).to_csv(photo_compact.LEFT_OUT, index=False)
    print(f"{time.monotonic() - started:.0f} s on {dev}")


if __name__ == "__main__":
    main()
