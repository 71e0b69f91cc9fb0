"""Commands that ask the version in service: serve, predict, embed, duplicates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from components.example_gen.data_config import DataSection
from pipeline.commands.options import ConfigPath, Folder, Settings, opened
from pipeline.config import configuration
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ConfigError

app = typer.Typer()

# What the column of single texts is called, where it has not the name of those in the data.
_TEXT = "text"

_READ = "delimited text, JSON lines, Parquet or TFRecord, as [data] says"
_WRITTEN = ".csv, .tsv, .jsonl or .parquet, each also with .gz"
Input = Annotated[Path, typer.Option("--input", help=_READ)]
Output = Annotated[Path, typer.Option("--output", help=_WRITTEN)]
Column = Annotated[
    str | None, typer.Option(help="the column of the texts; default: [data] text_a, or else text")
]
Prefix = Annotated[str, typer.Option(help="put before the names of the columns that are added")]


@app.command()
def predict(
    config: ConfigPath,
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT_A TEXT_B]")] = None,
    input: Annotated[
        Path | None,
        typer.Option(
            "--input", help=f"{_READ}; texts in text_a and text_b, or in the columns that [data] names"
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help=f"{_WRITTEN}; default: JSON lines to standard output")
    ] = None,
    prefix: Prefix = "",
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Score pairs with the version in service."""
    from pipeline.batch import predict as scoring

    loaded = configuration.load(config, settings or ())
    if loaded.data.vector is not None:
        raise ConfigError("predict scores pairs of texts; ask for vectors over REST: kembar serve")
    if texts and (input is not None or len(texts) != 2):
        raise ConfigError("predict takes two texts, or --input FILE, not both")
    if not texts and input is None:
        raise ConfigError("nothing to score: give two texts, or --input FILE")
    folder = Workdir.of(loaded, workdir)
    if input is not None:
        scoring.predict(folder, scoring.FileRequest(loaded.data, input, output, prefix), Terminal())
    elif texts:
        scoring.predict_pair(folder, (texts[0], texts[1]), output, Terminal(), prefix)


@app.command()
def serve(
    config: ConfigPath,
    port: Annotated[int, typer.Option(help="REST port; 0 takes a free one")] = 8501,
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0 takes a free one")] = 8500,
    host: Annotated[
        str, typer.Option(help="the address to listen on; :: is all, of both families")
    ] = "127.0.0.1",
    cors: Annotated[bool, typer.Option("--cors", help="let scripts of any site ask over REST")] = False,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Serve in TF Serving's protocols, REST and gRPC; follow new versions and pins."""
    # A request that a graph refuses is the client's matter, and no line of the log for each.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from pipeline.serving.log import sparse_log
    from pipeline.serving.server import serve as serve_forever

    loaded, folder = opened(config, settings, workdir)
    terminal = Terminal()
    log = folder.root / "serve.log"
    with terminal.noise_to(log), sparse_log():
        serve_forever(
            folder.serving,
            loaded.pipeline.name,
            host=host,
            port=port,
            grpc_port=grpc_port,
            limits=loaded.serving.limits,
            open_log=loaded.serving.open_log,
            announce=terminal.result,
            cors=cors,
            log=log,
        )


@app.command()
def embed(
    config: ConfigPath,
    input: Input,
    output: Output,
    column: Column = None,
    prefix: Prefix = "",
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Add the embedding of its text to each row of a file, with the version in service."""
    from pipeline.batch.predict import FileRequest
    from pipeline.batch.predict import embed as write_embeddings

    loaded, folder = opened(config, settings, workdir)
    request = FileRequest(loaded.data, input, output, prefix)
    write_embeddings(folder, request, _columns(loaded.data, column), Terminal())


@app.command()
def duplicates(
    config: ConfigPath,
    input: Input,
    output: Output,
    column: Column = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="least score of a match; default: label 1, or four fifths of the range"),
    ] = None,
    neighbours: Annotated[int, typer.Option(min=1, max=1_000, help="candidates for each text")] = 10,
    settings: Settings = None,
    workdir: Folder = None,
) -> None:
    """Find the matching pairs inside one file of texts, with the version in service."""
    from pipeline.batch.duplicates import duplicates as find
    from pipeline.batch.predict import FileRequest

    loaded, folder = opened(config, settings, workdir)
    request, columns = FileRequest(loaded.data, input, output), _columns(loaded.data, column)
    find(folder, request, columns, Terminal(), threshold=threshold, neighbours=neighbours)


def _columns(data: DataSection, column: str | None) -> tuple[str, ...]:
    """Where texts may be, in this order."""
    if column is not None:
        return (column,)
    return (data.text_a, _TEXT) if data.text_a not in (None, _TEXT) else (_TEXT,)
