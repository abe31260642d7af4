#!/bin/sh
# Makes and prints the home below the cache in which the tests keep images of runtimes: another one for other definitions.
cd "$(dirname "$0")/.." || exit 2
what=$({ grep 'define IMAGE_FORMAT' backends/image.h; cat backends/runtimes/*/*.ini; } | sha256sum | cut -c1-12)
home=${AT_RUND_DEPS:-${HOME:-/root}/.cache/at-rund}/images-$what
mkdir -p "$home" || exit 1
echo "$home"
