#!/usr/bin/env bash
# Runs every test. What they need beside Go (Chromium for the page, PostgreSQL for the
# second store, tshark as a second opinion on packets) is installed from Debian when missing.
set -euo pipefail
cd "$(dirname "$0")"

need() { # command package
	command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
missing=()
need chromium chromium
need tshark tshark
need python3 python3
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
command -v gcc >/dev/null 2>&1 || missing+=(gcc libc6-dev) # the race detector needs cgo
if ((${#missing[@]})); then
	echo "installing: ${missing[*]}"
	if [ "$(id -u)" != 0 ]; then
		echo "test.sh: needs root once to install ${missing[*]}, or install them yourself" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q >/dev/null
	apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi

echo "gofmt"
unformatted=$(gofmt -l $(git ls-files '*.go' 2>/dev/null || find . -name '*.go'))
if [ -n "$unformatted" ]; then
	echo "gofmt wants: $unformatted" >&2
	exit 1
fi
echo "go vet"
go vet ./...
echo "staticcheck"
go tool staticcheck ./...
echo "go build (static)"
CGO_ENABLED=0 go build -o /dev/null ./cmd/vpnbot
echo "go test -race"
go test -race -timeout 20m ./... "$@"

# Every parser of foreign bytes is fuzzed for a moment; the kept corpus ran with the tests.
# Not where the test links SQLite: to instrument that takes many minutes.
echo "fuzzing, ${FUZZTIME:=10s} each"
grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
	dir=$(dirname "$file")
	if go list -test -deps "$dir" | grep -q '^modernc.org/sqlite'; then
		echo "not fuzzed here: $dir"
		continue
	fi
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 1x "$dir"
	done
done
