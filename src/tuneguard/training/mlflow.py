"""Hands numbers to an MLflow tracking server by its REST API, with no library of MLflow's.

Source: https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from tuneguard import limits
from tuneguard.errors import CannotLook, Refused, UsageError
from tuneguard.files import printable
from tuneguard.oci.http import Broken, Transport
from tuneguard.records import read_json
from tuneguard.training.metrics import written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tuneguard.training.metrics import Point

RUN_TAG = "tuneguard.run"
"""The tag by which a run is found again."""
_TOKEN, _USER, _PASSWORD = "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"


class Tracking:
    """One tracking server. Credentials come from MLflow's own variables, and go to this server alone."""

    def __init__(self, address: str) -> None:
        at = urlsplit(address)
        if at.scheme not in ("http", "https") or not at.hostname or at.username is not None or at.query:
            raise UsageError(
                f"{printable(address)} is not the address of an MLflow server",
                help=f"such as https://mlflow.example.com; credentials are read from ${_TOKEN}, or from "
                f"${_USER} and ${_PASSWORD}",
            )
        self._transport = Transport(at.netloc)
        if at.scheme == "http" and not self._transport.plain(at):
            raise Refused(
                "is without TLS", where=printable(address), help="have TLS set up there, or forward a port"
            )
        self._base = address.rstrip("/") + "/api/2.0/mlflow/"
        self._secret = _authorization(os.environ)

    def run(self, experiment: str, name: str, started: int, tags: Mapping[str, str]) -> str:
        """The id of the run with the tag `RUN_TAG` of `tags`, made where it is missing.

        `started` is in milliseconds.
        """
        number = self._experiment(experiment)
        found = self._call(
            "runs/search",
            {
                "experiment_ids": [number],
                "filter": f"tags.`{RUN_TAG}` = '{tags[RUN_TAG]}'",
                "max_results": 1,
            },
        )
        runs = found.get("runs") or []
        if not runs:
            asked = {
                "experiment_id": number,
                "run_name": name,
                "start_time": started,
                "tags": _pairs(tags),
            }
            runs = [self._call("runs/create", asked).get("run")]
        return _text(runs[0], "info", "run_id")

    def log(self, run: str, points: Iterable[Point], tags: Mapping[str, str]) -> int:
        """Log numbers and tags. Returns how many numbers there were; the server keeps equal ones once."""
        numbers = [
            {"key": key, "value": written(value), "timestamp": int(said.time * 1000), "step": said.step or 0}
            for said in points
            for key, value in said.values.items()
        ]
        for part in _parts(numbers):
            self._call("runs/log-batch", {"run_id": run, "metrics": part})
        self._call("runs/log-batch", {"run_id": run, "tags": _pairs(tags)})
        return len(numbers)

    def update(self, run: str, status: str, finished: int | None) -> None:
        """Set a run's status; `finished` is in milliseconds."""
        ended = {} if finished is None else {"end_time": finished}
        self._call("runs/update", {"run_id": run, "status": status, **ended})

    def _experiment(self, name: str) -> str:
        found = self._call(f"experiments/get-by-name?experiment_name={quote(name, safe='')}", None)
        if "experiment" in found:
            return _text(found, "experiment", "experiment_id")
        return _text(self._call("experiments/create", {"name": name}), "experiment_id")

    def _call(self, what: str, values: Mapping[str, Any] | None) -> dict[str, Any]:
        """One call; with `values` a POST. The answer is empty where what was asked for does not exist.

        Raises:
            CannotLook: the server cannot be reached, or answers what no MLflow server does.
            Refused: it refuses.
        """
        url = self._base + what
        where = printable(url.partition("?")[0])
        method, body = ("GET", None) if values is None else ("POST", json.dumps(values).encode())
        headers = {"Content-Type": "application/json"}
        try:
            response = self._transport.request(
                method, url, "mlflow", headers=headers, secret=self._secret, body=body
            )
            answer = response.read(limits.MLFLOW_ANSWER)
        except Broken as error:
            help = "check the network and the server, then run again"
            raise CannotLook(error.what, where=where, help=help) from error
        if response.status == 404 and body is None:
            return {}
        if response.status != 200:
            raise Refused(
                f"the server answers {response.status}: {_said(answer)}",
                where=where,
                help=f"check the address and ${_TOKEN}, or ${_USER} and ${_PASSWORD}",
            )
        found = read_json(answer, "the server's answer")
        if not isinstance(found, dict):
            raise CannotLook("answers what no MLflow server does", where=where)
        return found


def _authorization(variables: Mapping[str, str]) -> str | None:
    if variables.get(_TOKEN):
        return f"Bearer {variables[_TOKEN]}"
    if variables.get(_USER):
        both = f"{variables[_USER]}:{variables.get(_PASSWORD, '')}".encode()
        return f"Basic {base64.b64encode(both).decode()}"
    return None


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _parts(numbers: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """What fits into one call each."""
    for begin in range(0, len(numbers), limits.MLFLOW_BATCH):
        yield numbers[begin : begin + limits.MLFLOW_BATCH]


def _text(found: Any, *path: str) -> str:
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, str) or not found:
        raise CannotLook(f"answers without {'.'.join(path)}", help="check that it is an MLflow server")
    return found


def _said(answer: bytes) -> str:
    return printable(answer[: limits.SHOWN_CHARACTERS])
