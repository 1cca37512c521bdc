"""The Python API: what the commands do, importable from anywhere.

    from celflow import mlops
    mlops.promote("xception", 2, reason="more night photographs")

The functions and their docstrings are promotion/mlops.py's; this is the door to that room, which
lies elsewhere in an installed wheel (rooms.py).
"""

from celflow import rooms

rooms.enter()

from promotion.mlops import (  # noqa: E402
    GateFailed,
    Moved,
    champion_at,
    deploy,
    diff,
    diff_sheet,
    enroll,
    forget,
    gate,
    guard,
    history,
    models,
    promote,
    replay,
    rollback,
    shadow,
    show,
    sign,
    status,
    verify,
)

__all__ = [
    "GateFailed",
    "Moved",
    "champion_at",
    "deploy",
    "diff",
    "diff_sheet",
    "enroll",
    "forget",
    "gate",
    "guard",
    "history",
    "models",
    "promote",
    "replay",
    "rollback",
    "shadow",
    "show",
    "sign",
    "status",
    "verify",
]
