# The service's image. Pin the base by digest where it is built for keeps:
#   docker build --build-arg PYTHON_IMAGE=python@sha256:... -t shop .
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
COPY app/requirements.lock /tmp/requirements.lock
# Only wheels with the recorded hashes. pip leaves compiled bytecode beside them,
# without which every start would pay about a second of CPU for compiling.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-deps \
        --only-binary :all: --require-hashes -r /tmp/requirements.lock
COPY app /srv/app
# The data folder is made here because the last stage needs no command then.
RUN python -m compileall -q /srv/app \
    && rm /srv/app/requirements.in /srv/app/requirements.lock \
    && mkdir /srv/data

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/app /srv/app
# Nobody in particular: not root, and in no base image. Only its data is writable.
COPY --from=build --chown=10001:10001 /srv/data /srv/data
# Declared, so that Fargate mounts a volume here with this owner and not for root alone.
VOLUME /srv/data
# A volume takes over the folder's owner; without this line Fargate mounts it as root's.
VOLUME ["/srv/data"]
USER 10001:10001
WORKDIR /srv
EXPOSE 8000
STOPSIGNAL SIGTERM
# For engines that look at it; ECS asks the balancer. No library, so that a check
# costs a small task as little as it can.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-I", "-S", "-c", "import os, socket; s = socket.create_connection(('127.0.0.1', int(os.environ.get('PORT') or 8000)), 3); s.sendall(b'GET /health HTTP/1.0\\r\\n\\r\\n'); raise SystemExit(b' 200 ' not in s.recv(32))"]
CMD ["python", "-m", "app"]
