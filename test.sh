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
# Their packages' tests do not link SQLite, which would take many minutes to instrument.
echo "fuzzing, ${FUZZTIME:=10s} each"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
	go test -c -fuzz . -o "$work/fuzz.test" "$dir" # once for all targets of the package
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$dir"/*_test.go); do
		echo "$dir $target"
		# Stopped by an interrupt, which ends it well: the end of -fuzztime may count as a
		# failure without any failing input (go.dev/issue/75804, in Go before 1.27).
		(cd "$dir" && timeout --foreground --preserve-status -s INT "$FUZZTIME" "$work/fuzz.test" -test.run '^$' \
			-test.fuzz "^$target\$" -test.fuzzminimizetime 1x -test.fuzzcachedir "$work/$dir")
	done
done
