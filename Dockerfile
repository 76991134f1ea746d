# omni-connector as an image: docs/containers.md. Nothing here depends on the processor, so
#   docker buildx build --platform linux/amd64,linux/arm64 -t NAME .
# builds for both. Another base with Python 3.11 or newer: --build-arg PYTHON_IMAGE=…
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# Packages come from wherever pip is told to look: these arguments, or a whole pip.conf as a build secret
# (--secret id=pip.conf,src=$HOME/.config/pip/pip.conf), which leaves no trace in any layer.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY requirements-container.lock /build/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --require-hashes --only-binary :all: \
       -r /build/requirements-container.lock
COPY app.py LICENSE /opt/omni-connector/
COPY omni_connector /opt/omni-connector/omni_connector
COPY migrations /opt/omni-connector/migrations
COPY static /opt/omni-connector/static
COPY deploy/image /opt/omni-connector/image
# The program stands beside the environment, which finds it by a path; compiled here, because nobody can write there later.
RUN echo /opt/omni-connector > "$(/opt/venv/bin/python -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/omni_connector.pth" \
    && install -m 755 /opt/omni-connector/image/omni-connector /opt/venv/bin/omni-connector \
    && /opt/venv/bin/python -I -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib /opt/omni-connector \
    && omni_version="$(/opt/venv/bin/omni-connector --version)" && echo "built: ${omni_version}"

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="omni-connector" \
      org.opencontainers.image.description="One key for every AI account you own: a gateway that routes, translates, fails over and keeps exact books." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Group 0 may write as well: platforms that choose the user themselves (OpenShift, --user 1000:0) leave it that group.
RUN groupadd --gid 10001 omni \
    && useradd --uid 10001 --gid omni --home-dir /data --no-create-home --shell /usr/sbin/nologin omni \
    && install -d -o 10001 -g 0 -m 0770 /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/omni-connector /opt/omni-connector
# Everything that is written lies below /data. The password that other machines need is made at the first start and printed once,
# unless OMNI_ADMIN_PASSWORD or OMNI_ADMIN_PASSWORD_FILE says one.
ENV PATH=/opt/venv/bin:$PATH \
    LANG=C.UTF-8 \
    HOME=/data \
    OMNI_HOME=/data/omni \
    OMNI_HOST=0.0.0.0 \
    OMNI_ALLOW_REMOTE=1 \
    OMNI_FIRST_PASSWORD=1 \
    OMNI_LOG_TARGET=stderr
WORKDIR /data
VOLUME /data
EXPOSE 38471
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["/opt/venv/bin/python", "-IBS", "/opt/omni-connector/image/healthy.py"]
ENTRYPOINT ["/opt/venv/bin/python", "-IBS", "/opt/omni-connector/image/first.py"]
CMD ["serve"]
