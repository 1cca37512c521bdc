"""The wheel has one top-level package: every other room lies below celflow/_rooms.

celflow/rooms.py finds them. Installed as editable, the rooms stay what they are.
"""

import sys

from setuptools import find_packages, setup

ROOMS = ["stages", "serving", "sorting", "promotion", "dashboard", "cli"]
found = find_packages(include=[f"{room}*" for room in ROOMS])

if "editable_wheel" in sys.argv:
    setup(packages=[*find_packages(include=["celflow*"]), *found])
else:
    setup(
        packages=[
            *find_packages(include=["celflow*"]),
            *(f"celflow._rooms.{name}" for name in found),
        ],
        package_dir={f"celflow._rooms.{room}": room for room in ROOMS},
    )
