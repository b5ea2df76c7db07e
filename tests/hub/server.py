"""A stand-in for ModelScope's hub on the loopback interface.

ModelScope's real client talks to it when `MODELSCOPE_ENDPOINT` names it. It answers what the client
of ModelScope 1.40.2 asks for: models, pictures, and data sets whose table lies in a CSV file.
"""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

VITADAPTER_ID = "damo/cv_vitadapter_semantic-segmentation_cocostuff164k"
CARD_PICTURE_PATH = "/test/images/image_semantic_segmentation.jpg"
CARD_DATASET_ID = "modelscope/COCO_segmentation_inference"

TABLE_DATASET = 2
"""The hub's data set type for a `NAME.json` that names CSV files."""


def dataset_files(name, split, columns):
    """The two files, name to content, of a data set with columns (name to paths)."""
    rows = zip(*columns.values(), strict=True)
    lines = [columns, *([str(Path(path).resolve()) for path in row] for row in rows)]
    table = "\n".join(map(",".join, lines)) + "\n"
    structure = {"default": {split: {"meta": f"{split}.csv", "file": ""}}}
    return {f"{name}.json": json.dumps(structure).encode(), f"{split}.csv": table.encode()}


class StandInHub:
    """Serves models (id to directory), pictures (URL path to file) and data sets (id to files)."""

    def __init__(self, models=None, pictures=None, datasets=None):
        self.models = {model_id: Path(folder) for model_id, folder in (models or {}).items()}
        self.pictures = {path: Path(file) for path, file in (pictures or {}).items()}
        self.datasets = dict(datasets or {})
        self.requests = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.hub = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path, query):
        """The content for a request: bytes, something to send as JSON, or None for 404."""
        if path in self.pictures:
            return self.pictures[path].read_bytes()
        if path == "/api/v1/repos/internalAccelerationInfo":
            return {"Code": 200, "Data": {"InternalRegionQueryAddress": ""}}
        about_model = re.fullmatch(
            r"/(?:openapi|api)/v1/models/([^/]+/[^/]+)(/repo/files|/repo|/revisions)?", path
        )
        if about_model and about_model[1] in self.models:
            return self._answer_model(about_model[1], about_model[2], query)
        about_dataset = re.fullmatch(r"/(?:openapi|api)/v1/datasets/([^/]+(?:/[^/]+)?)(/.*)?", path)
        if about_dataset:
            # The client asks for `namespace/name/...` and for `number/repo/tree`.
            parts = path.split("/datasets/")[1].strip("/").split("/")
            by_number = {str(number): name for number, name in enumerate(self.datasets)}
            owned = "/".join(parts[:2])
            if parts[0] in by_number:
                return self._answer_dataset(by_number[parts[0]], "/".join(parts[1:]), query)
            if owned in self.datasets:
                return self._answer_dataset(owned, "/".join(parts[2:]), query)
        return None

    def _answer_model(self, model_id, what, query):
        folder = self.models[model_id]
        if what is None:
            return _about(model_id, Id=1)
        if what == "/revisions":
            revisions = {"Branches": [{"Revision": "master"}], "Tags": []}
            return {"Code": 200, "Data": {"RevisionMap": revisions}}
        if what == "/repo/files":
            files = [_listing(folder, file) for file in sorted(folder.rglob("*")) if file.is_file()]
            return {"Code": 200, "Data": {"Files": files}}
        file = folder / query.get("FilePath", "")
        return file.read_bytes() if file.is_file() else None

    def _answer_dataset(self, dataset_id, what, query):
        files = self.datasets[dataset_id]
        if what == "":
            number = list(self.datasets).index(dataset_id)
            return _about(dataset_id, Id=number, Type=TABLE_DATASET)
        if what == "repo/tree":
            listing = [{"Path": path, "Type": "blob", "Size": len(files[path])} for path in files]
            return {"Code": 200, "Data": {"Files": listing}}
        if what == "repo":
            return files.get(query.get("FilePath", ""))
        other = {"oss/tree": [], "ststoken": {"Bucket": "", "Region": "", "Dir": ""}}
        other["download/increase"] = {}
        return {"Code": 200, "Data": other[what]} if what in other else None


def _about(full_name, **more):
    owner, name = full_name.split("/")
    about = {"Path": owner, "Name": name, "Visibility": 5, **more}
    openapi = {"id": full_name, "owner": owner, "name": name, "visibility": "public"}
    return {"Code": 200, "success": True, "Data": about, "data": openapi}


def _listing(folder, file):
    content = file.read_bytes()
    sha = hashlib.sha256(content).hexdigest()
    about = {"Name": file.name, "Path": file.relative_to(folder).as_posix(), "Type": "blob"}
    return {**about, "Size": len(content), "Revision": "master", "Sha256": sha}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        self.server.hub.requests.append((self.command, path, query))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = self.server.hub.answer(path, query)
        if content is None:
            self._send(404, json.dumps({"Code": 404, "Message": f"no {path}"}).encode())
        elif isinstance(content, bytes):
            self._send_part(content)
        else:
            self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    do_HEAD = do_GET  # noqa: N815
    do_POST = do_GET  # noqa: N815

    def _send_part(self, content):
        """All of a file, or the range that was asked for."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None:
            self._send(200, content)
            return
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        where = f"bytes {first}-{last}/{len(content)}"
        self._send(206, content[first : last + 1], {"Content-Range": where})

    def _send(self, status, content, headers=None):
        self.send_response(status)
        for name, value in {"Accept-Ranges": "bytes", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *details):
        """Say nothing: `StandInHub.requests` keeps what was asked."""
