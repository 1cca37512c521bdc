"""What encoders make of characters that they were not taught: tables, and left_out.csv."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from stages.models.character_embedding import known_curve
from stages.models.character_embedding.gallery import Gallery, mean_directions
from stages.models.character_embedding.known_curve import Asked, without_itself

STYLES = ("characters16", "stickers", "thumbs", "cast", "characters3")
ROWS = 150  # of left_out.csv, for each style and number of faces shown
SHARPNESS, FALSE_ALARMS = 20.0, 0.05  # of params.yaml


@dataclass(frozen=True)
class Fold:
    """All faces, encoded by a network that was taught without some of the characters.

    encodings: float32 [N, D], unit length. truth: int [N]. styles: str [N]. held_out: characters.
    """

    encodings: np.ndarray
    truth: np.ndarray
    styles: np.ndarray
    held_out: set[int]

    def of_style(self, style: str) -> tuple[list[int], list[int]]:
        """Its characters: all, and those held out."""
        every = np.unique(self.truth[self.styles == style]).tolist()
        return every, [one for one in every if one in self.held_out]

    def faces(self, rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Encodings [N, D] of rows by character, and the place of its character in that list."""
        owners = np.repeat(np.arange(len(rows)), [len(one) for one in rows])
        return self.encodings[np.concatenate(rows)], owners


def shown_and_asked(
    fold: Fold, characters: list[int], shown: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """A gallery [C, D] of so many faces of each character, chosen at random, and all others'
    encodings by character; one face of each is always asked."""
    means, asked = [], []
    for one in characters:
        rows = rng.permutation(np.flatnonzero(fold.truth == one))
        cut = min(shown, len(rows) - 1)
        means.append(fold.encodings[rows[:cut]].sum(axis=0))
        asked.append(fold.encodings[rows[cut:]])
    gallery = np.stack(means)
    return gallery / np.linalg.norm(gallery, axis=1, keepdims=True), asked


def cosines(
    fold: Fold, style: str, shown: int, among_all: bool, rng: np.random.Generator
) -> list[np.ndarray]:
    """A float32 [N, 2] for each held-out character: of its faces, to its own and to the nearest
    other, in a gallery of the style's characters: all, or those held out only."""
    every, held_out = fold.of_style(style)
    characters = every if among_all else held_out
    if len(characters) < 2 or not held_out:
        return []
    gallery, asked = shown_and_asked(fold, characters, shown, rng)
    found = []
    for place, (one, faces) in enumerate(zip(characters, asked, strict=True)):
        if one in fold.held_out:
            all_of_it = faces @ gallery.T
            other = np.delete(all_of_it, place, axis=1).max(axis=1)
            found.append(np.stack([all_of_it[:, place], other], axis=1))
    return found


def write(folds: list[Fold]) -> None:
    """Write left_out.csv."""
    left_out(folds, STYLES).to_csv(known_curve.LEFT_OUT, index=False)


def left_out(folds: list[Fold], styles: tuple[str, ...]) -> pd.DataFrame:
    """Rows `style`, `shown`, `own`, `other`, in galleries of characters held out only."""
    rng = np.random.default_rng(1)
    tables = []
    for style in styles:
        for shown in known_curve.SHOWN:
            draws = [cosines(fold, style, shown, False, rng) for fold in folds for _ in range(4)]
            found = np.concatenate([np.empty((0, 2)), *chain.from_iterable(draws)])
            found = found[rng.permutation(len(found))[:ROWS]].round(4)
            columns = {"style": style, "shown": shown, "own": found[:, 0], "other": found[:, 1]}
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables)


def report(folds: list[Fold]) -> None:
    """Print how well characters held out are known, and what the served threshold does."""
    rng = np.random.default_rng(0)
    for style in STYLES:
        for shown in (5, 1):
            right, areas = [], []
            for fold in folds:
                draws = [cosines(fold, style, shown, True, rng) for _ in range(20)]
                found = list(chain.from_iterable(draws))
                right += [np.mean(one[:, 0] > one[:, 1]) for one in found]
                if found:
                    pairs = np.concatenate(found)
                    best = np.concatenate([pairs.max(axis=1), pairs[:, 1]])
                    areas.append(roc_auc_score(np.repeat([1, 0], len(pairs)), best))
            print(f"{style}, {shown} shown, all of the style candidates: right "
                  f"{np.mean(right):.3f}, AUROC of unknown {np.mean(areas):.3f}")  # fmt: skip
    for style in STYLES:
        for shown, val in ((5, 0), (20, 5), (2, 0), (1, 0)):
            figures = np.array(list(served(folds, style, shown, val)))
            if len(figures):
                alarms, caught, right = figures.mean(axis=0)
                spread = figures[:, 0].std()
                print(f"{style}, {shown} shown, {val} of val: false alarms {alarms:.3f} +- "
                      f"{spread:.3f}, caught {caught:.3f}, right {right:.3f}")  # fmt: skip


def served(
    folds: list[Fold], style: str, shown: int, val: int
) -> Iterator[tuple[float, float, float]]:
    """What a project's gallery of held-out characters answers, 12 draws a fold.

    A quarter of the style's held-out characters, one at least, are strangers. The threshold is set
    as in training; the style is left out of left_out.csv, which would know it otherwise.
    Yields false alarms, strangers called unknown, and faces of known characters that are right.
    """
    rng = np.random.default_rng(0)
    table = left_out(folds, tuple(one for one in STYLES if one != style))
    nearest = min(known_curve.SHOWN, key=lambda one: abs(one - shown))
    pairs = table.loc[table["shown"] == nearest, ["own", "other"]].to_numpy(np.float32)
    beside = Asked(pairs, np.zeros(len(pairs), int), known_curve.LEFT_OUT_FACES / len(pairs))
    for fold in folds:
        held_out = fold.of_style(style)[1]
        if len(held_out) < 2:
            continue
        for _ in range(12):
            order = rng.permutation(held_out).tolist()
            count = max(1, len(order) // 4)
            strangers = fold.encodings[np.isin(fold.truth, order[:count])]
            parts: list[list[np.ndarray]] = [[], [], []]  # train, val, test: rows by character
            for one in order[count:]:
                rows = rng.permutation(np.flatnonzero(fold.truth == one))
                first = min(shown, len(rows) - 2)
                second = first + min(val, len(rows) - first - 1)
                for part, chosen in zip(parts, np.split(rows, [first, second]), strict=True):
                    part.append(chosen)
            (x, truth), (y, y_truth), (z, z_truth) = (fold.faces(part) for part in parts)
            means = mean_directions(x, truth)
            asked = [Asked(y @ means.T, y_truth), without_itself(x, truth), beside]
            slope, threshold = known_curve.known_curve(asked, SHARPNESS, FALSE_ALARMS)
            names = [str(place) for place in range(len(means))]
            gallery = Gallery(names, means, SHARPNESS, slope, threshold)
            answers = gallery.scores(z).argmax(axis=1)
            caught = gallery.scores(strangers).argmax(axis=1) == len(names)
            yield np.mean(answers == len(names)), caught.mean(), np.mean(answers == z_truth)
