"""The one exception that a user may see: a line that says what is wrong and what to do."""

import errno
import os
import sys
from collections.abc import Callable

from celflow.names import shown

_OF_THE_DISK = (
    *map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)),
    "database or disk is full",  # SQLite
    "disk I/O error",
    "attempt to write a readonly database",
)


class UserError(Exception):
    """Something that the user can put right.

    The message is one line: what is wrong, with which file or model, and what to do.
    """


class Unavailable(UserError):
    """A service does not answer now; the same may work later. See `celflow.waiting`."""


def run(main: Callable[[], None]) -> None:
    """Run `main`; a `UserError` ends in one line on stderr and exit code 1.

    So does what the system says of a file or the disk: full, read-only, taken away.
    """
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        where, why = "", of_the_disk(error)
        if isinstance(error, OSError) and error.filename is not None:
            where, why = f"{shown(str(error.filename))}: ", error.strerror or str(error)
        if not why:
            raise
        print(
            f"error: {where}{why.lower()}; put that right and run the same again", file=sys.stderr
        )
        sys.exit(1)


def of_the_disk(error: Exception) -> str:
    """What the system said of a full, read-only or broken disk, whatever library passes it on.

    Empty where the error is about something else.
    """
    words = str(error)
    return next((said for said in _OF_THE_DISK if said in words), "")
