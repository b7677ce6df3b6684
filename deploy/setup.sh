#!/bin/sh
# Makes a fresh checkout ready: `setup.sh venv` makes .venv from requirements.lock, `setup.sh services` sees to
# RabbitMQ and PostgreSQL, `setup.sh tools` to what the tests need besides, `setup.sh bench` to the programs that
# `make bench` compares with. The Makefile calls them and remembers by stamp files what is done.
#
# On Debian and Ubuntu, root gets what is missing with apt-get; nobody else's machine is changed. The packages' own
# system services are not started. Everything the tools print goes to .run/setup.log.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
venv=.venv
log=.run/setup.log
oldest="3.11"
policy=/usr/sbin/policy-rc.d
policy_mark="# placed by the setup of trade-worker for the time of an installation"

say() {
    printf 'setup: %s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

# Run a command with its output in the log, and show the end of the log if it fails.
run() {
    attempt "$@" || {
        say "this failed: $*"
        say "last lines of $log:"
        tail -n 25 "$log" | sed 's/^/    /' >&2
        exit 1
    }
}

attempt() {
    printf '\n$ %s\n' "$*" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null
}

# While a package is being installed, this file keeps its service from being started (invoke-rc.d(8)). One that is there
# already is the machine's own and stays, unless a killed setup left it.
forbid_service_starts() {
    if [ ! -e "$policy" ] || grep -qF "$policy_mark" "$policy"; then
        trap allow_service_starts EXIT
        trap 'exit 130' INT
        trap 'exit 143' HUP TERM
        printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy"
        chmod 755 "$policy"
    fi
}

allow_service_starts() {
    rm -f "$policy"
    trap - EXIT INT HUP TERM
}

# apt_install HINT PACKAGE...: get packages, or say what to do instead.
apt_install() {
    hint=$1
    shift
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "needed and not installed: $*
setup: on Debian or Ubuntu run: sudo apt-get install $*
setup: $hint"
    fi
    say "installing $* (apt-get)"
    forbid_service_starts
    export DEBIAN_FRONTEND=noninteractive
    install="apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=300"
    # shellcheck disable=SC2086  # the words of $install are its arguments
    if ! attempt $install "$@"; then # mostly because the package lists are missing or old
        say "fetching apt's package lists"
        attempt apt-get update || true # one broken source among many does not matter if the packages are found
        run $install "$@"
    fi
    if grep -qsF "$policy_mark" "$policy"; then
        allow_service_starts
    fi
}

check_python() {
    command -v "$python" >/dev/null ||
        fail "there is no program $python; name a Python $oldest or newer: make setup PYTHON=/path/to/python3"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
        fail "$python does not run; name a Python $oldest or newer: make setup PYTHON=/path/to/python3"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is Python $version, and $oldest or newer is needed: make setup PYTHON=/path/to/python3"
}

make_venv() {
    if "$venv/bin/python" -m pip --version >>"$log" 2>&1; then
        return
    fi
    check_python
    if ! "$python" -c 'import ensurepip, venv' >>"$log" 2>&1; then
        case $("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))') in
            /usr/bin/*) apt_install "or name another Python: make setup PYTHON=/path/to/python3" "python$version-venv" ;;
            *) fail "$python cannot make virtual environments (its module ensurepip is missing); \
name another Python: make setup PYTHON=/path/to/python3" ;;
        esac
    fi
    say "creating $venv with Python $version"
    run "$python" -m venv --clear "$venv"
}

setup_venv() {
    make_venv
    pip="$venv/bin/python -m pip --disable-pip-version-check --no-input"
    say "installing $(grep -c '==' requirements.lock) locked packages"
    # shellcheck disable=SC2086  # the words of $pip are its arguments
    run $pip install --progress-bar off --require-hashes -r requirements.lock
    # shellcheck disable=SC2086
    run $pip install --no-deps --no-build-isolation --editable .
    touch "$venv/.ready"
}

setup_services() {
    packages=$("$venv/bin/python" deploy/local_services.py missing) || exit 1
    if [ -n "$packages" ]; then
        # shellcheck disable=SC2086  # a list of names
        apt_install "or start a Docker engine, or set AMQP_URL and DATABASE_URL" $packages
        packages=$("$venv/bin/python" deploy/local_services.py missing) || exit 1
        [ -z "$packages" ] || fail "installed, but still not found: $packages"
    fi
    # With URLs or Docker instead of programs there is no stamp, since the next run may come without them.
    if [ -z "$("$venv/bin/python" deploy/local_services.py missing --programs 2>>"$log" || echo unusable)" ]; then
        touch .run/services.ready
    fi
}

# What only the tests need besides RabbitMQ and PostgreSQL: promtool, which checks the alert rules.
setup_tools() {
    command -v promtool >>"$log" 2>&1 ||
        apt_install "it has promtool, which checks the alert rules in the tests" prometheus
    touch .run/tools.ready
}

# An environment of their own, for what they need is no business of ours.
setup_bench() {
    others=.run/bench-venv
    lock=tests/bench/requirements.lock
    say "installing $(grep -c '==' "$lock") locked packages to compare with"
    run "$venv/bin/python" -m venv --clear "$others"
    run "$others/bin/python" -m pip --disable-pip-version-check --no-input install --progress-bar off \
        --require-hashes --no-deps -r "$lock"
    touch "$others/.ready"
}

mkdir -p .run
started=$(date +%s)
case ${1:-} in
    venv) setup_venv ;;
    services) setup_services ;;
    tools) setup_tools ;;
    bench) setup_bench ;;
    *) fail "usage: deploy/setup.sh venv|services|tools|bench (or: make setup)" ;;
esac
seconds=$(($(date +%s) - started))
if [ "$seconds" -gt 0 ]; then
    say "$1 ready ($seconds s)"
fi
