# Airflow with Winnow installed as a package. One image for every service of docker-compose.yml.
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.12
FROM ${AIRFLOW_IMAGE} AS build
# A C compiler for the kernels: in this stage only.
USER root
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
USER airflow
COPY --chown=airflow:0 pyproject.toml README.md LICENSE /src/
COPY --chown=airflow:0 etl /src/etl
COPY --chown=airflow:0 config /src/config
COPY --chown=airflow:0 kernels /src/kernels
# The pins of the lock without its hashes, as constraints: the image brings Airflow and its providers itself.
COPY --chown=airflow:0 requirements.lock /src/
RUN sed -n 's/^\([A-Za-z0-9._-]*==[^ ;\\]*\).*/\1/p' /src/requirements.lock | grep -v -i '^apache-airflow' > /src/pins.txt \
 && pip wheel --no-cache-dir --no-deps --wheel-dir /src/dist /src /src/kernels

FROM ${AIRFLOW_IMAGE}
COPY --from=build /src/dist /src/pins.txt /tmp/winnow/
# Airflow stays the image's own version, whatever a dependency would like.
RUN pip install --no-cache-dir --constraint /tmp/winnow/pins.txt "apache-airflow==${AIRFLOW_VERSION}" /tmp/winnow/*.whl \
 && python -c "import etl.pipeline, etl_kernels"
COPY --chown=airflow:0 dags /opt/airflow/dags
# The image's user is airflow (50000), not root.
USER airflow
