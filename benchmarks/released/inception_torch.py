"""Keras's Inception-v3 up to mixed7 in PyTorch, where there is a GPU to train on.

Layers are in the order in which Keras makes them, so that weights go over by number. Every block
is a convolution without bias, batch normalisation without scale (epsilon 1e-3), and a ReLU.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Convolution, normalisation, ReLU: channels in and out, kernel, stride, padding."""

    def __init__(self, i, o, kernel, stride=1, pad=0):
        super().__init__()
        self.conv = nn.Conv2d(i, o, kernel, stride, pad, bias=False)
        self.bn = nn.BatchNorm2d(o, eps=1e-3, momentum=0.01)
        self.bn.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def mean3(x: Tensor) -> Tensor:
    """Means of 3 x 3 places; padding does not count, as in Keras."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class Mixed(nn.Module):
    """Branches side by side: each a list of numbers of blocks, after a mean where it says so."""

    def __init__(self, blocks, branches, pooled):
        super().__init__()
        self.b = nn.ModuleList(Block(*sizes) for sizes in blocks)
        self.branches, self.pooled = branches, pooled

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for numbers in self.branches:
            y = x
            for number in numbers:
                y = self.b[number](y)
            found.append(y)
        if self.pooled is None:
            found.append(F.max_pool2d(x, 3, 2))
        else:
            found.append(self.b[self.pooled](mean3(x)))
        return torch.cat(found, 1)


def mixed_0_to_2(i: int, pool: int) -> Mixed:
    """35 x 35 places (of 299)."""
    sizes = [
        (i, 64, 1), (i, 48, 1), (48, 64, 5, 1, 2), (i, 64, 1), (64, 96, 3, 1, 1),
        (96, 96, 3, 1, 1), (i, pool, 1),
    ]  # fmt: skip
    return Mixed(sizes, [[0], [1, 2], [3, 4, 5]], 6)


def mixed_3() -> Mixed:
    """Halves the places."""
    sizes = [(288, 384, 3, 2), (288, 64, 1), (64, 96, 3, 1, 1), (96, 96, 3, 2)]
    return Mixed(sizes, [[0], [1, 2, 3]], None)


def mixed_4_to_7(c: int) -> Mixed:
    """17 x 17 places."""
    across, down = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))
    sizes = [
        (768, 192, 1), (768, c, 1), (c, c, *across), (c, 192, *down), (768, c, 1),
        (c, c, *down), (c, c, *across), (c, c, *down), (c, 192, *across), (768, 192, 1),
    ]  # fmt: skip
    return Mixed(sizes, [[0], [1, 2, 3], [4, 5, 6, 7, 8]], 9)


class Inception(nn.Module):
    """Pixels [N, 3, H, W], 0 to 255, to the outputs of layers mixed0 to mixed7, by name."""

    def __init__(self, last: int = 7):
        super().__init__()
        sizes = [(3, 32, 3, 2), (32, 32, 3), (32, 64, 3, 1, 1), (64, 80, 1), (80, 192, 3)]
        self.stem = nn.ModuleList(Block(*one) for one in sizes)
        mixed = [mixed_0_to_2(192, 32), mixed_0_to_2(256, 64), mixed_0_to_2(288, 64), mixed_3()]
        mixed += [mixed_4_to_7(c) for c in (128, 160, 160, 192)]
        self.mixed = nn.ModuleList(mixed[: last + 1])

    def forward(self, x: Tensor, taps: tuple[str, ...]) -> dict[str, Tensor]:
        s = self.stem
        x = F.max_pool2d(s[2](s[1](s[0](x / 127.5 - 1))), 3, 2)
        x = F.max_pool2d(s[4](s[3](x)), 3, 2)
        found = {}
        for number, layer in enumerate(self.mixed):
            x = layer(x)
            if f"mixed{number}" in taps:
                found[f"mixed{number}"] = x
        return found

    def blocks(self) -> list[Block]:
        """All blocks in Keras's order."""
        return [module for module in self.modules() if isinstance(module, Block)]


def from_keras(trunk: Inception, weights: str) -> Inception:
    """Give `trunk` the weights of a file that Keras's InceptionV3 without top takes."""
    import keras

    whole = keras.applications.InceptionV3(
        include_top=False, weights=weights, input_shape=(139, 139, 3)
    )
    convolutions, norms = in_order(whole)
    with torch.no_grad():
        for block, conv, norm in zip(trunk.blocks(), convolutions, norms, strict=False):
            block.conv.weight.copy_(torch.tensor(conv.get_weights()[0]).permute(3, 2, 0, 1))
            for own, value in zip(norm_weights(block), norm.get_weights(), strict=True):
                own.copy_(torch.tensor(value))
    return trunk


def to_keras(trunk: Inception, model) -> None:
    """Give a Keras model that begins with Inception-v3 the weights of `trunk`."""
    convolutions, norms = in_order(model)
    for block, conv, norm in zip(trunk.blocks(), convolutions, norms, strict=True):
        conv.set_weights([array(block.conv.weight).transpose(2, 3, 1, 0)])
        norm.set_weights([array(value) for value in norm_weights(block)])


def in_order(model) -> tuple[list, list]:
    """Inception's convolutions and normalisations in a Keras model, as they were made."""
    import keras

    def number(layer) -> int:
        tail = layer.name.rsplit("_", 1)[-1]
        return int(tail) if tail.isdigit() else 0

    convolutions = [one for one in model.layers if type(one) is keras.layers.Conv2D]
    norms = [one for one in model.layers if type(one) is keras.layers.BatchNormalization]
    return (
        sorted((one for one in convolutions if not one.use_bias), key=number),
        sorted((one for one in norms if one.center and not one.scale), key=number),
    )


def norm_weights(block: Block) -> list[Tensor]:
    """Offset, mean, variance."""
    return [block.bn.bias, block.bn.running_mean, block.bn.running_var]


def array(value: Tensor) -> np.ndarray:
    """A tensor as NumPy has it."""
    return value.detach().float().cpu().numpy()
