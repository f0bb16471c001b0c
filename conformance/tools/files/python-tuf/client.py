"""What python-tuf makes of repositories: of folders of cases, or of one that is served.

client.py cases FOLDER         each FOLDER/<case>/root.json with the folders 0, 1, ... of files: one update for each
client.py one ROOT URL PATH    one update from a server, and the download of what the path means

It prints a line for each update: "named SHA256", "unnamed" or "refused REASON".
"""

import pathlib
import sys
import tempfile
import urllib.error
import urllib.request

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface


class Folder(FetcherInterface):
    """Files of a folder, by the last part of their address."""

    def __init__(self, folder):
        self.folder = folder

    def _fetch(self, url):
        file = self.folder / url.rsplit("/", 1)[1]
        if not file.exists():
            raise DownloadHTTPError("there is no such file", 404)
        yield file.read_bytes()


class Server(FetcherInterface):
    """Files of a server, asked for without credentials."""

    def _fetch(self, url):
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                yield answer.read()
        except urllib.error.HTTPError as error:
            raise DownloadHTTPError(str(error), error.code) from error


def update(root, url, memory, path, fetcher, targets=None):
    try:
        updater = Updater(memory, url, fetcher=fetcher, bootstrap=root)
        updater.refresh()
        found = updater.get_targetinfo(path)
        if found is not None and targets is not None:
            updater.download_target(found, str(pathlib.Path(memory) / "target"), targets)
    except (RepositoryError, DownloadError, ValueError, KeyError) as error:
        return "refused " + " ".join(f"{type(error).__name__}: {error}".split())
    return "unnamed" if found is None else "named " + found.hashes["sha256"]


def main():
    if sys.argv[1] == "one":
        root, url, path = sys.argv[2:]
        with tempfile.TemporaryDirectory() as memory:
            print(update(pathlib.Path(root).read_bytes(), url, memory, path, Server(), url + "/targets/"))
        return
    for case in sorted(pathlib.Path(sys.argv[2]).iterdir(), key=lambda case: int(case.name)):
        root, path = (case / "root.json").read_bytes(), (case / "path").read_text()
        with tempfile.TemporaryDirectory() as memory:
            for step in sorted(entry.name for entry in case.iterdir() if entry.is_dir()):
                print(case.name, step, update(root, "http://cases.invalid/", memory, path, Folder(case / step)))


if __name__ == "__main__":
    main()
