"""A stand-in for MLflow's tracking server: what its REST API says of the calls that are made, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from world.services import Answer, Asked


@dataclass
class Tracked:
    """Experiments by name, and runs by id: tags, status, and every number that was logged."""

    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, asked: Asked) -> Answer:
        """The answer to one request."""
        at = urlsplit(asked.path)
        what = at.path.removeprefix("/api/2.0/mlflow/")
        if what == "experiments/get-by-name":
            [name] = parse_qs(at.query)["experiment_name"]
            if name not in self.experiments:
                return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
            return 200, {"experiment": {"experiment_id": self.experiments[name], "name": name}}
        said = asked.json
        if what == "experiments/create":
            self.experiments[said["name"]] = str(len(self.experiments) + 1)
            return 200, {"experiment_id": self.experiments[said["name"]]}
        if what == "runs/search":
            wanted = said["filter"].partition("= ")[2].strip("'")
            found = [key for key, run in self.runs.items() if run["tags"]["tuneguard.run"] == wanted]
            return 200, {"runs": [{"info": {"run_id": key}} for key in found]} if found else {}
        if what == "runs/create":
            key = f"{len(self.runs):032x}"
            tags = {each["key"]: each["value"] for each in said["tags"]}
            self.runs[key] = {"tags": tags, "metrics": [], "name": said["run_name"]}
            return 200, {"run": {"info": {"run_id": key}}}
        run = self.runs[said["run_id"]]
        if what == "runs/log-batch":
            assert len(said.get("metrics", ())) <= 1000
            run["metrics"] += said.get("metrics", [])
            run["tags"] |= {each["key"]: each["value"] for each in said.get("tags", ())}
            return 200, {}
        assert what == "runs/update"
        run["status"], run["ended"] = said["status"], said.get("end_time")
        return 200, {}
