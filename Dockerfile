# The README's steps in a container: `pip install .`, then `gw up`.
FROM python:3.12-slim AS build
# A compiler for the modules of the hot path; without one they are installed as Python.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python -m venv /opt/gw
COPY . .
RUN /opt/gw/bin/pip install --no-cache-dir .

FROM python:3.12-slim
COPY --from=build /opt/gw /opt/gw
ENV PATH=/opt/gw/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/gw gw
USER gw
WORKDIR /var/lib/gw
EXPOSE 8080 9901
# Liveness, over loopback inside the container: the admin address must answer there (GW_ADMIN when it is not the default).
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["gw", "status", "--json"]
STOPSIGNAL SIGTERM
CMD ["gw", "up"]
