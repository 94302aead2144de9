#!/usr/bin/env bash
# Prints the folder that holds `prometheus` and `promtool`; fetches them into .cache/prometheus if there are none.
#
# In this order: those on PATH; those fetched before; the project's release, checked against its published SHA-256;
# on Debian and its like the distribution's own package, unpacked and not installed. Nothing is installed system-wide
# and no service is started. Exits 1 and says why on stderr if Prometheus cannot be had.
set -euo pipefail

VERSION="${PROMETHEUS_VERSION:-2.53.4}"
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="${PROMETHEUS_CACHE:-$HERE/.cache/prometheus}"
BIN="$CACHE/bin"

say() { printf 'get_prometheus: %s\n' "$*" >&2; }

# A folder counts once both programs in it run here.
usable() { [[ -x "$1/prometheus" && -x "$1/promtool" ]] && "$1/prometheus" --version >/dev/null 2>&1 && "$1/promtool" --version >/dev/null 2>&1; }

keep() {
    usable "$1" || { say "the programs in $1 do not run on this machine"; return 1; }
    rm -rf "$BIN" "$BIN.new"
    mkdir -p "$BIN.new"
    install -m 0755 "$1/prometheus" "$1/promtool" "$BIN.new"
    mv "$BIN.new" "$BIN"
}

from_release() {
    local system machine name base work="$CACHE/release"
    system="$(uname -s | tr '[:upper:]' '[:lower:]')"
    case "$(uname -m)" in
        x86_64) machine=amd64 ;;
        aarch64 | arm64) machine=arm64 ;;
        *) say "no release for $(uname -m)"; return 1 ;;
    esac
    command -v curl >/dev/null || { say "the release needs curl"; return 1; }
    name="prometheus-$VERSION.$system-$machine"
    base="https://github.com/prometheus/prometheus/releases/download/v$VERSION"
    rm -rf "$work"
    mkdir -p "$work"
    local -a get=(curl --fail --silent --show-error --location --proto '=https' --connect-timeout 5)
    "${get[@]}" --max-time 20 -o "$work/sha256sums.txt" "$base/sha256sums.txt" >&2 || return 1
    "${get[@]}" --max-time 300 -o "$work/$name.tar.gz" "$base/$name.tar.gz" >&2 || return 1
    grep " $name.tar.gz\$" "$work/sha256sums.txt" >"$work/expected" || { say "$name is not in sha256sums.txt"; return 1; }
    (cd "$work" && if command -v sha256sum >/dev/null; then sha256sum -c expected; else shasum -a 256 -c expected; fi) >&2 || return 1
    tar -xzf "$work/$name.tar.gz" -C "$work" "$name/prometheus" "$name/promtool" || return 1
    keep "$work/$name" || return 1
    rm -rf "$work"
}

# The machine's own package sources, with lists of our own: nobody has to be root, nor to have updated them.
from_debian() {
    local work="$CACHE/package" apt="$CACHE/apt"
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || { say "this is no Debian-like machine"; return 1; }
    rm -rf "$work" "$apt"
    mkdir -p "$work" "$apt/lists/partial" "$apt/archives/partial"
    local -a options=(
        -qq -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt" -o "APT::Sandbox::User="
        -o "Acquire::Languages=none" -o "Acquire::Retries=2" -o "Acquire::http::Timeout=20"
    )
    apt-get "${options[@]}" update >&2 || { say "the lists of packages could not be read"; return 1; }
    (cd "$work" && apt-get "${options[@]}" download prometheus) >&2 || { say "the package could not be fetched"; return 1; }
    dpkg -x "$work"/prometheus_*.deb "$work/out" || return 1
    keep "$work/out/usr/bin" || return 1
    rm -rf "$work" "$apt" "$CACHE/release"
}

if command -v prometheus >/dev/null && usable "$(dirname "$(command -v prometheus)")"; then
    dirname "$(command -v prometheus)"
    exit 0
fi
mkdir -p "$CACHE"
if command -v flock >/dev/null; then # several callers at once: one fetches, the others find it done
    exec 9>"$CACHE/lock"
    flock 9
fi
if ! usable "$BIN"; then
    from_release || { say "the release could not be had; trying the distribution's package"; from_debian; } || {
        say "Prometheus cannot be had here: put 'prometheus' and 'promtool' on PATH, or connect this machine to the internet"
        exit 1
    }
fi
echo "$BIN"
