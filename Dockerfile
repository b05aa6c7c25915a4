# A static binary, run as nobody: vpnbot needs no shell, no libc and no root.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /vpnbot ./cmd/vpnbot

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/share/zoneinfo /usr/share/zoneinfo
COPY --from=build /vpnbot /vpnbot
USER 65534:65534
WORKDIR /data
VOLUME /data
ENTRYPOINT ["/vpnbot"]
CMD ["serve", "--config", "/data/config.yaml"]
