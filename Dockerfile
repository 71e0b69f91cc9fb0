# One file for both variants. Trixie's glibc is new enough for TFX 1.21, so the libraries that set-up puts
# beside the interpreter on an older Debian are not needed here; on an older BASE they are put there too.
ARG BASE=python:3.11-slim-trixie

FROM ${BASE} AS build
# cpu, or gpu: TensorFlow with NVIDIA's libraries from PyPI. The node needs the driver only.
ARG VARIANT=cpu
WORKDIR /opt/kembar
COPY requirements.lock requirements-cpu.lock requirements-gpu.lock requirements-data.lock setup.py pyproject.toml ./
COPY scripts scripts
COPY schemas schemas
COPY trainer trainer
COPY components components
COPY pipeline pipeline
# For pyfarmhash, the one package without a wheel. It stays in this stage.
RUN apt-get update && apt-get install --yes --no-install-recommends g++
# uv is what installs, and nothing in a container should.
RUN python3.11 scripts/bootstrap.py requirements-${VARIANT}.lock requirements-data.lock \
 && .venv/bin/uv pip uninstall --quiet --python .venv/bin/python uv pip

FROM ${BASE}
ARG VARIANT=cpu
# What `python -m pipeline.graph.fingerprint` says of the code inside; TFX's cache keys hold it package by package.
ARG FINGERPRINT=unknown
LABEL org.opencontainers.image.title="kembar" kembar.variant=${VARIANT} kembar.code=${FINGERPRINT}
RUN useradd --create-home --uid 1000 kembar
COPY --from=build /opt/kembar /opt/kembar
COPY configs /opt/kembar/configs
# Memory growth has to be set before TensorFlow starts.
ENV PATH=/opt/kembar/.venv/bin:$PATH TF_FORCE_GPU_ALLOW_GROWTH=true
# By number: Kubernetes' runAsNonRoot does not know names.
USER 1000:1000
WORKDIR /home/kembar
# No entry point: Kubernetes, and kfp.local, say `kembar` themselves.
CMD ["kembar"]
