# The images of this project: `service` (what `docker build .` makes) and `runbook`.
# `make image` builds them; docs/image.md says why they look like this, with measured sizes.
#
# BASE is a Debian with Python, pip and venv, named by digest: python:3.13-slim@sha256:...
# It has no default, because a tag means another image every week. `make image` asks the
# registry for the tag's digest of today, unless one is given.
ARG BASE

FROM ${BASE} AS base
ARG BASE
RUN case "${BASE}" in \
        *@sha256:*) ;; \
        *) echo "The base is not pinned: BASE=${BASE} has no digest; use make image, or --build-arg BASE=NAME@sha256:..." >&2; exit 2 ;; \
    esac
ENV PIP_CONFIG_FILE=/run/secrets/pip_conf \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

# --- the service -----------------------------------------------------------------------------
FROM base AS libraries
COPY app/requirements.lock /tmp/requirements.lock
# Only wheels with the recorded hashes. The secrets say where pip finds them and whom it trusts
# (an index of one's own, with its password); they are mounted, so no layer keeps them.
RUN --mount=type=secret,id=pip_conf --mount=type=secret,id=ca_bundle \
    python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-compile --no-deps \
        --only-binary :all: --require-hashes -r /tmp/requirements.lock

FROM libraries AS files
COPY app /srv/app
# What the service needs of the base: the interpreter, its library without what only developers
# use, every shared library that one of them or the service's own packages are linked with, the
# trusted authorities, the system's name and the packages' list (scanners read those two).
# Everything is compiled, whatever the files' dates: a read-only task cannot keep bytecode, and
# would pay a second of CPU at every start. Nobody's user 10001 owns the data folder.
RUN python=$(python -c 'import os, sys; print(os.path.realpath(sys.executable))') \
    && stdlib=$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') \
    && mkdir -p /rootfs/etc/ssl/certs /rootfs/srv /rootfs/var/lib/dpkg \
    && install -d -m 1777 /rootfs/tmp \
    && cp -a --parents -t /rootfs "${python}" "${stdlib}" \
    && for part in dist-packages site-packages ensurepip idlelib lib2to3 pydoc_data test tkinter turtledemo; \
        do rm -rf "/rootfs${stdlib:?}/${part}"; done \
    && find "/rootfs${stdlib}/lib-dynload" \( -name '_test*' -o -name '_ctypes_test*' -o -name '_tkinter*' \) -delete \
    && rm -rf "/rootfs${stdlib:?}"/config-* \
    && find "/rootfs${stdlib}" /opt/venv -name '*.pyi' -delete \
    && find "/rootfs${stdlib}" -name '*.pyc' -delete \
    && find "${python}" "/rootfs${stdlib}" /opt/venv -type f \( -name '*.so' -o -name '*.so.*' -o -path "${python}" \) -exec ldd {} ';' > /tmp/linked \
    && awk '$2 == "=>" && $3 ~ "^/" {print $3} NF == 2 && $1 ~ "^/" {print $1}' /tmp/linked > /tmp/shared \
    && sort -u /tmp/shared -o /tmp/shared \
    && sed -i '\:^/opt/venv/:d' /tmp/shared \
    && xargs cp -L --parents -t /rootfs < /tmp/shared \
    && cp -rL --parents -t /rootfs /etc/os-release /etc/ld.so.conf /etc/ld.so.conf.d /var/lib/dpkg/status \
    && ldconfig -r /rootfs \
    && if [ -e /etc/ssl/certs/ca-certificates.crt ]; then cp -L /etc/ssl/certs/ca-certificates.crt /rootfs/etc/ssl/certs/; fi \
    && echo 'service:x:10001:10001::/srv:/nonexistent' > /rootfs/etc/passwd \
    && echo 'service:x:10001:' > /rootfs/etc/group \
    && rm -rf /opt/venv/include /srv/app/requirements.* \
    && find /opt/venv/bin -mindepth 1 -delete \
    && ln -s "${python}" /opt/venv/bin/python \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /rootfs "/rootfs${stdlib}" \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/venv /srv/app \
    && install -d -o 10001 -g 10001 /data

# --- the runbook, for scheduled runs: python -m runbook run NOTEBOOK --env ENV -----------------
FROM base AS tools
COPY runbook/requirements.lock /tmp/requirements.lock
RUN --mount=type=secret,id=pip_conf --mount=type=secret,id=ca_bundle \
    python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-deps --only-binary :all: \
        --require-hashes -r /tmp/requirements.lock
COPY pyproject.toml README.md /srv/
COPY runbook /srv/runbook
# Sceptre finds the runbook's hooks and resolvers by the installed package's entry points.
RUN python -m pip --python /opt/venv/bin/python install --no-deps --no-build-isolation --no-index \
        --editable /srv \
    && python -m compileall -q --invalidation-mode unchecked-hash /srv/runbook \
    && install -d -o 10001 -g 10001 /runs

# It starts kernels and renders pages, so it keeps the base's tools: nothing reaches it from outside.
FROM ${BASE} AS runbook
ARG BASE
LABEL org.opencontainers.image.title="shop-runbook" \
      org.opencontainers.image.base.name="${BASE}"
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RUNBOOK_PROJECT=/srv
COPY --from=tools /opt/venv /opt/venv
COPY --from=tools /srv /srv
# The service's files and the Dockerfile too: their digest names the image that is deployed.
COPY Dockerfile /srv/
COPY app /srv/app
COPY sceptre /srv/sceptre
COPY notebooks /srv/notebooks
COPY --from=tools --chown=10001:10001 /runs /srv/runs
VOLUME ["/srv/runs"]
USER 10001:10001
WORKDIR /srv
CMD ["python", "-m", "runbook", "list"]

# --- the service again: the last stage is what a plain build makes ----------------------------
FROM scratch AS service
ARG BASE
LABEL org.opencontainers.image.title="shop" \
      org.opencontainers.image.base.name="${BASE}"
ENV PATH=/opt/venv/bin \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    TMPDIR=/srv/data
# From what seldom changes to what often does: a push sends, and a host pulls, what is new.
COPY --from=files /rootfs /
COPY --from=files /opt/venv /opt/venv
COPY --from=files /srv/app /srv/app
COPY --from=files --chown=10001:10001 /data /srv/data
# Declared, so that Fargate mounts a volume here with this owner and not for root alone. It is
# all the service writes to: the root file system may be read-only.
VOLUME ["/srv/data"]
USER 10001:10001
WORKDIR /srv
EXPOSE 8000
STOPSIGNAL SIGTERM
# For engines that look at it; ECS takes the task definition's, and asks the balancer. No
# library is loaded, so that a check costs a small task as little as it can.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-I", "-S", "-c", "import os, socket; s = socket.create_connection(('127.0.0.1', int(os.environ.get('PORT') or 8000)), 3); s.sendall(b'GET /health HTTP/1.0\\r\\n\\r\\n'); raise SystemExit(b' 200 ' not in s.recv(32))"]
CMD ["python", "-m", "app"]
