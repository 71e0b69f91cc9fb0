# The same environment as `make setup`, for a cluster. Trixie's glibc is new enough for TFX 1.21, so the
# libraries that set-up puts beside the interpreter on an older Debian are not needed here.
FROM python:3.11-slim-trixie AS build
WORKDIR /opt/kembar
COPY requirements.lock requirements-data.lock setup.py pyproject.toml ./
COPY scripts scripts
COPY schemas schemas
COPY trainer trainer
COPY components components
COPY pipeline pipeline
RUN python scripts/bootstrap.py

FROM python:3.11-slim-trixie
RUN useradd --create-home --uid 1000 kembar
COPY --from=build /opt/kembar /opt/kembar
COPY configs /opt/kembar/configs
# Memory growth has to be set before TensorFlow starts.
ENV PATH=/opt/kembar/.venv/bin:$PATH TF_FORCE_GPU_ALLOW_GROWTH=true
USER kembar
WORKDIR /home/kembar
ENTRYPOINT ["kembar"]
