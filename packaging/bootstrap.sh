#!/usr/bin/env bash
# Prepares a machine for running from a checkout.
#
#   bootstrap.sh system-packages install|build|package|demo|tests|bench   installs what the system lacks for it, with apt-get
#   bootstrap.sh venv DIR demo|tests|another-python               makes DIR a virtual environment with this checkout
#
# Both say what they do, and do nothing where nothing is missing. PYTHON names the interpreter, if not python3.
#
# Python runs isolated (-I) here: started in a directory of somebody else's, such as /tmp, it would import from there.
set -euo pipefail
umask 022
# An empty or relative entry of PATH is whatever directory we are in, and there may be somebody else's.
own_path=
while IFS= read -rd : directory; do if [[ $directory == /* ]]; then own_path+=${own_path:+:}$directory; fi; done <<<"$PATH:"
PATH=$own_path

checkout=$(dirname "$(dirname "$(realpath "$0")")")

usage() { sed -n '4,5s/^# */  /p' "$0" >&2; exit 2; }
say() { printf '%s\n' "$@" >&2; }
die() { say "$@"; exit 1; }

# --- what there must be: a check, the Debian package that helps, and why --------------------------------------

has() { command -v "$1" >/dev/null; }

python() { # the first interpreter that really runs and is new enough; a name alone may be an empty shim
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

python_can() { local found; found=$(python) && "$found" -I -c "$1" 2>/dev/null; }
has_python_headers() {
  python_can 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
}
can_compile() { has gcc && printf '#include <stdio.h>\n' | gcc -E - >/dev/null 2>&1; }
has_faketime() { compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1'; }
has_systemd_program() { [[ -x /lib/systemd/$1 || -x /usr/lib/systemd/$1 ]]; }

check() { # PURPOSE: fills `packages` and `reasons` with what is missing
  packages=() reasons=()
  want() { # PACKAGE WHY CHECK…
    local package=$1 why=$2
    shift 2
    "$@" >/dev/null || { packages+=("$package"); reasons+=("$why"); }
  }
  want python3 "Python 3.11 or later, which it is written in" python
  want python3-venv "an environment of its own, apart from the system's Python" python_can 'import venv, ensurepip'
  if [[ $1 == @(package|tests|bench) ]]; then
    want python3-systemd "Python's journal library, which those need" /usr/bin/python3 -I -c 'import systemd.journal'
    want dpkg "dpkg-deb, which builds Debian packages" has dpkg-deb
    want binutils "readelf, to look into the modules in the packages" has readelf
    want binutils-x86-64-linux-gnu "strip, for the modules of amd64" has x86_64-linux-gnu-strip
    want binutils-aarch64-linux-gnu "strip, for those of arm64" has aarch64-linux-gnu-strip
    [[ $1 != package ]] || return 0
  fi
  want python3-dev "Python's headers, to compile systemd-python" has_python_headers
  want gcc "a compiler, for systemd-python" has gcc
  want libc6-dev "the C library's headers, for the compiler" can_compile
  want pkg-config "finds libsystemd, for the compiler" has pkg-config
  want libsystemd-dev "libsystemd's headers, to compile systemd-python" pkg-config --exists libsystemd
  [[ $1 != build ]] || return 0
  if [[ $1 == install ]]; then
    want systemd "systemctl, systemd-sysusers and systemd-tmpfiles" has systemd-sysusers
    return
  fi
  want systemd "journalctl, and a systemd to look at" has journalctl
  want systemd-journal-remote "writes a real journal without a running systemd" has_systemd_program systemd-journal-remote
  [[ $1 != demo ]] || return 0
  want libfaketime "sets the clock of a service that is tested" has_faketime
  want util-linux "unshare and nsenter, to boot a systemd aside from this machine's own" has unshare
  want mount "mount, for the same" has mount
  want bindfs "a mount that hangs when its server is stopped" has bindfs
  want logrotate "rotates the alert log as packaged" has logrotate
  want xz-utils "compresses rotated files, as an administrator may" has xz
  want zstd "the same" has zstd
  want curl "asks the API, as the documentation does" has curl
  want man-db "man, to show the manual pages" has man
  want mandoc "checks the manual pages" has mandoc
  want jq "takes the alerts apart in the documented forwarder" has jq
  want zsh "completes a command line, as bash does" has zsh
  want nginx "logs hostile requests" has nginx
  want caddy "the same" has caddy
  want chromium "shows the page" has chromium
  want prometheus-alertmanager "a cluster of it takes alerts" has amtool
  want valgrind "callgrind, which counts the instructions of the inner loops" has valgrind
  want prometheus "promtool, to check the metrics and the rules" has promtool
  [[ $1 != tests ]] || return 0
  want mtail "a neighbour to be measured beside" has mtail
  want fail2ban "another one" has fail2ban-regex
  want mmdebstrap "a minimal root of another release of Debian" has mmdebstrap
}

# --- installing it -------------------------------------------------------------------------------------------

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck source=packaging/progress.sh
source "$checkout/packaging/progress.sh"

update_package_lists() { # COMMAND…: apt-get, as root
  # Without the mode, apt-get ends with 0 even if no list could be downloaded.
  "$@" -o APT::Update::Error-Mode=any update >"$log" 2>&1 </dev/null && return
  say "" "apt-get update failed:"
  grep -E '^(E|W|Err|N):' "$log" | sort -u | sed 's/^/  /' >&2 || tail -n 10 "$log" >&2
  say "" "Look at the network, the proxy, the clock, and the sources in /etc/apt; then run \`apt-get update\` by hand." \
    "Going on with the package lists that are here."
}

system_packages() { # PURPOSE
  check "$1" 2>/dev/null
  ((${#packages[@]})) || return 0

  say "This machine lacks ${#packages[@]} of the packages that running from a checkout needs:"
  local i
  for i in "${!packages[@]}"; do printf '  %-24s %s\n' "${packages[i]}" "${reasons[i]}" >&2; done

  local by_hand="apt-get install --no-install-recommends ${packages[*]}"
  has apt-get || die "There is no apt-get here to install them. The names are Debian's; please install what your" \
    "system calls them, and start again."
  local as_root=()
  if ((EUID != 0)); then
    has sudo || die "Neither root nor sudo is at hand. Please have an administrator run" "  $by_hand" "and start again."
    as_root=(sudo)
    say "Installing them with apt-get, as root through sudo …"
    sudo -v || die "sudo refused. Please have an administrator run" "  $by_hand" "and start again."
  else
    say "Installing them with apt-get …"
  fi
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)
  update_package_lists "${apt[@]}"
  logged "$log" "${apt[@]}" install --yes --no-install-recommends "${packages[@]}" ||
    die "The packages are not installed. Please run by hand:" "  apt-get update" "  $by_hand" "and start again."
  # The tests start these themselves; as services of this machine they would take their ports.
  local server
  for server in nginx caddy prometheus prometheus-alertmanager prometheus-node-exporter; do
    if [[ -d /run/systemd/system && " ${packages[*]} " == *" $server "* ]]; then
      logged "$log" "${as_root[@]}" systemctl disable --now "$server" || true
    fi
  done

  check "$1" 2>/dev/null
  ((${#packages[@]} == 0)) || die "Installed, and yet this is missing: ${packages[*]}" \
    "Python found: $(python || echo 'none of 3.11 or later'). Another interpreter can be named with PYTHON=…"
}

venv() { # DIR PURPOSE
  local dir=$1 purpose=$2 interpreter stamp locked=$checkout/requirements
  interpreter=$(python) || die "No Python of 3.11 or later is here; see: $0 system-packages build"
  if [[ -d $dir && ! -e $dir/pyvenv.cfg ]]; then die "$dir is something else than a virtual environment."; fi
  stamp=$(
    { cat "$checkout/pyproject.toml" "$locked/build.txt" "$locked/$purpose.txt"
      "$interpreter" -I -c 'import sys; print(sys.base_prefix, sys.version)'
      printf '%s\n' "$checkout" "$purpose" "$(sha256sum <"$0")"; } | sha256sum
  )
  [[ $(cat "$dir/prepared" 2>/dev/null) != "$stamp" ]] || return 0

  say "Preparing $dir …"
  logged "$log" "$interpreter" -I -m venv --clear "$dir"
  # Exactly what is locked, checked by its hash. Unless told otherwise, pip would build with whatever is newest, and
  # compile all modules, of which most are never imported.
  local pip=("$dir/bin/python" -I -m pip --disable-pip-version-check install --no-compile)
  logged "$log" "${pip[@]}" --require-hashes --requirement "$locked/build.txt"
  logged "$log" "${pip[@]}" --no-build-isolation --use-pep517 --require-hashes --requirement "$locked/$purpose.txt"
  logged "$log" "${pip[@]}" --no-build-isolation --no-deps --no-index --editable "$checkout"
  printf '%s\n' "$stamp" >"$dir/prepared"
}

case "$# ${1-}" in
  "2 system-packages") [[ $2 == @(install|build|package|demo|tests|bench) ]] || usage; system_packages "$2" ;;
  "3 venv") [[ $3 == @(demo|tests|another-python) ]] || usage; venv "$2" "$3" ;;
  *) usage ;;
esac
