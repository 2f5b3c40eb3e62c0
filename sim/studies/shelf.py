"""Keeps the traces of a study's runs in one place: a folder that every worker sees, or a URL for fsspec."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from physical.errors import InputError
from physical.extras import needs
from traces.atomic import writing
from traces.writer import MANIFEST

_OPTION = "--keep-traces"


@dataclass(frozen=True)
class Shelf:
    """Takes traces; one is there when its manifest is, which comes last.

    Parameters
    ----------
    place : folder, or URL such as ``s3://bucket/study`` (fsspec with its package for such URLs)
    """

    place: str

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
        with writing(_OPTION, target):
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            with writing(_OPTION, target):
                if target.exists():
                    shutil.rmtree(target)
                os.replace(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    @property
    def _is_url(self) -> bool:
        return "://" in self.place

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
            raise InputError(problem, where=_OPTION, accepted="a folder, or a URL that fsspec can write to") from error
