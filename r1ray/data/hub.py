"""Data sets of the Hugging Face hub: ``hf://ORG/NAME@REVISION:CONFIG/SPLIT``.

    listing, README.md --config, split--> files of these alone --huggingface_hub--> its cache --> local paths

The defaults of revision, config and split are ``main``, the set's default config and ``train``. The library itself
reads ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME`` and ``HF_HUB_OFFLINE``. Without a network, a set that was downloaded
before is used.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from r1ray.data.hub_card import card_of, files_of_part
from r1ray.errors import UserError

FORM = "hf://ORG/NAME@REVISION:CONFIG/SPLIT"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
ADDRESS = re.compile(
    rf"hf://(?P<repo>{_PART}/{_PART})(?:@(?P<revision>[^:@]+))?(?::(?P<config>[^/]+)(?:/(?P<split>[^/]+))?)?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A part of a data set."""

    repo: str
    revision: str
    config: str | None
    split: str

    @classmethod
    def parse(cls, text: str, *, key: str) -> Address:
        """Return the address that a text names. Raises UserError."""
        found = ADDRESS.fullmatch(text)
        if found is None:
            raise UserError(f"{key}={text}: needs the form {FORM}, as in hf://openai/gsm8k@main:main/train.")
        return cls(found["repo"], found["revision"] or "main", found["config"], found["split"] or "train")


def local_files(text: str, *, key: str, format_of: Callable[[str], str | None]) -> tuple[str, dict[str, str]]:
    """Return the set that an address names, and the paths of its files on this machine by their paths in the set. Files
    that are not in the cache yet are downloaded.

    Args:
        format_of: returns the format that a path's name stands for; None for an unknown one.

    Raises:
        UserError: the set, revision, config or split does not exist, no file can be read, or there is no network.
    """
    address = Address.parse(text, key=key)
    named = f"{key}={text}"
    found = _listing(address.repo, address.revision, os.environ.get("HF_ENDPOINT", ""), named)
    folder, listing = found.folder, found.paths
    readme = Path(folder, "README.md")
    card = card_of(readme.read_text(encoding="utf-8", errors="replace")) if readme.is_file() else {}
    chosen = files_of_part(card, listing, config=address.config, split=address.split, named=named)
    formats = {format_of(path): path for path in chosen}
    if None in formats:
        raise UserError(f"{named}: its files, such as {formats[None]}, are no Parquet, JSON or CSV files.")
    if len(formats) > 1:
        raise UserError(f"{named}: its files, such as {' and '.join(formats.values())}, are of several formats.")
    with _told(named):
        patterns = [glob.escape(path) for path in chosen]
        _download(address.repo, Path(folder).name, patterns, is_reached=found.is_reached)
    return address.repo, {path: str(Path(folder, path)) for path in chosen}


# ---------------------------------------------------------------------- the hub


@contextmanager
def _told(named: str) -> Iterator[None]:
    """Raise UserError, in one sentence, for an exception of the hub's library in the block."""
    from huggingface_hub import errors

    reasons: dict[type[Exception] | tuple[type[Exception], ...], str] = {
        errors.GatedRepoError: "is gated: accept its terms on the hub, and log in (hf auth login, or HF_TOKEN)",
        errors.RevisionNotFoundError: "the data set has no such revision",
        errors.RepositoryNotFoundError: "no such data set, or a private one: log in (hf auth login, or HF_TOKEN)",
        (
            errors.LocalEntryNotFoundError,
            errors.IncompleteSnapshotError,
            errors.CachedRepoTreeNotFoundError,
        ): "the hub cannot be reached, and these files were not downloaded before",
    }
    try:
        yield
    except Exception as error:  # errors of the network, the hub or the disk that the library lets through
        told = f"cannot be downloaded from the hub: {' '.join(str(error).split()):.200}"
        reason = next((text for kinds, text in reasons.items() if isinstance(error, kinds)), told)
        raise UserError(f"{named}: {reason}.") from error


@dataclass(frozen=True, slots=True)
class _Listing:
    """A revision of a data set."""

    folder: str
    """Folder in the cache, with the README.md if the set has one."""
    paths: tuple[str, ...]
    """Every file of the revision, downloaded or not."""
    is_reached: bool
    """True if the hub answers."""


@lru_cache(maxsize=64)
def _listing(repo: str, revision: str, endpoint: str, named: str) -> _Listing:
    """List the files of a revision, once in a process, so that later stages of a run read the same commit."""
    from huggingface_hub import get_cached_repo_tree

    with _told(named):
        is_reached = _answers(repo, revision)
        folder = _download(repo, revision, ["README.md"], is_reached=is_reached)
        tree = get_cached_repo_tree(repo, repo_type="dataset", revision=Path(folder).name)
    return _Listing(folder, tuple(sorted(each.path for each in tree)), is_reached)


def _answers(repo: str, revision: str) -> bool:
    """Return whether the hub answers at all. If it does not, downloads would retry for half a minute."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None).dataset_info(repo, revision=revision, timeout=10)
    except (HfHubHTTPError, HFValidationError):  # the download reports the hub's answer
        return True
    except Exception:  # no name, no connection, no answer in time, HF_HUB_OFFLINE
        return False
    return True


def _download(repo: str, revision: str, patterns: list[str], *, is_reached: bool) -> str:
    from huggingface_hub import snapshot_download

    return str(
        snapshot_download(
            repo,
            repo_type="dataset",
            revision=revision,
            allow_patterns=patterns,
            endpoint=os.environ.get("HF_ENDPOINT") or None,
            local_files_only=not is_reached,
        )
    )
