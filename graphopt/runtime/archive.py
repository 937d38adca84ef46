"""A program in one file, `.gopt`: a ZIP whose members are not compressed, and begin at a page.

ZIP, since every system lists and unpacks it, and Python writes and reads it; the weights of a network hardly
compress. Uncompressed and at a page, a member is mapped where it lies: the weights of a program are in memory once,
however many processes run it, and nothing is unpacked but code, which no loader takes out of the midst of a file.
Android's packages are made like that (zipalign), and so are PyTorch's.

Equal programs make equal files: members are in the order of their names, and have no time.

What is read is not trusted: a member is taken if it is stored as it is, once, under a plain name, within the file.
Whether it is the one that was compiled, its digest says (`integrity`).
"""

from __future__ import annotations

import struct
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from graphopt.errors import ModelError, OutputError
from graphopt.runtime.contents import Contents, mapped
from graphopt.tensors import Array

_PAGE = 4096
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
"""Of which the last two are the lengths of the name and of the extra field that follow (APPNOTE.TXT, 4.3.7)."""
_ZIP64_BYTES = 20
"""What `force_zip64` adds to the extra field of a member."""
_PADDING = struct.Struct("<HH")
_PADDING_ID = 0xD935
"""The identity of an extra field that only aligns what follows, as of Android's zipalign."""
_ENCRYPTED = 1


class Archive(Contents):
    """A program in one file."""

    def __init__(self, path: Path) -> None:
        """Find the members of a file.

        Raises:
            ModelError: it is no archive, is truncated, or has a member that no program has.

        """
        self.path = path
        try:
            self._memory = mapped(path)
            with zipfile.ZipFile(path) as file:
                members = file.infolist()
        except OSError as error:
            raise ModelError(f"cannot read the program {str(path)!r}: {error.strerror or error}") from error
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            raise ModelError(f"{str(path)!r} is no compiled program, or is truncated: {error}") from error
        counts = Counter(member.filename for member in members)
        self._views = {member.filename: self._find(member, counts[member.filename]) for member in members}

    def holds(self, name: str) -> bool:
        """See Contents."""
        return name in self._views

    def strange(self, known: Collection[str]) -> Collection[str]:
        """See Contents; nobody but graphopt has a reason to add a member."""
        return sorted(self._views.keys() - set(known))

    def view(self, name: str) -> Array:
        """See Contents."""
        return self._views[name]

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """See Contents; raises OutputError where nothing can be written for it."""
        try:
            folder = TemporaryDirectory(prefix="graphopt-")
        except OSError as error:
            raise OutputError(f"cannot unpack code: {error.strerror}; let TMPDIR name a writable place") from error
        with folder:
            path = Path(folder.name) / name
            try:
                path.write_bytes(self.view(name).data)
            except OSError as error:
                raise OutputError(f"cannot unpack {self.where(name)} to {str(path)!r}: {error.strerror}") from error
            yield path

    def model(self, name: str) -> tuple[Path | bytes, Mapping[str, Array]]:
        """See Contents."""
        return self.view(name).tobytes(), self._views

    def where(self, name: str) -> str:
        """See Contents."""
        return f"{name!r} in {str(self.path)!r}"

    def _find(self, member: zipfile.ZipInfo, count: int) -> Array:
        name = member.filename
        if Path(name).name != name:
            raise ModelError(f"the program {str(self.path)!r} holds {name!r}, which is no plain name; do not use it")
        if count > 1:
            raise ModelError(f"the program {str(self.path)!r} holds {name!r} {count} times; compile the model again")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
            raise ModelError(f"{self.where(name)} is compressed or encrypted; save programs with graphopt alone")
        header = self._memory[member.header_offset : member.header_offset + _LOCAL_HEADER.size]
        if len(header) == _LOCAL_HEADER.size:
            *_, name_length, extra_length = _LOCAL_HEADER.unpack(header.data)
            start = member.header_offset + _LOCAL_HEADER.size + name_length + extra_length
            view = self._memory[start : start + member.file_size]
            if len(view) == member.file_size:
                return view
        raise ModelError(f"{self.where(name)} is truncated; compile the model again")


def write_archive(files: Mapping[str, Array], path: Path) -> None:
    """Write the files of a program into one; raises OSError."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name in sorted(files):
            member = zipfile.ZipInfo(name)
            member.extra = _padding(file.start_dir + _LOCAL_HEADER.size + len(name.encode()) + _ZIP64_BYTES)
            with file.open(member, "w", force_zip64=True) as target:
                target.write(files[name].data)


def _padding(position: int) -> bytes:
    """Return an extra field so long that what follows it begins at a page."""
    length = -(position + _PADDING.size) % _PAGE
    return _PADDING.pack(_PADDING_ID, length) + bytes(length)
