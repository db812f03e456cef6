import hashlib
import subprocess
from pathlib import Path

import pytest

from windfirm.data.sources import download, npm_pack
from windfirm.errors import DataError

CONTENT = b"archive" * 1000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.fixture
def url(tmp_path: Path) -> str:
    (tmp_path / "a.tar.gz").write_bytes(CONTENT)
    (tmp_path / "into").mkdir()
    return (tmp_path / "a.tar.gz").as_uri()


def test_a_download_is_what_was_published(url: str, tmp_path: Path) -> None:
    path = download(tmp_path / "into", url=url, md5=MD5, limit=7000)
    assert path == tmp_path / "into" / "a.tar.gz"
    assert path.read_bytes() == CONTENT


def test_a_download_with_another_sum(url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        download(tmp_path / "into", url=url, md5="0" * 32, limit=7000)
    assert str(caught.value) == f"{url}: expected MD5 {'0' * 32}, got {MD5} over 7,000 bytes"


def test_a_download_without_end(url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        download(tmp_path / "into", url=url, md5=MD5, limit=6999)
    assert str(caught.value) == f"{url}: expected at most 6,999 bytes, got more"


def test_a_site_that_does_not_answer(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/a.tar.gz"
    with pytest.raises(DataError) as caught:
        download(tmp_path, url=url, md5=MD5, limit=1)
    assert str(caught.value).startswith(f"{url}: expected an answer, got URLError: [Errno ")


def test_no_npm_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError) as caught:
        npm_pack(tmp_path, package="p@1")
    assert str(caught.value) == "npm: expected the npm client on the PATH, got none"


def client(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in for npm on the PATH."""
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_the_npm_client_packs_into_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(tmp_path, 'echo "$@" > "$PWD/p-1.tgz"', monkeypatch)
    (tmp_path / "into").mkdir()
    path = npm_pack(tmp_path / "into", package="p@1")
    cache = tmp_path / "into" / "npm-cache"
    assert path.read_text() == f"pack p@1 --ignore-scripts --fetch-retries=1 --cache={cache}\n"


@pytest.mark.parametrize(
    ("script", "got"),
    [
        (
            "echo npm warn old >&2; echo npm error code E404 >&2; echo npm error none >&2; exit 1",
            "npm error code E404; npm error none",
        ),
        ("exit 3", "exit code 3 and 0 files"),
        ("exit 0", "exit code 0 and 0 files"),
    ],
)
def test_an_npm_client_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, got: str) -> None:
    client(tmp_path, script, monkeypatch)
    with pytest.raises(DataError) as caught:
        npm_pack(tmp_path, package="p@1")
    assert str(caught.value) == f"npm pack p@1: expected one .tgz file, got {got}"


def test_an_npm_client_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("npm", 900)

    client(tmp_path, "", monkeypatch)
    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(DataError) as caught:
        npm_pack(tmp_path, package="p@1")
    assert str(caught.value) == "npm pack p@1: expected an end within 900 s, got none"
