#!/bin/sh
# Installs at-rund on this machine: looks what is there, installs Debian packages that are missing (or says which), builds,
# installs below PREFIX, and lets `at-rund doctor` tell what works.
set -eu

usage() {
	cat <<'END'
sh contrib/install.sh                       programs to /usr/local, as root or with sudo
sh contrib/install.sh --prefix ~/at-rund    for you alone, without root: shared hosts
sh contrib/install.sh --check               only say what is here and what is missing

  --prefix DIR   where to (/usr/local)
  --no-packages  install no Debian packages, only say which are missing
  --check        change nothing
  --help         this text

Nothing is started and no config is written; the last lines say how to go on.
END
}

prefix=/usr/local packages=1 check=
while [ $# -gt 0 ]; do
	case $1 in
	--prefix)
		prefix=${2:?--prefix needs a directory}
		shift
		;;
	--prefix=*) prefix=${1#--prefix=} ;;
	--no-packages) packages= ;;
	--check) check=1 ;;
	--help | -h)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 64
		;;
	esac
	shift
done
case $prefix in
/*) ;;
*) prefix=$PWD/$prefix ;;
esac

cd "$(dirname "$0")/.."
. contrib/setup.sh

say() {
	printf '%s\n' "$*"
}

# What the kernel and the machine offer for walls; each is told, none is needed.
look() {
	say "machine: $(uname -sm), kernel $(uname -r), $(nproc) processors, $(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo |
	    awk '{ print int($1 / 1024) }') MiB"
	if unshare -Ur true 2>/dev/null; then
		say "sandbox: user namespaces work"
	else
		say "sandbox: no user namespaces for you here; the wall sandbox will not stand"
	fi
	if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
		say "firecracker: /dev/kvm is yours"
	else
		say "firecracker: no /dev/kvm for you"
	fi
	for tool in podman docker bwrap; do
		if command -v $tool >/dev/null 2>&1; then
			say "$tool: $(command -v $tool)"
		fi
	done
	for tool in lighttpd nginx apache2 caddy; do
		if setup_has cmd:$tool=$tool; then
			say "web server: $tool"
		fi
	done
	if [ -d /run/systemd/system ]; then
		say "systemd: runs here"
	else
		say "systemd: does not run here; at-rund ensure in your crontab keeps the runner alive"
	fi
}

missing() {
	for item in $(setup_debian build) $(setup_debian run); do
		setup_has "$item" || setup_package "$item"
	done | sort -u | tr '\n' ' '
}

look
need=$(missing)
if [ -n "$need" ]; then
	say "missing Debian packages: $need"
	if [ -z "$check" ] && [ -n "$packages" ]; then
		# shellcheck disable=SC2086  # a list of words
		setup_apt $need
	fi
else
	say "every Debian package is here"
fi
if [ -n "$check" ]; then
	exit 0
fi

say "building"
make -s -j"$(nproc)" PREFIX="$prefix" all
say "installing below $prefix"
parent=$prefix
while [ ! -e "$parent" ]; do
	parent=$(dirname "$parent")
done
if [ -w "$parent" ]; then
	make -s PREFIX="$prefix" install
else
	setup_root make -s PREFIX="$prefix" install
fi

bin=$prefix/bin/at-rund
"$bin" --version | head -n 1
case ":$PATH:" in
*":$prefix/bin:"*) ;;
*) say "add $prefix/bin to your PATH" ;;
esac
if "$bin" doctor --help >/dev/null 2>&1; then
	"$bin" doctor || :
fi
if [ "$(id -u)" -eq 0 ] && [ -d /run/systemd/system ]; then
	say "next: at-rund init --system, edit /etc/at-rund/config.ini, at-rund systemd install, at-rund web-config SERVER"
else
	say "next: at-rund init, edit ~/.at-rund/config.ini, at-rund serve, at-rund web-config SERVER"
fi
