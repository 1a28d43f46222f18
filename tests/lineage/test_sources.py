import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lineage import sources
from lineage.errors import Failure, Mistake

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = {"name": "data.zip", "sha256": SHA256}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/missing":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        content = {"/other": CONTENT[::-1], "/cut": CONTENT[:1000], "/stalled": CONTENT[:1000]}.get(self.path, CONTENT)
        self.wfile.write(content)
        self.wfile.flush()
        if self.path == "/stalled":
            time.sleep(3)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.daemon_threads = [], True
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


DEAD = "http://127.0.0.1:9/data.zip"  # the discard port: nobody listens


def test_a_download_arrives_whole(server, tmp_path):
    path = sources.download([f"{server.url}/good"], "data.zip", SHA256, tmp_path / "new")
    assert path == tmp_path / "new" / "data.zip"
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("bad", ["missing", "other", "cut", "stalled", None])
def test_the_next_address_is_tried(server, tmp_path, bad):
    first = f"{server.url}/{bad}" if bad else DEAD
    path = sources.download([first, f"{server.url}/good"], "data.zip", SHA256, tmp_path, timeout=1)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["data.zip"]
    assert server.asked[-1] == "/good"


@pytest.mark.parametrize("bad", ["missing", "other", "cut", "stalled", None])
def test_nothing_is_left_behind(server, tmp_path, bad):
    url = f"{server.url}/{bad}" if bad else DEAD
    with pytest.raises(Failure, match=r"no address of data.zip works"):
        sources.download([url], "data.zip", SHA256, tmp_path, timeout=1)
    assert list(tmp_path.iterdir()) == []


def test_disk_comes_before_network_and_preference_counts(server, tmp_path):
    second = {"name": "second.tar", "sha256": hashlib.sha256(b"second").hexdigest()}
    listed = [{"format": "folders", "files": [FILE]}, {"format": "contact-sheets", "files": [second]}]
    urls = {SHA256: [f"{server.url}/good"]}
    mirror, downloads = tmp_path / "mirror", tmp_path / "downloads"
    mirror.mkdir()
    (mirror / "second.tar").write_bytes(b"second")
    assert sources.find(listed, urls, [mirror], downloads) == ("contact-sheets", [mirror / "second.tar"])
    assert server.asked == []
    (mirror / "data.zip").write_bytes(CONTENT)
    assert sources.find(listed, urls, [mirror], downloads) == ("folders", [mirror / "data.zip"])
    assert sources.find(listed, urls, [], downloads) == ("folders", [downloads / "data.zip"])


def test_an_archive_of_two_files_may_lie_on_disk_in_part(server, tmp_path):
    second = {"name": "second.h5", "sha256": hashlib.sha256(b"second").hexdigest()}
    listed, urls = [{"format": "h5", "files": [FILE, second]}], {SHA256: [f"{server.url}/good"]}
    (tmp_path / "second.h5").write_bytes(b"second")
    found = ("h5", [tmp_path / "new" / "data.zip", tmp_path / "second.h5"])
    assert sources.find(listed, urls, [tmp_path], tmp_path / "new") == found
    (tmp_path / "second.h5").write_bytes(b"damaged")
    with pytest.raises(Failure, match=r"second.h5 is damaged or another file"):
        sources.find(listed, urls, [tmp_path], tmp_path / "new")
    (tmp_path / "second.h5").unlink()
    with pytest.raises(Mistake, match=r"cannot get data.zip\+second.h5"):  # no address of the second
        sources.find(listed, urls, [tmp_path], tmp_path / "new")


def test_a_disk_that_fills_up_is_named(server, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sources.pooch, "retrieve", full)
    with pytest.raises(OSError, match="No space left") as error:
        sources.download([f"{server.url}/good"], "data.zip", SHA256, tmp_path)
    assert error.value.filename == str(tmp_path)


def test_a_damaged_file_on_disk_is_refused(tmp_path):
    (tmp_path / "data.zip").write_bytes(CONTENT[:-1] + b"!")
    actual = hashlib.sha256(CONTENT[:-1] + b"!").hexdigest()
    with pytest.raises(
        Failure, match=rf"data\.zip is damaged or another file: its SHA-256 is {actual}.*replace it or, if"
    ):
        sources.find([{"format": "folders", "files": [FILE]}], {}, [tmp_path], tmp_path)


def test_a_folder_that_cannot_be_written_is_not_the_networks_fault(server, tmp_path, monkeypatch):
    def refused(*_, **__):  # as pooch does; root may write everywhere
        raise PermissionError("cannot write") from PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(sources.pooch, "retrieve", refused)
    with pytest.raises(PermissionError) as error:
        sources.download([f"{server.url}/good"], "data.zip", SHA256, tmp_path)
    assert (error.value.errno, error.value.filename) == (13, str(tmp_path))


def test_the_ways_out_are_named(tmp_path):
    archives = [{"format": "folders", "files": [FILE]}]
    with pytest.raises(Failure) as error:
        sources.find(archives, {SHA256: [DEAD]}, [tmp_path], tmp_path)
    for way in ("network", "DATA_MIRROR", "-S scale=sample"):
        assert way in str(error.value)
    with pytest.raises(Mistake) as mistake:  # neither a network nor the miniature would help
        sources.find(archives, {}, [tmp_path, tmp_path / "other"], tmp_path)
    assert f"cannot get data.zip: it is not in {tmp_path} or {tmp_path / 'other'}, and no address" in str(mistake.value)
    assert "DATA_MIRROR" in str(mistake.value) and "sample=" not in str(mistake.value)
