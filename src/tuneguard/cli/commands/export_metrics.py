"""tuneguard export-metrics: forward a run's metrics to MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import EVIDENCE, POLICY, PROJECT, command

if TYPE_CHECKING:
    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("export-metrics", PROJECT, POLICY, EVIDENCE)
@click.argument("run", metavar="RUN")
@click.option("--mlflow", required=True, metavar="URL", help="Log to the MLflow server at this address.")
@click.option("--experiment", metavar="NAME", help="Log under this experiment; by default the model's name.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over.")
def COMMAND(project: Project, run: str, mlflow: str, experiment: str | None, follow: bool) -> Result[Facts]:
    """Forward the metrics of RUN to MLflow, with its tree's digest and verdict as tags.

    Credentials come from $MLFLOW_TRACKING_TOKEN, or $MLFLOW_TRACKING_USERNAME and $MLFLOW_TRACKING_PASSWORD.
    """
    from tuneguard.journey.export_metrics import export_metrics

    return export_metrics(run, mlflow=mlflow, experiment=experiment, follow=follow, project=project)
