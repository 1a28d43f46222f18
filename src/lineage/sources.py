"""Where the archives come from: found on disk or downloaded, and verified before anything reads them."""

import hashlib
import sys
from pathlib import Path

import pooch

from lineage.errors import Failure, Mistake

WAYS_OUT = (
    "three ways out: connect to the network; put the file into a folder and set DATA_MIRROR to it; "
    "or run in miniature with `dvc exp run -S scale=sample`"
)

NO_ADDRESS = (
    "and no address is known; `name` is the name of the file alone; put it there, or elsewhere and set DATA_MIRROR to "
    "that folder, and in data/sample `git add` it: under --temp and --queue DVC takes only files that Git knows"
)


def find(
    archives: list[dict], urls: dict[str, list[str]], places: list[Path], downloads: Path
) -> tuple[str, list[Path]]:
    """The format and the verified files of the first archive that can be had: first on disk, in `places`, then by
    download.

    `archives` are in order of preference, each with a `format` and `files` (`name`, `sha256`); `urls` has the
    addresses by SHA-256. Raises `Failure` where a file on disk is another than wanted, or where no archive can be had;
    `Mistake` where none has an address.
    """
    found = [
        [next((p / f["name"] for p in places if (p / f["name"]).is_file()), None) for f in a["files"]] for a in archives
    ]
    reasons = []
    # first what is wholly on disk, then, in order of preference, what an address has
    for archive, paths in sorted(zip(archives, found, strict=True), key=lambda pair: None in pair[1]):
        lacking = [f for f, path in zip(archive["files"], paths, strict=True) if path is None]
        if not all(urls.get(f["sha256"]) for f in lacking):
            continue
        for file, path in zip(archive["files"], paths, strict=True):
            if path:
                verify(path, file["sha256"])
        try:
            fresh = {f["name"]: download(urls[f["sha256"]], f["name"], f["sha256"], downloads) for f in lacking}
        except Failure as error:
            reasons.append(str(error))
            continue
        return archive["format"], [path or fresh[f["name"]] for f, path in zip(archive["files"], paths, strict=True)]
    wanted = " or ".join("+".join(f["name"] for f in archive["files"]) for archive in archives)
    if not reasons:
        raise Mistake(f"cannot get {wanted}: it is not in {' or '.join(map(str, places))}, {NO_ADDRESS}")
    raise Failure(f"cannot get {wanted} ({'; '.join(reasons)}); {WAYS_OUT}")


def verify(path: Path, sha256: str) -> None:
    """Raises `Failure` where the file's SHA-256 is another."""
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        raise Failure(
            f"{path} is damaged or another file: its SHA-256 is {actual}, not {sha256[:12]}…; replace it or, if it is "
            "your own and you have changed it, write that into data/datasets.yaml"
        )


def download(urls: list[str], name: str, sha256: str, folder: Path, timeout: float = 30) -> Path:
    """The file from the first address that delivers it whole; `timeout` is in seconds without a byte. Raises
    `Failure`.
    """
    pooch.get_logger().setLevel("ERROR")
    reasons = []
    for url in urls:
        print(f"downloading {name} from {url.split('/')[2]}", flush=True)
        fetcher = pooch.HTTPDownloader(timeout=timeout, progressbar=sys.stderr.isatty())
        try:
            return Path(pooch.retrieve(url, f"sha256:{sha256}", fname=name, path=folder, downloader=fetcher))
        except ValueError as error:  # how pooch reports another hash
            reasons.append(
                f"{url.split('/')[2]}: damaged or another file" if "hash" in str(error) else f"{url}: {error}"
            )
        except PermissionError as error:  # pooch's own has no number, the one behind it has
            raise error.__cause__ or error from None
        except OSError as error:
            if error.errno is not None:  # the disk's fault, not the network's
                error.filename = error.filename or str(folder)
                raise
            reasons.append(f"{url.split('/')[2]}: {type(error).__name__}")
    raise Failure(f"no address of {name} works: {', '.join(reasons)}")
