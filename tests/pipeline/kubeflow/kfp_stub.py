"""KFP's API on a loopback port, kept in memory. Bodies are checked against KFP's published description.

The description is what `kfp_server_api` was generated from: its models say which keys there are, and of which
type. KFP's gateway refuses anything else, and so does this.
"""

from __future__ import annotations

import email
import email.policy
import json
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api.models
from kfp import components

_SCALARS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "datetime": (str,),
    "object": (dict, list, str, int, float, bool),
}
# The description calls 64-bit integers strings; the gateway takes numbers too.
_LONG = {"max_concurrency", "interval_second", "page_size"}
_PAGE = 2  # small, so that every listing of more than two has pages


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check(value: Any, kind: str, where: str) -> None:
    """Refuses a value that is not of the described type, with all that is below it."""
    if kind in _SCALARS:
        check_scalar(value, kind, where)
    elif kind.startswith("list["):
        for one in value:
            check(one, kind[5:-1], f"{where}[]")
    elif kind.startswith("dict("):
        for key, one in value.items():
            check(one, kind[5:-1].split(", ", 1)[1], f"{where}.{key}")
    else:
        model = getattr(kfp_server_api.models, kind)
        if getattr(model, "allowable_values", None):
            if value not in model.allowable_values:
                raise Refused(400, f"proto: invalid value for enum {where}: {value}")
            return
        types = {model.attribute_map[name]: of for name, of in model.openapi_types.items()}
        for key, one in value.items():
            if key not in types:
                raise Refused(400, f'proto: unknown field "{where}.{key}"')
            check(one, types[key], f"{where}.{key}")


def check_scalar(value: Any, kind: str, where: str) -> None:
    allowed = _SCALARS[kind]
    if where.rpartition(".")[2] in _LONG:
        allowed += (int,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise Refused(400, f'proto: invalid value for {where}: "{value}"\n\tgoroutine 1')


@dataclass
class Kfp:
    """What the server has, and how it behaves."""

    token: str = "open-sesame"
    namespaces: tuple[str, ...] = ("twins",)
    multi_user: bool = True
    login_page: bool = False
    failures: int = 0  # so many next requests get 503
    states: list[str] = field(default_factory=lambda: ["PENDING", "RUNNING", "SUCCEEDED"])
    requests: list[str] = field(default_factory=list)
    kept: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {
            kind: {} for kind in ("experiments", "pipelines", "versions", "runs", "recurringruns")
        }
    )
    url: str = ""

    def all(self, kind: str) -> list[dict[str, Any]]:
        return list(self.kept[kind].values())

    def add(self, kind: str, key: str, value: dict[str, Any]) -> dict[str, Any]:
        number = sum(map(len, self.kept.values())) + 1
        value = {**value, key: f"{kind}-{number}", "created_at": datetime.now(UTC).isoformat()}
        self.kept[kind][value[key]] = value
        return value

    def get(self, kind: str, name: str) -> dict[str, Any]:
        if name not in self.kept[kind]:
            raise Refused(404, f"{kind} {name} not found")
        return self.kept[kind][name]

    def check_namespace(self, namespace: str | None) -> None:
        if self.multi_user and not namespace:
            raise Refused(400, "Invalid input error: Namespace should not be empty in multi-user mode")
        if self.multi_user and namespace not in self.namespaces:
            raise Refused(403, f"User is not authorized in namespace {namespace}")

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """One request. `body` is JSON, or (form, file) of an upload."""
        if (method, path) == ("GET", "healthz"):
            return {"multi_user": self.multi_user}
        if (method, path) == ("POST", "pipelines/upload_version"):
            return self.upload(query, body)
        if method == "GET":
            return self.look(path, query)
        if method == "DELETE":
            kind, name = path.split("/")
            self.get(kind, name)
            del self.kept[kind][name]
            return {}
        found = re.fullmatch(r"recurringruns/([^:]+):(enable|disable)", path)
        if found:
            self.get("recurringruns", found[1])["mode"] = found[2].upper()
            return {}
        found = re.fullmatch(r"runs/([^:]+):terminate", path)
        if found:
            self.get("runs", found[1])["state"] = "CANCELING"
            return {}
        return self.make(path, body)

    def look(self, path: str, query: dict[str, str]) -> Any:
        found = re.fullmatch(r"runs/(.+)", path)
        if found:
            return self.run(self.get("runs", found[1]))
        versions = re.fullmatch(r"pipelines/([^/]+)/versions", path)
        if versions:
            rows = [one for one in self.all("versions") if one["pipeline_id"] == versions[1]]
            return self.page(rows, "pipeline_versions", query)
        self.check_namespace(query.get("namespace"))
        key = {"recurringruns": "recurringRuns"}.get(path, path)
        rows = [one for one in self.all(path) if one.get("namespace") in (None, query.get("namespace"))]
        return self.page(rows, key, query)

    def page(self, rows: list[dict[str, Any]], key: str, query: dict[str, str]) -> Any:
        if query.get("filter"):
            wanted = json.loads(query["filter"])
            for one in wanted["predicates"]:
                assert one["operation"] in ("EQUALS", 1), one
                value = one.get("stringValue", one.get("string_value"))
                rows = [row for row in rows if row[one["key"]] == value]
        start = int(query.get("page_token") or 0)
        size = min(int(query.get("page_size") or _PAGE), _PAGE)
        more = {"next_page_token": str(start + size)} if start + size < len(rows) else {}
        return {key: rows[start : start + size], **more} if rows else {}

    def make(self, path: str, body: Any) -> Any:
        kind, key = {
            "experiments": ("V2beta1Experiment", "experiment_id"),
            "pipelines": ("V2beta1Pipeline", "pipeline_id"),
            "runs": ("V2beta1Run", "run_id"),
            "recurringruns": ("V2beta1RecurringRun", "recurring_run_id"),
        }[path]
        check(body, kind, "body")
        if path in ("experiments", "pipelines"):
            self.check_namespace(body.get("namespace"))
            if any(one["display_name"] == body["display_name"] for one in self.all(path)):
                raise Refused(409, f"{body['display_name']} already exists")
            return self.add(path, key, body)
        reference = body["pipeline_version_reference"]
        version = self.get("versions", reference["pipeline_version_id"])
        assert version["pipeline_id"] == reference["pipeline_id"]
        inputs = version["inputs"]
        for name, value in body["runtime_config"].get("parameters", {}).items():
            if name not in inputs:
                raise Refused(400, f"parameter {name} not found in the pipeline")
            kinds = {"NUMBER_INTEGER": int, "STRING": str, "BOOLEAN": bool, "LIST": list}[inputs[name]]
            if type(value) is not kinds:
                raise Refused(400, f"parameter {name} must be {inputs[name]}")
        namespace = self.get("experiments", body["experiment_id"]).get("namespace")
        if path == "recurringruns":
            cron = body["trigger"]["cron_schedule"]["cron"]
            if len(cron.split()) != 6:
                raise Refused(400, f"Schedule cron is not supported: expected 6 fields, found {cron}")
        made = {
            **body,
            "service_account": body.get("service_account", "pipeline-runner"),
            "namespace": namespace,
        }
        if path == "recurringruns":
            made["max_concurrency"] = str(body["max_concurrency"])
        else:
            # The backend shows the namespace in the experiment alone.
            del made["namespace"]
        return self.add(path, key, made)

    def run(self, run: dict[str, Any]) -> dict[str, Any]:
        """A run is one state further each time that it is looked at."""
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        task: dict[str, Any] = {"task_id": "7", "display_name": "trainer", "state": state}
        if state == "FAILED":
            task["error"] = {"code": 2, "message": "kembar: error: no GPU is visible"}
        driver = {"task_id": "6", "display_name": "trainer-driver", "state": "SUCCEEDED"}
        return {**run, "state": state, "run_details": {"task_details": [driver, task]}}

    def upload(self, query: dict[str, str], body: bytes) -> Any:
        self.get("pipelines", query["pipelineid"])
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder, "pipeline.yaml")
            package.write_bytes(body)
            try:
                component = components.load_component_from_file(str(package))
            except Exception as error:  # noqa: BLE001 - whatever the loader does not like
                raise Refused(
                    400, f"Invalid input error: Failed to parse the PipelineSpec: {error}"
                ) from None
        inputs = {
            name: one.parameter_type
            for name, one in component.pipeline_spec.root.input_definitions.parameters.items()
        }
        from kfp.pipeline_spec.pipeline_spec_pb2 import ParameterType

        kinds = {name: ParameterType.ParameterTypeEnum.Name(kind) for name, kind in inputs.items()}
        if any(one["display_name"] == query["name"] for one in self.all("versions")):
            raise Refused(409, f"The name {query['name']} already exists")
        made = {"pipeline_id": query["pipelineid"], "display_name": query["name"], "name": query["name"]}
        kept = self.add("versions", "pipeline_version_id", made)
        kept["inputs"] = kinds
        return {name: value for name, value in kept.items() if name != "inputs"}


@contextmanager
def serve(kfp: Kfp) -> Iterator[Kfp]:
    """Answers on a free port, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def handle_one(self) -> None:
            url = urlsplit(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = url.path.removeprefix("/apis/v2beta1/")
            kfp.requests.append(f"{self.command} {path}")
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            try:
                if kfp.login_page:
                    return self.reply(200, b"<html>Log in</html>", "text/html")
                if kfp.failures:
                    kfp.failures -= 1
                    raise Refused(503, "upstream connect error")
                if self.headers.get("Authorization") != f"Bearer {kfp.token}":
                    raise Refused(401, "Request header error: there is no user identity header")
                body = _file_of(self.headers["Content-Type"], content) if "upload" in path else content
                answer = kfp.answer(
                    self.command, path, query, body if "upload" in path else json.loads(body or b"{}")
                )
                return self.reply(200, json.dumps(answer).encode())
            except Refused as error:
                return self.reply(error.status, json.dumps({"code": 3, "message": str(error)}).encode())
            except Exception as error:  # noqa: BLE001 - a fault of this stub must not look like KFP's word
                return self.reply(599, json.dumps({"message": repr(error)}).encode())

        def reply(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = handle_one  # noqa: N815 - the standard library's names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    kfp.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield kfp
    finally:
        server.shutdown()
        server.server_close()


def _file_of(kind: str, content: bytes) -> bytes:
    message = email.message_from_bytes(
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + content, policy=email.policy.HTTP
    )
    [part] = message.iter_parts()
    assert part.get_param("name", header="content-disposition") == "uploadfile"
    return bytes(part.get_payload(decode=True))
