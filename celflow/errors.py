"""The one exception that a user may see: a line that says what is wrong and what to do."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something that the user can put right.

    The message is one line: what is wrong, with which file or model, and what to do.
    """


def run(main: Callable[[], None]) -> None:
    """Run `main`; a `UserError` ends in one line on stderr and exit code 1."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
