# docker build -t ferfuse .                                 CPU and CUDA: the index's own build of torch runs on both
# docker run --gpus all -v "$PWD/work:/work" ferfuse reproduce
# Not built by the project's own checks.
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends make git && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/ferfuse
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt torch torchvision \
    && pip install --no-cache-dir --constraint constraints.txt .
WORKDIR /work
ENTRYPOINT ["ferfuse"]
CMD ["--help"]
