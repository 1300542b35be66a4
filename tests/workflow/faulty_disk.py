"""A file system in user space that passes everything on to a folder, but for a planned fault.

    python3 faulty_disk.py FOLDER MOUNTED CONTROL

The file CONTROL holds the name of an operation and a number, such as ``write 37``: the 37th call of
it from then on, and every later one, fails as a damaged disk does. An empty file stops the fault.
Debian's ``python3-fusepy`` runs it.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import fusepy

FAULTY = ("create", "fsync", "mkdir", "open", "read", "readdir", "rename", "unlink", "write")


class FaultyDisk(fusepy.Operations):
    """Pass calls on, and count those of the operation that is to fail."""

    def __init__(self, folder: str, control: Path) -> None:
        self.folder, self.control = folder, control
        self.plan, self.left = "", 0

    def __call__(self, operation: str, path: str, *arguments):
        if operation in FAULTY and (plan := self.control.read_text()):
            if plan != self.plan:
                self.plan, self.left = plan, int(plan.split()[1])
            if operation == plan.split()[0]:
                self.left -= 1
                if self.left < 0:
                    raise fusepy.FuseOSError(errno.EIO)
        return super().__call__(operation, self.folder + (path or ""), *arguments)

    def access(self, path, mode):
        if not os.access(path, mode):
            raise fusepy.FuseOSError(errno.EACCES)

    chmod, chown, mkdir, readlink, rmdir, unlink = (
        staticmethod(each)
        for each in (os.chmod, os.chown, os.mkdir, os.readlink, os.rmdir, os.unlink)
    )

    def create(self, path, mode, fi=None):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def flush(self, path, handle):
        return 0

    def fsync(self, path, datasync, handle):
        return os.fsync(handle)

    def getattr(self, path, handle=None):
        found = os.lstat(path)
        names = ("atime", "ctime", "gid", "mode", "mtime", "nlink", "size", "uid", "blocks")
        return {f"st_{name}": getattr(found, f"st_{name}") for name in names}

    def link(self, target, source):
        return os.link(self.folder + source, target)

    def open(self, path, flags):
        return os.open(path, flags)

    def read(self, path, size, offset, handle):
        return os.pread(handle, size, offset)

    def readdir(self, path, handle):
        return [".", "..", *os.listdir(path)]

    def release(self, path, handle):
        return os.close(handle)

    def rename(self, old, new):
        return os.replace(old, self.folder + new)

    def statfs(self, path):
        found = os.statvfs(path)
        names = ("bavail", "bfree", "blocks", "bsize", "favail", "ffree", "files", "frsize")
        return {f"f_{name}": getattr(found, f"f_{name}") for name in names}

    def symlink(self, target, source):
        return os.symlink(source, target)

    def truncate(self, path, length, handle=None):
        os.truncate(path, length)

    def utimens(self, path, times=None):
        return os.utime(path, times)

    def write(self, path, data, offset, handle):
        return os.pwrite(handle, data, offset)


if __name__ == "__main__":
    folder, mounted, control = sys.argv[1:]
    fusepy.FUSE(FaultyDisk(folder, Path(control)), mounted, foreground=True, nothreads=True)
