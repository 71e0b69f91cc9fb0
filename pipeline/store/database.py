"""How ML Metadata is reached: MySQL's protocol in a cluster, SQLite's file elsewhere."""

from __future__ import annotations

import os
from typing import Any

from pipeline.config.cluster import Database
from pipeline.config.configuration import Config
from pipeline.store.ledger import Ledger
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError, KembarError

# Where the containers find the metadata database's account.
USER, PASSWORD = "KEMBAR_DATABASE_USER", "KEMBAR_DATABASE_PASSWORD"


def connection(database: Database | None, workdir: Workdir) -> Any:
    """How to reach ML Metadata. User and password come from the environment, never from the pipeline.

    Raises:
      ConfigError: the environment has none.
    """
    from tfx.orchestration import metadata

    if database is None:
        return metadata.sqlite_metadata_connection_config(str(workdir.metadata))
    for name in (USER, PASSWORD):
        if name not in os.environ:
            raise ConfigError(
                f"{name} is not set: the secret {database.secret!r} of [kubeflow.database] should have set it"
            )
    return metadata.mysql_metadata_connection_config(
        database.host, database.port, database.name, os.environ[USER], os.environ[PASSWORD]
    )


def is_kept(config: Config, workdir: Workdir) -> bool:
    """True where there can be a history: in a pod's database, or in the work folder's file."""
    return _database(config) is not None or workdir.metadata.is_file()


def ledger_of(config: Config, workdir: Workdir) -> Ledger:
    """The pipeline's history where it is kept.

    In a pod that has the account of `[kubeflow.database]` it is that database's, and else the work folder's.

    Raises:
      KembarError: the database does not let us in.
    """
    database = _database(config)
    if database is None:
        return Ledger.local(workdir, config.pipeline.name)
    return open_ledger(database, workdir, config.pipeline.name)


def open_ledger(database: Database | None, workdir: Workdir, pipeline: str) -> Ledger:
    """The history of a pipeline in a database of a cluster, or in the work folder's file without one.

    Raises:
      ConfigError: the environment has no account.
      KembarError: the database does not let us in.
    """
    try:
        return Ledger(connection(database, workdir), pipeline)
    except RuntimeError as error:
        address = f"{database.name} at {database.host}:{database.port}" if database else workdir.metadata
        raise KembarError(
            f"cannot open the metadata database {address}: is it running, and is the account right? "
            f"({' '.join(str(error).split())})"
        ) from None


def is_writable(config: Config, workdir: Workdir) -> bool:
    """True where the history can be added to from here."""
    return _database(config) is not None or (
        os.access(workdir.root, os.W_OK) and os.access(workdir.metadata, os.W_OK)
    )


def _database(config: Config) -> Database | None:
    """The database of `[kubeflow]`, in a pod that has its account."""
    return config.kubeflow.database if config.kubeflow is not None and USER in os.environ else None
