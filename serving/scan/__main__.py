"""`python -m serving.scan FOLDER`: exit code 1, and the reason, where a SavedModel is refused."""

import sys
from pathlib import Path

from celflow import errors
from serving.scan import scan

errors.run(lambda: scan.check(Path(sys.argv[1])))
