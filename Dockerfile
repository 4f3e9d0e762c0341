# One image for every process of a deployment: code server, daemon, UI, worker, migrate.
# docs/deploying.md, Images, says how to pin the base image by digest, and what was tried of this file.
ARG PYTHON_IMAGE=docker.io/library/python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY constraints-build.txt constraints.txt constraints-stores.txt ./
# The tools that install are not part of what is installed.
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --no-deps --only-binary :all: \
        -r constraints-build.txt \
    && python -m venv --without-pip /opt/connector
COPY pyproject.toml PACKAGE.md LICENSE dagster.yaml ./
COPY connector_pipeline connector_pipeline
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /src/wheel .
# `gcs` and `azure` may be added. The sandbox's packages come with `ui`. `embedded` brings a Postgres and `dev` compilers' kin: neither may.
# A package without a wheel (nkeys) is built by the tools above; nothing here could compile C.
ARG EXTRAS=celery,metrics,nats,s3,traces,ui,webhooks
RUN wheel=$(echo /src/wheel/*.whl) \
    && hash=$(sha256sum "$wheel" | cut -c 1-64) \
    && echo "connector-pipeline[${EXTRAS}] @ file://${wheel} --hash=sha256:${hash}" > requirements.txt \
    && /opt/build/bin/pip wheel --require-hashes --no-build-isolation --wheel-dir /src/wheels \
        -c constraints.txt -c constraints-stores.txt -r requirements.txt \
    && /opt/build/bin/pip --python /opt/connector/bin/python install --no-index --no-deps \
        /src/wheels/*.whl

FROM ${PYTHON_IMAGE} AS connector
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="connector-pipeline" \
    org.opencontainers.image.description="Keeps a Postgres catalog true to merchants' shops." \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/connector/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/connector \
    CONNECTOR_HOME=/var/lib/connector \
    DAGSTER_HOME=/etc/connector
COPY --from=build /opt/connector /opt/connector
COPY dagster.yaml /etc/connector/dagster.yaml
# Dagster keeps what runs and ticks print below DAGSTER_HOME, and the root may be read-only. Not in /tmp:
# that is memory, and these files stay until runs are pruned.
RUN install -d -m 0750 -o 10001 -g 10001 /var/lib/connector \
    && ln -s /var/lib/connector /etc/connector/storage
WORKDIR /var/lib/connector
USER 10001:10001
EXPOSE 4266 3000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["connector-pipeline", "code-server", "--check"]
CMD ["connector-pipeline", "code-server", "--listen", "0.0.0.0:4266"]
