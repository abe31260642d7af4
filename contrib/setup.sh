# shellcheck shell=sh
# What a machine needs for at-rund, and how it gets there.  Sourced by demo.sh and check.sh, after which
#
#     setup_need run build        installs what is missing of these sets, says what, and calls nobody when all is there
#
# sets up Debian packages and npm packages.  The latter lie in $AT_RUND_DEPS (default ~/.cache/at-rund), outside of
# the checkout, so that fresh clones and second runs find them.  Afterwards PATH has deno, and in the set `test`
# AT_RUND_PDS_NODE and AT_RUND_PDS_MODULES say how to start tests/pds/start.mjs.

AT_RUND_DEPS=${AT_RUND_DEPS:-${HOME:-/root}/.cache/at-rund}
export AT_RUND_DEPS

SETUP_DENO=2.9.6
SETUP_NODE=20.20.2
SETUP_PDS=0.4.217
SETUP_PLC=0.0.1
SETUP_LEXICON=0.6.2
SETUP_GYP=10.3.1
SETUP_SODIUM=0.7.15
SETUP_PLAYWRIGHT=1.65.1
SETUP_AXE=4.14.1
SETUP_GRPC=1.14.7
SETUP_OTLP=0.57.2

setup_say() {
	printf 'setup: %s\n' "$*" >&2
}

setup_die() {
	setup_say "$*"
	exit 69
}

# One line a set: Debian packages, each with the file or command that shows it is there ("cmd:" or "dpkg:").
# A command counts from wherever it comes: a node of another repository is as good as Debian's.
setup_debian() {
	case $1 in
	build)
		echo cmd:gcc=gcc cmd:make=make dpkg:libc6-dev dpkg:libfcgi-dev dpkg:libcjson-dev dpkg:libinih-dev \
		    dpkg:libsqlite3-dev dpkg:libcurl4-openssl-dev dpkg:libarchive-dev dpkg:libsodium-dev \
		    dpkg:libssl-dev dpkg:libsecp256k1-dev dpkg:libseccomp-dev dpkg:libnanopb-dev cmd:nanopb_generator.py=nanopb \
		    cmd:protoc=protobuf-compiler
		;;
	run)
		echo cmd:lighttpd=lighttpd cmd:curl=curl cmd:python3=python3 cmd:node=nodejs cmd:npm=npm \
		    cmd:sqlite3=sqlite3 cmd:bwrap=bubblewrap cmd:nix-instantiate=nix-bin dpkg:ca-certificates \
		    cmd:podman=podman cmd:runc=runc cmd:newuidmap=uidmap cmd:mmdebstrap=mmdebstrap dpkg:tzdata
		;;
	test)
		echo cmd:g++=g++ dpkg:libcmocka-dev cmd:apache2=apache2 dpkg:libapache2-mod-fcgid cmd:nginx=nginx \
		    cmd:caddy=caddy cmd:git=git cmd:dockerd=docker.io cmd:runsc=runsc cmd:clang-14=clang-14 dpkg:libclang-rt-14-dev dpkg:libfaketime \
		    dpkg:python3-croniter cmd:chromium=chromium dpkg:fonts-liberation \
		    dpkg:build-essential cmd:dpkg-buildpackage=dpkg-dev cmd:dh=debhelper cmd:lintian=lintian \
		    cmd:crontab=cron cmd:prometheus=prometheus cmd:zsh=zsh cmd:fish=fish cmd:age=age
		;;
	lint)
		echo cmd:clang-tidy=clang-tidy cmd:cppcheck=cppcheck cmd:mandoc=mandoc cmd:shellcheck=shellcheck \
		    cmd:systemd-analyze=systemd
		;;
	bench) echo cmd:wrk=wrk ;;
	*)
		setup_die "no set of packages is called '$1'"
		;;
	esac
}

setup_has() {
	case $1 in
	cmd:*)
		setup_cmd=${1#cmd:}
		PATH=$PATH:/usr/sbin:/sbin command -v "${setup_cmd%%=*}" >/dev/null 2>&1
		;;
	dpkg:*)
		[ "$(dpkg-query -W -f='${db:Status-Status}' "${1#dpkg:}" 2>/dev/null)" = installed ]
		;;
	esac
}

setup_package() {
	case $1 in
	cmd:*) echo "${1##*=}" ;;
	dpkg:*) echo "${1#dpkg:}" ;;
	esac
}

setup_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# Debian starts a web server the moment it is installed, on port 80.  Nobody asked for that here: while we install,
# policy-rc.d says no, and afterwards the units of servers that are new on this machine are disabled.
setup_apt() {
	if ! command -v apt-get >/dev/null 2>&1; then
		setup_die "missing: $*; this machine has no apt-get, install their like by hand"
	fi
	if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
		setup_die "missing, and neither root nor sudo here; as root run: apt-get install --no-install-recommends $*"
	fi
	setup_say "installing Debian packages: $*"
	setup_policy=
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		setup_policy=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' | setup_root tee "$setup_policy" >/dev/null
		setup_root chmod 755 "$setup_policy"
	fi
	setup_rc=0
	setup_root apt-get -qq update </dev/null >&2 || setup_say "apt-get update failed; trying with the lists that are here"
	setup_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 \
	    install --no-install-recommends "$@" </dev/null >&2 || setup_rc=$?
	[ -z "$setup_policy" ] || setup_root rm -f "$setup_policy"
	[ "$setup_rc" -eq 0 ] || setup_die "apt-get could not install: $*"
	for setup_unit in lighttpd apache2 nginx caddy prometheus; do
		case " $* " in
		*" $setup_unit "*)
			if [ -d /run/systemd/system ]; then
				setup_root systemctl disable --now "$setup_unit" >/dev/null 2>&1 || :
				setup_say "$setup_unit is installed but not started at boot: systemctl enable --now $setup_unit"
			fi
			;;
		esac
	done
}

# npm as it is here, without its scripts: npm 11 refuses install scripts that nobody approved, npm 9 and 10 run them,
# so we always ignore them and do by hand what they would have done.
setup_npm() {
	setup_dir=$1
	shift
	mkdir -p "$setup_dir"
	[ -f "$setup_dir/package.json" ] || printf '{"private":true}\n' >"$setup_dir/package.json"
	setup_say "installing npm packages into $setup_dir: $*"
	if ! npm install --prefix "$setup_dir" --ignore-scripts --no-audit --no-fund --no-package-lock --save-exact \
	    --loglevel=error --no-update-notifier "$@" </dev/null >&2; then
		setup_die "npm could not install: $*"
	fi
}

# A finished directory carries a mark that names its versions; a half-made one is made again.
setup_done() {
	[ "$(cat "$1/.done" 2>/dev/null)" = "$2" ]
}

setup_deno() {
	if command -v deno >/dev/null 2>&1 && deno --version >/dev/null 2>&1; then
		return
	fi
	setup_mark="deno $SETUP_DENO"
	if ! setup_done "$AT_RUND_DEPS/run" "$setup_mark"; then
		setup_npm "$AT_RUND_DEPS/run" "deno@$SETUP_DENO"
		setup_found=
		for setup_deno in "$AT_RUND_DEPS"/run/node_modules/@deno/*/deno; do
			[ -f "$setup_deno" ] && setup_found=$setup_deno
		done
		[ -n "$setup_found" ] || setup_die "npm brought no deno for $(uname -sm)"
		chmod 755 "$setup_found"
		mkdir -p "$AT_RUND_DEPS/bin"
		ln -sf "$setup_found" "$AT_RUND_DEPS/bin/deno"
		"$AT_RUND_DEPS/bin/deno" --version >/dev/null 2>&1 || setup_die "$setup_found does not run here"
		echo "$setup_mark" >"$AT_RUND_DEPS/run/.done"
	fi
	PATH=$AT_RUND_DEPS/bin:$PATH
	export PATH
}

# The PDS of the tests needs node 20 with its headers (better-sqlite3 is compiled once); Debian 12 has node 18.
setup_node20() {
	AT_RUND_PDS_NODE=
	setup_node=$(command -v node || :)
	if [ -n "$setup_node" ] && [ -z "${AT_RUND_NPM_NODE:-}" ]; then
		setup_node=$(readlink -f "$setup_node")
		setup_top=${setup_node%/bin/node}
		case $(node --version 2>/dev/null) in
		v20.* | v21.* | v22.*)
			if [ -f "$setup_top/include/node/node.h" ]; then
				AT_RUND_PDS_NODE=$setup_node
				setup_nodedir=$setup_top
			fi
			;;
		esac
	fi
	if [ -z "$AT_RUND_PDS_NODE" ]; then
		case $(uname -m) in
		x86_64) setup_arch=x64 ;;
		aarch64) setup_arch=arm64 ;;
		*) setup_die "no npm package holds node for $(uname -m); install node 20 with its headers" ;;
		esac
		setup_nodedir=$AT_RUND_DEPS/node/node_modules/node-linux-$setup_arch
		if ! setup_done "$AT_RUND_DEPS/node" "node $SETUP_NODE"; then
			setup_npm "$AT_RUND_DEPS/node" "node-linux-$setup_arch@$SETUP_NODE"
			"$setup_nodedir/bin/node" --version >/dev/null 2>&1 || setup_die "$setup_nodedir/bin/node does not run here"
			echo "node $SETUP_NODE" >"$AT_RUND_DEPS/node/.done"
		fi
		AT_RUND_PDS_NODE=$setup_nodedir/bin/node
	fi
	export AT_RUND_PDS_NODE
}

setup_pds() {
	setup_node20
	setup_test=$AT_RUND_DEPS/test
	AT_RUND_PDS_MODULES=$setup_test/node_modules
	export AT_RUND_PDS_MODULES
	setup_abi=$("$AT_RUND_PDS_NODE" -p process.versions.modules)
	setup_mark="pds $SETUP_PDS plc $SETUP_PLC lexicon $SETUP_LEXICON abi $setup_abi"
	if setup_done "$setup_test" "$setup_mark"; then
		return
	fi
	# @atproto/repo, crypto, xrpc-server and identity, which give a second opinion (tests/e2e/opinion.mjs), come with the PDS.
	setup_npm "$setup_test" "@atproto/pds@$SETUP_PDS" "@did-plc/server@$SETUP_PLC" "@atproto/lexicon@$SETUP_LEXICON" \
	    "node-gyp@$SETUP_GYP"
	setup_say "compiling better-sqlite3 for the PDS of the tests (once, about two minutes)"
	setup_sqlite=$setup_test/node_modules/better-sqlite3
	if ! (cd "$setup_sqlite" && PATH=$(dirname "$AT_RUND_PDS_NODE"):$PATH \
	    "$AT_RUND_PDS_NODE" "$setup_test/node_modules/node-gyp/bin/node-gyp.js" rebuild --release \
	    --nodedir="$setup_nodedir" </dev/null >build.log 2>&1); then
		tail -n 20 "$setup_sqlite/build.log" >&2
		setup_die "better-sqlite3 could not be compiled, see $setup_sqlite/build.log"
	fi
	echo "$setup_mark" >"$setup_test/.done"
}

# What an author who seals secrets in JavaScript installs (contrib/seal.mjs).
setup_sodium() {
	setup_mark="libsodium-wrappers $SETUP_SODIUM"
	if ! setup_done "$AT_RUND_DEPS/sodium" "$setup_mark"; then
		setup_npm "$AT_RUND_DEPS/sodium" "libsodium-wrappers@$SETUP_SODIUM"
		echo "$setup_mark" >"$AT_RUND_DEPS/sodium/.done"
	fi
}

# Hands and eyes for Debian's chromium (tests/e2e/browser.mjs): playwright-core brings no browser of its own.
setup_browser() {
	setup_mark="playwright-core $SETUP_PLAYWRIGHT axe-core $SETUP_AXE"
	if ! setup_done "$AT_RUND_DEPS/browser" "$setup_mark"; then
		setup_npm "$AT_RUND_DEPS/browser" "playwright-core@$SETUP_PLAYWRIGHT" "axe-core@$SETUP_AXE"
		echo "$setup_mark" >"$AT_RUND_DEPS/browser/.done"
	fi
}

# A collector for tests/e2e/test_otel.py: gRPC, and the messages as OpenTelemetry publishes them.
setup_otel() {
	setup_mark="grpc-js $SETUP_GRPC otlp-transformer $SETUP_OTLP"
	if ! setup_done "$AT_RUND_DEPS/otel" "$setup_mark"; then
		setup_npm "$AT_RUND_DEPS/otel" "@grpc/grpc-js@$SETUP_GRPC" "@opentelemetry/otlp-transformer@$SETUP_OTLP"
		echo "$setup_mark" >"$AT_RUND_DEPS/otel/.done"
	fi
}

# An ordinary user's podman needs user ids to give away; www-data plays him in the tests.
setup_subuids() {
	[ "$(id -u)" -eq 0 ] && id www-data >/dev/null 2>&1 || return 0
	grep -q '^www-data:' /etc/subuid 2>/dev/null || usermod --add-subuids 231072-296607 --add-subgids 231072-296607 www-data
}

setup_need() {
	setup_missing=
	for setup_set in "$@"; do
		for setup_item in $(setup_debian "$setup_set"); do
			setup_has "$setup_item" || setup_missing="$setup_missing $(setup_package "$setup_item")"
		done
	done
	# shellcheck disable=SC2086  # a list of words
	[ -z "$setup_missing" ] || setup_apt $setup_missing
	for setup_set in "$@"; do
		case $setup_set in
		run) setup_deno ;;
		test) setup_pds && setup_sodium && setup_browser && setup_otel && setup_subuids ;;
		esac
	done
}
