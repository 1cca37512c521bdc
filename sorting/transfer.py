"""Move, copy or link one file: whole or not at all, and never over another one."""

import ctypes
import errno
import filecmp
import os
import shutil
from pathlib import Path

from sorting.journal import Mode

_AT_FDCWD, _RENAME_NOREPLACE = -100, 1
_libc = ctypes.CDLL(None, use_errno=True)


def place(source: Path, target: Path, mode: Mode, number: int) -> None:
    """Bring a file to a place that is free.

    number: of the change; a half-written copy is named by it.

    Raises:
        FileExistsError: the place is taken.
        OSError: it can't be done; source and target are as before.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # a file has the folder's name
        raise NotADirectoryError(errno.ENOTDIR, f"{target.parent} is no folder") from error
    if mode == "link":
        target.symlink_to(source)
    elif mode == "copy":
        _copy(source, target, number)
    else:
        move(source, target, number)


def move(source: Path, target: Path, number: int) -> None:
    """As `place`; between file systems the source goes when the copy is whole, and on the disk."""
    try:
        _rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target, number)
        try:
            source.unlink()
        except OSError:
            target.unlink()
            raise


def settle(source: Path, target: Path, mode: Mode, number: int) -> bool:
    """Bring a change to its end that was cut off; returns whether it is made."""
    _part(target, number).unlink(missing_ok=True)
    if mode == "link":
        return is_link_to(target, source)
    if not os.path.lexists(target):
        return False
    if not os.path.lexists(source):
        return mode == "move"
    if not same_content(source, target):
        return False  # somebody else's
    if mode == "move":
        source.unlink()
    return True


def same_content(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes."""
    try:
        return one.samefile(other) or filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def is_link_to(link: Path, source: Path) -> bool:
    """Whether `link` is a symbolic link to `source`."""
    return link.is_symlink() and link.readlink() == source


def _part(target: Path, number: int) -> Path:
    return target.with_name(f".celflow-{number}.part")


def _copy(source: Path, target: Path, number: int) -> None:
    part = _part(target, number)
    try:
        before = source.stat()
        shutil.copyfile(source, part)
        shutil.copystat(source, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        after = source.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise OSError(errno.EBUSY, "it changed while it was copied")
        _rename(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _rename(source: Path, target: Path) -> None:
    """Rename in one step, and not over another file, as `os.rename` would."""
    rename = getattr(_libc, "renameat2", None)
    if rename is not None:
        paths = os.fsencode(source), os.fsencode(target)
        if rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS):  # the file system can't
            raise OSError(number, os.strerror(number), str(source), None, str(target))
    os.link(source, target)
    source.unlink()
