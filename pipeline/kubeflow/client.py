"""The connection to Kubeflow Pipelines' API: where it is, who asks, and what its errors mean."""

from __future__ import annotations

import json
import os
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import kfp_server_api
import urllib3
from kfp.client import Client, ServiceAccountTokenVolumeCredentials

from pipeline.config.cluster import Kubeflow
from trainer.errors import ConfigError, KembarError

# Where the token comes from: never from a configuration, which is kept and compiled.
TOKEN, TOKEN_FILE = "KEMBAR_KFP_TOKEN", "KEMBAR_KFP_TOKEN_FILE"
# Seconds to connect and to wait for an answer; the generated client has no limit of its own.
_TIMEOUT = (10.0, 120.0)
_PAGE = 100


class KubeflowError(KembarError):
    """KFP cannot be reached, or refuses what it was asked."""


class Kfp(Client):
    """kfp's client with limits on time, for one namespace.

    Raises:
      KubeflowError: nothing answers at the address, or something that is not KFP.
      ConfigError: no namespace is configured where KFP needs one, or the token cannot be read.
    """

    def __init__(self, cluster: Kubeflow) -> None:
        self.namespace = cluster.namespace
        self.address = cluster.host or "the cluster's own ml-pipeline service"
        with warnings.catch_warnings(), self.explained("connect"):
            # It says on every start that it wants KFP 2, and which protocol it takes where none is given.
            warnings.simplefilter("ignore")
            super().__init__(host=cluster.host, ssl_ca_cert=os.environ.get("SSL_CERT_FILE"), **_account())
            # kfp takes a namespace from a file in the home; here it is in the configuration or nowhere.
            self._context_setting["namespace"] = ""
            health = self.get_kfp_healthz()
        if health.multi_user and not self.namespace:
            raise ConfigError(
                f"KFP at {self.address} has many users: set [kubeflow] namespace to the namespace of yours"
            )

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
        """KFP's health, asked once: kfp's own asks five times, 5 s apart, before it says what is wrong."""
        api = self._healthz_api
        rest = api.api_client.rest_client  # of all the APIs; it can take a limit, but kfp sets none
        if not isinstance(rest.request, partial):
            rest.request = partial(_within_limit, rest.request)
        health, _, headers = api.healthz_service_get_healthz_with_http_info()
        kind = headers.get("Content-Type", "")
        if not kind.startswith("application/json"):
            raise KubeflowError(
                f"{self.address} answers with {kind or 'nothing'}, which is not KFP's API: [kubeflow] host "
                f"is wrong, or there is a login before it: set {TOKEN} or {TOKEN_FILE}"
            )
        return health

    @contextmanager
    def explained(self, attempt: str) -> Iterator[None]:
        """Turns what goes wrong with KFP into one line for the user; the rest is for the log.

        Args:
          attempt: What is being done, for the message.

        Raises:
          KubeflowError: what went wrong.
        """
        try:
            yield
        except kfp_server_api.ApiException as error:
            traceback.print_exc()
            reply = f"{error.status}: {_message(error)}{self._advice(error.status)}"
            raise KubeflowError(f"cannot {attempt}: KFP at {self.address} says {reply}") from error
        except urllib3.exceptions.HTTPError as error:
            traceback.print_exc()
            cause = getattr(error, "reason", None) or error
            raise KubeflowError(
                f"cannot {attempt}: cannot reach KFP at {self.address}: {_first_line(str(cause))}: check "
                "[kubeflow] host, or `kubectl port-forward` if that is how it is reached"
            ) from error

    def _advice(self, status: int | None) -> str:
        if status == 401:
            return f": set {TOKEN}, or {TOKEN_FILE} to a file, to a token that it takes"
        if status == 403:
            return f": is namespace {self.namespace or '(none)'} right, and may this account use it?"
        if status == 404:
            return ": is [kubeflow] host the address of KFP's API?"
        return ""

    def find(self, ask: Callable[..., Any], kind: str, name: str | None, **arguments: Any) -> list[Any]:
        """All objects of a listing, of all its pages; those that are called `name` if that is given."""
        if name is not None:
            predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
            arguments["filter"] = json.dumps({"predicates": [predicate]})
        items: list[Any] = []
        token = ""
        while True:
            page = ask(page_token=token, page_size=_PAGE, **arguments)
            items += getattr(page, kind) or []
            token = page.next_page_token
            if not token:
                return [item for item in items if name in (None, item.display_name)]


def _account() -> dict[str, Any]:
    """Who asks, as arguments of kfp's client. A file is read again for every request: tokens get renewed."""
    path = os.environ.get(TOKEN_FILE)
    if path:
        try:
            if not Path(path).read_text(encoding="utf-8").strip():
                raise ConfigError(f"{TOKEN_FILE} = {path}: the file is empty: put the token into it")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{TOKEN_FILE} = {path}: {error}") from None
        return {"credentials": ServiceAccountTokenVolumeCredentials(path=path)}
    token = os.environ.get(TOKEN, "").strip()
    return {"existing_token": token} if token else {}


def _within_limit(request: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return request(*arguments, **{**options, "_request_timeout": options.get("_request_timeout") or _TIMEOUT})


def _message(error: kfp_server_api.ApiException) -> str:
    """Return KFP's message, without the stack that it appends."""
    try:
        body = json.loads(error.body)
        return _first_line(str(body.get("message") or body.get("error") or error.reason))
    except (TypeError, ValueError, AttributeError):
        return _first_line(str(error.reason or "no reason"))


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason"])[0][:500]
