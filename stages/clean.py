"""Pass usable pictures on (upright RGB, PNG); put the others in quarantine with a reason.

Reads the raw folders. Writes data/clean/<dataset>/<class>/*.png,
data/quarantine/<dataset>/<reason>/<class>/... and reports/clean.json, which counts every reason and
repair. Nothing is deleted. Pictures that an earlier run has seen are not decoded again.
"""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from celflow import colour_profiles, errors, images, parallel
from celflow.files import atomic_dir, write_json
from celflow.images import SUFFIXES, BadImage, encode_png, open_image, shrink
from celflow.manifest import images_in
from celflow.names import flat_names, shown
from celflow.params import DATASETS, CleanConfig, Params, Workers, load
from celflow.picture_cache import Entry, PictureCache

FEW = 50  # pictures


@dataclass(frozen=True)
class Found:
    """What became of one file: `reason` for quarantine or none, `digest` of its pixels."""

    source: Path
    label: str
    target: Path | None
    reason: str | None
    detail: str
    repairs: tuple[str, ...]
    digest: str
    key: str


def clean_one(
    item: tuple[Path, str, Path], cache: PictureCache, config: CleanConfig | None
) -> Found | None:
    """Examine one file and, where it is usable, write it to its target as PNG.

    item: source file, label, target file. cache: of what was examined before. config: None leaves
    all other files alone, and returns None for them.
    """
    source, label, target = item
    try:
        data, suffix = source.read_bytes(), source.suffix.lower()
    except OSError as error:  # no right to read it, a broken disk, or gone since it was listed
        why = error.strerror or str(error)
        return Found(source, label, None, "unreadable", why, (), "", "")
    key = cache.key(data, suffix)
    entry = cache.get(key)
    if entry is None:
        if config is None:
            return None
        entry = examine(data, suffix, config)
        cache.put(key, entry)
    cache.place(key, entry, target)
    known = entry.known
    return Found(
        source, label, None if entry.picture is None else target,
        known["reason"], known["detail"], tuple(known["repairs"]), known["digest"], key,
    )  # fmt: skip


def examine(data: bytes, suffix: str, config: CleanConfig) -> Entry:
    """The PNG of a file's content, or the reason why there is none."""
    try:
        if config.policy == "jfif" and b"JFIF" not in data[:16]:
            raise BadImage("not_an_image", "no JFIF header (clean.policy: jfif)")
        opened = open_image(data, config.min_side)
    except BadImage as error:
        failed = {"reason": error.reason, "detail": str(error), "repairs": [], "digest": ""}
        return Entry(failed, None)
    repairs = list(opened.repairs)
    if SUFFIXES.get(suffix[1:]) != opened.format:
        repairs.append("wrong_extension")
    pixels = shrink(opened.pixels, config.max_side)
    if pixels is not opened.pixels:
        repairs.append("shrunk")
    digest = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    known = {
        "reason": None, "detail": "", "repairs": repairs, "digest": digest,
    }  # fmt: skip
    return Entry(known, encode_png(pixels))


def drop_repeats(found: list[Found]) -> list[Found]:
    """Quarantine pictures whose pixels stand twice.

    Within one class the first stays (`duplicate`); in two classes none can be trusted
    (`conflicting_label`).
    """
    by_digest = defaultdict(list)
    for one in found:
        if one.reason is None:
            by_digest[one.digest].append(one)
    verdicts: dict[Path, tuple[str, str]] = {}
    for same in by_digest.values():
        labels = sorted({one.label for one in same})
        if len(labels) > 1:
            detail = f"the same picture stands under {' and '.join(labels)}"
            verdicts.update({one.source: ("conflicting_label", detail) for one in same})
        else:
            detail = f"the same picture as {shown(same[0].source.name)}"
            verdicts.update({one.source: ("duplicate", detail) for one in same[1:]})
    results = []
    for one in found:
        if one.source in verdicts and one.target is not None:
            one.target.unlink()
            reason, detail = verdicts[one.source]
            one = replace(one, target=None, reason=reason, detail=detail)
        results.append(one)
    return results


def clean_dataset(
    raw: Path, clean: Path, quarantine: Path, config: CleanConfig, workers: Workers
) -> dict[str, Any]:
    """Clean one dataset's raw folder; returns its part of reports/clean.json."""
    code = [Path(__file__), Path(images.__file__), Path(colour_profiles.__file__)]
    cache = PictureCache.of(f"clean/{clean.name}", config.model_dump_json(), code)
    items, names = [], {}
    for label, sources in images_in(raw).items():
        for source, name in zip(sources, flat_names(sources, raw / label), strict=True):
            # The suffix stays in the name: a.jpg and a.png are two pictures.
            items.append((source, label, clean / label / f"{name}.png"))
            names[source] = name
    known = partial(clean_one, cache=cache, config=None) if cache.folder.is_dir() else None
    make = partial(clean_one, cache=cache, config=config)
    found = parallel.map_new(known, make, items, workers, f"clean {raw.name}", FEW)
    cache.keep_only(one.key for one in found)
    found = drop_repeats(found)
    quarantined = []
    for one in found:
        if one.reason is not None:
            name = names[one.source]
            _keep(one.source, quarantine / one.reason / one.label / name)
            quarantined.append(
                {"file": f"{one.label}/{name}", "reason": one.reason, "why": one.detail}
            )
    passed = Counter(one.label for one in found if one.reason is None)
    return {
        "seen": len(found),
        "passed": {label: passed[label] for label in sorted({one.label for one in found})},
        "quarantined": dict(Counter(one["reason"] for one in quarantined)),
        "repaired": dict(Counter(repair for one in found for repair in one.repairs)),
        "quarantine": quarantined,
    }


def _keep(source: Path, place: Path) -> None:
    """A copy of a raw file, if it can be read."""
    try:
        data = source.read_bytes()
    except OSError:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def check_passed(report: dict[str, Any], raw: Path) -> None:
    """Raise UserError for a class of a dataset's report of which no picture is usable."""
    for label, count in report["passed"].items():
        if count == 0:
            why = next(
                one["why"] for one in report["quarantine"] if one["file"].startswith(f"{label}/")
            )
            raise errors.UserError(
                f"no usable picture in {raw / label}: {why} (data/quarantine has them all)"
            )


def run(params: Params) -> None:
    """Clean the raw folders of both datasets; one that has none gets an empty folder.

    Quarantine and report are kept where a class turns out to have no usable picture: they say why.
    """
    report: dict[str, dict[str, Any]] = {}
    folders = {
        dataset: folder
        for dataset in DATASETS
        if (folder := params.data.folder(dataset)) and not params.data.missing(dataset)
    }
    with atomic_dir(Path("data/clean")) as clean:
        with atomic_dir(Path("data/quarantine")) as quarantine:
            for dataset in DATASETS:
                (clean / dataset).mkdir()
                if dataset in folders:
                    report[dataset] = clean_dataset(
                        folders[dataset],
                        clean / dataset,
                        quarantine / dataset,
                        params.clean,
                        params.data,
                    )
        write_json(Path("reports/clean.json"), report)
        for dataset, raw in folders.items():
            check_passed(report[dataset], raw)
    for name, part in report.items():
        print(
            f"{name}: {part['seen']} files, {sum(part['passed'].values())} passed; "
            f"quarantine {part['quarantined']}; repaired {part['repaired']}"
        )


if __name__ == "__main__":
    errors.run(lambda: run(load()))
