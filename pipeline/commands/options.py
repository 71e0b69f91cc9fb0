"""Arguments that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.config import configuration
from pipeline.config.configuration import Config
from pipeline.store.workdir import Workdir

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="a TOML file, such as configs/sts.toml")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="overrides the file; repeatable"),
]
Folder = Annotated[Path | None, typer.Option("--workdir", help="where runs are kept; default: runs/NAME")]
Host = Annotated[str | None, typer.Option(help="address of KFP; default: [kubeflow] host")]


def opened(path: Path, settings: list[str] | None, workdir: Path | None = None) -> tuple[Config, Workdir]:
    """The configuration that a command is given, with its settings on top, and the pipeline's folder."""
    config = configuration.load(path, settings or ())
    return config, Workdir.of(config, workdir)
