"""Keeps the traces of a study's runs in one place: a folder that every worker sees, or a URL for fsspec."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from physical.errors import InputError
from physical.extras import needs
from traces.atomic import writing
from traces.writer import MANIFEST

_OPTION = "--keep-traces"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")


def shelf_at(place: str | Path) -> Shelf:
    """Return the shelf at a place, after a look whether traces can be put there.

    place : folder, which is made and may be relative to this process, or URL

    Raises
    ------
    InputError : it cannot be used
    """
    text = str(place)
    if not text.strip():
        raise InputError("is empty", where=_OPTION, accepted=_ACCEPTED)
    shelf = Shelf(text if _URL.match(text) else os.path.abspath(text))
    shelf.check()
    return shelf


_ACCEPTED = "a folder, or a URL that fsspec can write to"
_TRIES = 8


@dataclass(frozen=True)
class Shelf:
    """Takes traces; one is there when its manifest is, which comes last.

    Parameters
    ----------
    place : folder with its whole path, or URL such as ``s3://bucket/study`` (fsspec with its package for such URLs)
    """

    place: str

    def check(self) -> None:
        """See that traces can be put there, rather now than after the first run, which may take an hour.

        Raises
        ------
        InputError : they cannot, as far as one can tell
        """
        if self._is_url:
            with self._told():
                self._files().makedirs(self._path, exist_ok=True)
            return
        try:
            with writing(_OPTION, Path(self.place)):
                Path(self.place).mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=self.place):
                    pass
        except InputError:
            raise
        except ValueError as error:  # a NUL
            raise InputError(f"{self.place!r} is no name of a folder", where=_OPTION, accepted=_ACCEPTED) from error

    def has(self, name: str) -> bool:
        """Tell whether a trace is there.

        Raises
        ------
        InputError : the place cannot be looked at
        """
        if not self._is_url:
            return (Path(self.place) / name / MANIFEST).is_file()
        with self._told():
            return bool(self._files().exists(f"{self._path}/{name}/{MANIFEST}"))

    @contextmanager
    def place_for(self, name: str) -> Iterator[Path]:
        """Yield a folder for a trace, which comes to its place when the body is through.

        Raises
        ------
        InputError : it cannot be written there
        """
        if self._is_url:
            with tempfile.TemporaryDirectory(prefix="vectwin-") as made:
                yield Path(made) / name
                self._send(Path(made) / name, name)
            return
        target = Path(self.place).absolute() / name
        beside = target.with_name(f".{name}.{uuid4().hex[:8]}")
        old = beside.with_name(f"{beside.name}.old")
        with writing(_OPTION, target):
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            with writing(_OPTION, target):
                _put(beside, target, old)
        finally:
            for folder in (beside, old):
                shutil.rmtree(folder, ignore_errors=True)

    @property
    def _is_url(self) -> bool:
        return _URL.match(self.place) is not None

    @property
    def _path(self) -> str:
        return self.place.rstrip("/")

    def _send(self, folder: Path, name: str) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        files.sort(key=lambda path: path.name == MANIFEST)
        with self._told():
            system = self._files()
            for file in files:
                target = f"{self._path}/{name}/{file.relative_to(folder).as_posix()}"
                system.makedirs(target.rpartition("/")[0], exist_ok=True)
                system.put_file(str(file), target)

    def _files(self) -> Any:
        try:
            import fsspec
        except ImportError as error:
            raise needs("dask", error, where=_OPTION) from None
        return fsspec.core.url_to_fs(self.place)[0]

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # whatever the package for such URLs raises
            text = str(error).strip().splitlines()
            problem = f"{self.place} cannot be used: {type(error).__name__}{f': {text[0]}' if text else ''}"
            raise InputError(problem, where=_OPTION, accepted=_ACCEPTED) from error


def _put(made: Path, target: Path, old: Path) -> None:
    """Put a folder in the place of another, which goes to `old`.

    Others may do so at the same time: the same run under another name, or in another study. One of them stays.

    Raises
    ------
    OSError : it cannot be put there
    """
    for is_last in (*[False] * _TRIES, True):
        with suppress(FileNotFoundError):
            os.replace(target, old)
        try:
            os.replace(made, target)
            return
        except OSError:
            if (target / MANIFEST).is_file():  # another one has come first
                return
            if is_last:
                raise
            shutil.rmtree(old, ignore_errors=True)
