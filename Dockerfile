# A watcher in a container; `docker compose up` uses it, see compose.yaml and docs/how-to/run-on-a-vps.md.
# The bookworm and python tags are those that the tests run on.

FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# What .dockerignore lets through, no more: tests, documents and keys stay outside.
COPY constraints.txt pyproject.toml README.md ./
COPY lib ./lib
COPY job_runner ./job_runner
COPY job_watcher ./job_watcher
RUN python -m venv /opt/job-runner \
    && /opt/job-runner/bin/pip install --constraint constraints.txt ".[s3]"

FROM python:3.11-slim-bookworm

LABEL org.opencontainers.image.title="job-runner" \
      org.opencontainers.image.description="A batch queue for AI work: a watcher, and the command line" \
      org.opencontainers.image.licenses="MIT"

# Made here with their owner, so that a volume that is mounted over them belongs to the watcher too.
RUN groupadd --gid 10001 job-runner \
    && useradd --uid 10001 --gid job-runner --home-dir /var/lib/job-runner --shell /usr/sbin/nologin job-runner \
    && install --directory --owner=job-runner --group=job-runner --mode=0750 /var/lib/job-runner /var/lib/job-runner/output
COPY --from=build /opt/job-runner /opt/job-runner

ENV PATH=/opt/job-runner/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    JOBS_STATE_DIR=/var/lib/job-runner
WORKDIR /var/lib/job-runner
# By number: whoever checks that the container is not root need not know the name.
USER 10001:10001
VOLUME ["/var/lib/job-runner"]
EXPOSE 9464
STOPSIGNAL SIGTERM

# By the watcher's last round trip with Redis, not by its pid. The name is the one that a watcher takes by itself, and
# the container's host name is its own, so that another container with the same volume does not answer for this one.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=2 \
    CMD ["sh", "-c", "job-watcher ping --consumer-name \"$(hostname)-1\""]

# Exec form: SIGTERM reaches the watcher. Run it with an init (`docker run --init`, `init: true`), which collects what
# a job's process may leave behind.
ENTRYPOINT ["job-watcher"]
CMD ["--log-json", "--metrics-port", "9464", "--metrics-host", "0.0.0.0"]
