#!/usr/bin/env bash
# Prints the paths of Chromium and of its driver, which the tests of the web page need.
#
# Whatever is on PATH is taken (CHROMIUM and CHROMEDRIVER name others). Else, as root on a system with apt-get, the
# distribution's own packages are installed. Exits 1 and says why on stderr if they cannot be had.
set -euo pipefail

say() { printf 'get_chromium: %s\n' "$*" >&2; }

browser() { command -v "${CHROMIUM:-chromium}" || command -v chromium-browser || command -v google-chrome; }
driver() { command -v "${CHROMEDRIVER:-chromedriver}"; }

if ! browser >/dev/null || ! driver >/dev/null; then
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        say "no chromium and chromedriver on PATH: install both (Debian: apt-get install chromium chromium-driver)"
        exit 1
    fi
    say "installing the packages chromium and chromium-driver"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium chromium-driver fonts-liberation; } >&2 \
        || { say "apt-get could not install chromium and chromium-driver"; exit 1; }
fi
browser
driver
