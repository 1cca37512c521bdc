"""The one exception that a user may see: a line that says what is wrong and what to do."""

import errno
import sys
from collections.abc import Callable

from celflow.names import shown

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class UserError(Exception):
    """Something that the user can put right.

    The message is one line: what is wrong, with which file or model, and what to do.
    """


def run(main: Callable[[], None]) -> None:
    """Run `main`; a `UserError` ends in one line on stderr and exit code 1.

    So does what the system says of a file or the disk: full, read-only, taken away.
    """
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno not in _OF_THE_DISK:
            raise
        where = "" if error.filename is None else f"{shown(str(error.filename))}: "
        why = (error.strerror or str(error)).lower()
        print(f"error: {where}{why}; put that right and run the same again", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
