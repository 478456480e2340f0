# The image for those who have Docker. `make image` puts the same files together without it.
#
#   docker build -t activity-core:0.1.0 .
#
# It holds one static program and nothing else that runs: no shell, no package manager, nobody but
# user 65532. For the same bytes each time, fix the times:
#
#   docker buildx build --build-arg SOURCE_DATE_EPOCH=0 --output type=docker,rewrite-timestamp=true -t activity-core:0.1.0 .

FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends musl-tools \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target <<'SCRIPT'
set -eu
target="$(uname -m)-unknown-linux-musl"
rustup target add "$target"
cargo build --profile image --locked --target "$target" -p bundle
mkdir -p /root-of-image/usr/local/bin /root-of-image/etc/ssl/certs /root-of-image/tmp
install -m 0755 "target/$target/image/activity-core" /root-of-image/usr/local/bin/
for program in actcore kubectl-actcore actcore-operator actcore-worker actcore-event-router actcore-api; do
  ln -s activity-core "/root-of-image/usr/local/bin/$program"
done
cp /etc/ssl/certs/ca-certificates.crt /root-of-image/etc/ssl/certs/
chmod 1777 /root-of-image/tmp
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' \
  > /root-of-image/etc/passwd
printf 'root:x:0:\nnonroot:x:65532:\n' > /root-of-image/etc/group
printf 'hosts: files dns\n' > /root-of-image/etc/nsswitch.conf
SCRIPT

FROM scratch
LABEL org.opencontainers.image.title="activity-core" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/activity-core/activity-core"
COPY --from=build /root-of-image/ /
USER 65532:65532
WORKDIR /
ENV PATH=/usr/local/bin:/usr/bin:/bin
ENTRYPOINT ["/usr/local/bin/actcore"]
