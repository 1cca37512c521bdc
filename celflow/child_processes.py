"""Child processes that end with the process that started them."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache

# The parent may have ended before it was asked for; then the child is another process's, and ends.
_IF_PARENT_LIVES = '[ "$PPID" = "$0" ] && exec "$@"'


def ends_with_parent(command: Sequence[str]) -> list[str]:
    """`command`, so that it gets SIGTERM when the thread that starts it has ended.

    Also where that was killed, and could stop nobody: otherwise the child would keep its ports.
    By util-linux's setpriv (prctl(2), PR_SET_PDEATHSIG); where there is none, as it is. Not by
    `preexec_fn`: that forks, and a fork while gRPC's threads run ends either process. To be called
    by the process that starts it.
    """
    prefix = _prefix()
    if not prefix:
        return [*command]
    return [*prefix, "sh", "-c", _IF_PARENT_LIVES, str(os.getpid()), *command]


@cache
def _prefix() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    prefix = (setpriv, "--pdeathsig", "TERM")
    known = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    return prefix if known else ()
