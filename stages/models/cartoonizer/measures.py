"""How near the cartoonizer's results come to drawings, and how far they go from the photos."""

from functools import cache
from pathlib import Path

import cv2
import keras
import numpy as np

from stages.models.cartoonizer import judges
from stages.models.cartoonizer.features import Features, kernel_distance
from stages.models.cartoonizer.judges import Draw
from stages.models.common import compact_network, released_weights
from stages.models.common.training_loop import predict_on

# The released `photo_compact` of the day when these measures were chosen. A copy: a judge stays the
# same when the model is taught anew, or results of before and after could not be compared.
JUDGE = Path(__file__).parent / "judge.npz"
AIMS = {"flat_share": 0.45, "colour_coverage": 0.7, "called_cartoon": 0.5}
CONTOURS = 0.02  # share of contours in drawings
SIDE = 112  # px, that the released network takes
TURNED = 10  # photos that are drawn mirrored and turned, too

Metrics = dict[str, float]


def compare(
    features: Features, draw: Draw, photos: list[np.ndarray], drawings: list[np.ndarray]
) -> tuple[Metrics, list[np.ndarray]]:
    """Metrics of what `draw` makes of photos, uint8 [H, W, 3] each, and its results.

    `cartoon_score`: what counts, see `score`;
    `likeness`: to the photo (`judges.likeness`);
    `flat_share`, `colour_coverage`, `saturation`, `lightness`, `ink_share`, `contour_share`,
    `fringe_share`: see `judges`; with `photo_...` and `drawing_...`, the same of the photos and of
    real drawings;
    `called_cartoon`: share that the released cartoon-or-photo network takes for cartoons; nothing
    here was trained by it;
    `ink_spread`: the commonest direction of lines that the photos lack, over the rarest;
    `mirror_change`, `turn_change`: levels by which drawings of mirrored and turned photos differ;
    `content_distance`: to the photo, by features;
    `kid_before`, `kid_after`: kernel inception distance of photos and of results to drawings;
    `style_gain`: by how much it fell, 1 is all, 0 where photos lay no further off than drawings.
    """
    results = [draw(photo) for photo in photos]
    pairs = list(zip(photos, results, strict=True))
    known = features.pooled(drawings)
    before, after = (kernel_distance(features.pooled(p), known) for p in (photos, results))
    ours = alone(results)
    directions = np.sum(
        [judges.ink_directions(p, judges.added_ink(photo, p)) for photo, p in pairs], axis=0
    )
    changes = [judges.changes(draw, *pair) for pair in pairs[:TURNED]]
    mirror, turn = np.mean(changes, axis=0)
    likeness = float(np.mean([judges.likeness(*pair) for pair in pairs]))
    return {
        "cartoon_score": score(ours, likeness),
        "likeness": likeness,
        **ours,
        **{f"photo_{name}": value for name, value in alone(photos).items()},
        **{f"drawing_{name}": value for name, value in alone(drawings).items()},
        "fringe_share": float(np.mean([judges.fringes(*pair) for pair in pairs])),
        "ink_spread": float(directions.max() / max(1, directions.min())),
        "mirror_change": float(mirror),
        "turn_change": float(turn),
        "content_distance": float(np.mean([features.distance(p, photo) for photo, p in pairs])),
        "kid_before": before,
        "kid_after": after,
        "style_gain": 1 - after / before if before > 0 else 0.0,
    }, results


def alone(pictures: list[np.ndarray]) -> Metrics:
    """Means of what is asked of each picture by itself."""
    saturation, lightness = np.mean(
        [judges.saturation_and_lightness(one) for one in pictures], axis=0
    )
    return {
        "flat_share": float(np.mean([judges.flat_share(one) for one in pictures])),
        "colour_coverage": float(np.mean([judges.colour_coverage(one) for one in pictures])),
        "saturation": float(saturation),
        "lightness": float(lightness),
        "ink_share": float(np.mean([judges.ink(one).mean() for one in pictures])),
        "contour_share": float(np.mean([judges.contour_share(one) for one in pictures])),
        "called_cartoon": called_cartoon(pictures),
    }


def score(measured: Metrics, likeness: float) -> float:
    """0 to 1: how much of `AIMS` is reached, each at most as a whole, and how near `CONTOURS` is.

    The mean, times the likeness to the photo: an empty sheet is flat, but worth nothing.
    """
    reached = [min(1.0, measured[name] / aim) for name, aim in AIMS.items()]
    share = max(measured["contour_share"], 1e-6)
    reached.append(min(share / CONTOURS, CONTOURS / share))
    return float(np.mean(reached)) * likeness


def called_cartoon(pictures: list[np.ndarray]) -> float:
    """Share of pictures that the released `photo_compact` takes for cartoons."""
    small = [cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in pictures]
    cartoon, photo = predict_on(_judge(), np.stack(small)).T
    return float(np.mean(cartoon > photo))


@cache
def _judge() -> keras.Model:
    """One for all calls: TensorFlow traces each anew, and warns."""
    network = compact_network.network(SIDE, 0.0)
    released_weights.load(network, "released", JUDGE, "judge.npz")
    return network
