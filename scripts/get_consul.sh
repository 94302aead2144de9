#!/usr/bin/env bash
# Prints the path of a Consul binary; fetches one into .cache/consul if there is none.
#
# In this order: `consul` on PATH; one fetched before; HashiCorp's release, checked against its
# published SHA-256; on Debian the distribution's own package, whose last home is bullseye: the
# machine's own package source with only the suite changed, kept in a private apt directory.
# Nothing is installed system-wide. Exits 1 and says why on stderr if Consul cannot be had.
set -euo pipefail

VERSION="${CONSUL_VERSION:-1.20.2}"
SUITE=bullseye
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="${CONSUL_CACHE:-$HERE/.cache/consul}"
BINARY="$CACHE/bin/consul"

say() { printf 'get_consul: %s\n' "$*" >&2; }

# A binary counts once it runs here.
usable() { [[ -x "$1" ]] && "$1" version >/dev/null 2>&1; }

keep() {
    mkdir -p "$(dirname "$BINARY")"
    install -m 0755 "$1" "$BINARY.new"
    usable "$BINARY.new" || { say "$1 does not run on this machine"; rm -f "$BINARY.new"; return 1; }
    mv -f "$BINARY.new" "$BINARY"
}

from_hashicorp() {
    local arch name base work
    case "$(uname -s)-$(uname -m)" in
        Linux-x86_64) arch=linux_amd64 ;;
        Linux-aarch64) arch=linux_arm64 ;;
        Darwin-x86_64) arch=darwin_amd64 ;;
        Darwin-arm64) arch=darwin_arm64 ;;
        *) say "no release of HashiCorp's for $(uname -s) $(uname -m)"; return 1 ;;
    esac
    command -v curl >/dev/null || { say "HashiCorp's release needs curl"; return 1; }
    name="consul_${VERSION}_${arch}.zip"
    base="https://releases.hashicorp.com/consul/$VERSION"
    work="$CACHE/release"
    rm -rf "$work"
    mkdir -p "$work"
    local -a get=(curl --fail --silent --show-error --location --proto '=https' --connect-timeout 5)
    "${get[@]}" --max-time 20 -o "$work/SHA256SUMS" "$base/consul_${VERSION}_SHA256SUMS" >&2 || return 1
    "${get[@]}" --max-time 300 -o "$work/$name" "$base/$name" >&2 || return 1
    grep " $name\$" "$work/SHA256SUMS" >"$work/expected" || { say "$name is not in SHA256SUMS"; return 1; }
    (cd "$work" && if command -v sha256sum >/dev/null; then sha256sum -c expected; else shasum -a 256 -c expected; fi) >&2 || return 1
    python3 -m zipfile -e "$work/$name" "$work/out" || return 1
    keep "$work/out/consul" || return 1
    rm -rf "$work"
}

# The machine's own source of the Debian main archive, with the suite changed.
extra_source() {
    local codename="$1" list=/etc/apt/sources.list deb822=/etc/apt/sources.list.d/debian.sources
    if [[ -f "$deb822" ]] && awk -v RS='' -v from="$codename" -v to="$SUITE" '
            $0 ~ "(^|\n)Suites:[^\n]* ?" from "( |\n|$)" && !done { gsub(/(^|\n)Suites:[^\n]*/, "\nSuites: " to); print; done = 1 }
            END { exit !done }' "$deb822" | sed '/^$/d' >"$CACHE/apt/extra.sources"; then
        return 0
    fi
    rm -f "$CACHE/apt/extra.sources"
    [[ -f "$list" ]] && awk -v from="$codename" -v to="$SUITE" '
        $1 == "deb" && !done { for (i = 2; i <= NF; i++) if ($i == from) { $i = to; print; done = 1; break } }
        END { exit !done }' "$list" >"$CACHE/apt/extra.list"
}

from_debian() {
    local codename work="$CACHE/package" apt="$CACHE/apt"
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || { say "this is no Debian-like machine"; return 1; }
    codename="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")"
    rm -rf "$work" "$apt"
    mkdir -p "$work" "$apt/lists/partial" "$apt/archives/partial" "$apt/empty"
    extra_source "$codename" || { say "no package source of suite '$codename' to derive $SUITE from"; return 1; }
    local -a options=(
        -qq
        -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$apt/parts"
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt" -o "Dir::State::status=$apt/status"
        -o "APT::Sandbox::User=" -o "Acquire::Languages=none" -o "Acquire::Retries=2" -o "Acquire::http::Timeout=20"
    )
    mkdir -p "$apt/parts"
    mv "$apt"/extra.* "$apt/parts/"
    : >"$apt/status"
    apt-get "${options[@]}" update >&2 || { say "the lists of $SUITE could not be read"; return 1; }
    (cd "$work" && apt-get "${options[@]}" download consul) >&2 || { say "$SUITE's consul could not be fetched"; return 1; }
    dpkg -x "$work"/consul_*.deb "$work/out" || return 1
    keep "$work/out/usr/bin/consul" || return 1
    rm -rf "$work" "$apt" "$CACHE/release"
}

if command -v consul >/dev/null && usable "$(command -v consul)"; then
    command -v consul
    exit 0
fi
mkdir -p "$CACHE"
if command -v flock >/dev/null; then # several callers at once: one fetches, the others find it done
    exec 9>"$CACHE/lock"
    flock 9
fi
if ! usable "$BINARY"; then
    from_hashicorp || { say "HashiCorp's release could not be had; trying Debian's package"; from_debian; } || {
        say "Consul cannot be had here: put a 'consul' binary on PATH, or connect this machine to the internet"
        exit 1
    }
fi
echo "$BINARY"
