#!/usr/bin/env bash
# Installs fleet-health from this checkout as a service of this machine; run again, it upgrades. See --help.
set -euo pipefail

checkout=$(cd "$(dirname "$0")/.." && pwd)
packaging=$checkout/packaging
releases=/opt/fleet-health
python=${PYTHON:-/usr/bin/python3}

# What is installed, and where to; `uninstall` removes exactly this, and what is below.
files=(
  "fleet-health.service            /usr/local/lib/systemd/system/fleet-health.service"
  "fleet-health.catalog            /usr/local/lib/systemd/catalog/fleet-health.catalog"
  "sysusers.d/fleet-health.conf    /usr/local/lib/sysusers.d/fleet-health.conf"
  "tmpfiles.d/fleet-health.conf    /usr/local/lib/tmpfiles.d/fleet-health.conf"
  "logrotate.d/fleet-health        /etc/logrotate.d/fleet-health"
  "drop-ins/hidden-index.conf      /usr/local/share/doc/fleet-health/drop-ins/hidden-index.conf"
  "drop-ins/notify-reload.conf     /usr/local/share/doc/fleet-health/drop-ins/notify-reload.conf"
  "drop-ins/receiver-rate-limit.conf /usr/local/share/doc/fleet-health/drop-ins/receiver-rate-limit.conf"
  "../config.example.toml          /usr/local/share/doc/fleet-health/config.example.toml"
)
# What is made from the release itself: its name in $build, and where to.
generated=(
  "fleet-health.1         /usr/local/share/man/man1/fleet-health.1"
  "fleet-health-config.5  /usr/local/share/man/man5/fleet-health-config.5"
  "completion.bash        /usr/local/share/bash-completion/completions/fleet-health"
  "completion.zsh         /usr/local/share/zsh/site-functions/_fleet-health"
)

usage() {
  cat <<END
usage: install.sh [--no-apt] [--no-start]
       install.sh --uninstall [--purge]

  --no-apt     do not install build tools; for a machine whose pip has wheels at hand
  --no-start   leave the service as it is; otherwise it is enabled and (re)started
  --uninstall  remove what was installed; the configuration and the alert log stay
  --purge      with --uninstall: remove these too, and the user fleet-health

It is built for \$PYTHON (now: $python). pip heeds its own variables, such as PIP_NO_INDEX and PIP_FIND_LINKS.
END
}

say() { printf '==> %s\n' "$*"; }

fail() { # STATUS MESSAGE
  printf 'install.sh: %s\n' "$2" >&2
  exit "$1"
}

has_systemd() { [[ -d /run/systemd/system ]]; }

check_python() {
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail 1 "$python is missing or older than Python 3.11; name another one in PYTHON"
  # The unit hides these places from the service: it would install, and then not start.
  case $("$python" -c 'import sys; print(sys.base_prefix)')/ in
    /home/* | /root/* | /tmp/* | /var/tmp/*)
      fail 1 "$python lives where the service cannot see it; name one outside of /home, /root and /tmp in PYTHON" ;;
  esac
}

build_release() {
  local version shell
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$checkout/pyproject.toml")
  release=$releases/$version-$(date --utc +%Y%m%dT%H%M%SZ)
  build=$(mktemp --directory)
  unfinished=$release
  trap 'rm -rf "$build" ${unfinished:+"$unfinished"}' EXIT

  say "building fleet-health $version in $release"
  # From a copy: a build leaves its traces in the source tree, and these would be root's.
  cp -r "$checkout"/{pyproject.toml,README.md,LICENSE,fleet_health} "$build"
  mkdir -p "$releases"
  "$python" -m venv "$release"
  "$release/bin/pip" install --quiet --disable-pip-version-check "$build[completion]"
  "$release/bin/fleet-health" --help >/dev/null
  # Isolated, for it must not find the checkout's own code.
  "$release/bin/python" -I -m fleet_health.cli.manual "$checkout/config.example.toml" "$build"
  for shell in bash zsh; do "$release/bin/fleet-health" completion "$shell" >"$build/completion.$shell"; done
  unfinished=
}

switch_release() {
  say "making it the current one: $releases/current, /usr/local/bin/fleet-health"
  ln -sfn "$release" "$releases/current.new"
  mv --no-target-directory "$releases/current.new" "$releases/current"
  ln -sf "$releases/current/bin/fleet-health" /usr/local/bin/fleet-health
}

install_files() {
  local source target pair
  for pair in "${files[@]}"; do
    read -r source target <<<"$pair"
    say "installing $target"
    install -D --mode=644 "$packaging/$source" "$target"
  done
  for pair in "${generated[@]}"; do
    read -r source target <<<"$pair"
    say "installing $target"
    install -D --mode=644 "$build/$source" "$target"
  done
  if [[ -e /etc/fleet-health/config.toml ]]; then
    say "keeping your /etc/fleet-health/config.toml"
  else
    say "writing /etc/fleet-health/config.toml"
    install -D --mode=644 "$packaging/default-config.toml" /etc/fleet-health/config.toml
  fi
}

apply_files() {
  say "creating the user fleet-health and /var/lib/fleet-health"
  systemd-sysusers fleet-health.conf
  systemd-tmpfiles --create fleet-health.conf
  say "adding the explanations of our alerts to the journal's message catalog"
  journalctl --update-catalog
  if has_systemd; then systemctl daemon-reload; fi
}

start_service() {
  if ! has_systemd; then
    say "systemd does not run here: enabling the service for the next boot"
    systemctl enable fleet-health.service
    return
  fi
  say "enabling and starting the service; this returns when it has read its inputs"
  systemctl enable --quiet fleet-health.service
  if ! systemctl restart fleet-health.service; then
    systemctl status --no-pager --lines=20 fleet-health.service >&2 || true
    fail 1 "installed, but it does not start; the reason is above"
  fi
  systemctl status --no-pager --lines=0 fleet-health.service
}

remove_old_releases() { # all but the current and the one before it, to which one can go back
  local old
  for old in $(find "$releases" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort --reverse | tail -n +3 | cut -d' ' -f2-); do
    say "removing the old $old"
    rm -rf "$old"
  done
}

install_all() {
  if [[ $apt == yes ]]; then
    say "checking for what the build needs; what is missing comes from apt"
    PYTHON=$python "$packaging/bootstrap.sh" system-packages build
  fi
  check_python
  build_release
  switch_release
  install_files
  apply_files
  if [[ $start == yes ]]; then
    start_service
    remove_old_releases
  else
    say "not starting it, as you asked"
  fi
}

uninstall() {
  local target pair
  say "stopping and disabling the service"
  systemctl disable --quiet --now fleet-health.service 2>/dev/null || true
  for pair in "${files[@]}" "${generated[@]}"; do
    read -r _ target <<<"$pair"
    say "removing $target"
    rm -f "$target"
  done
  say "removing $releases and /usr/local/bin/fleet-health"
  rm -rf "$releases" /usr/local/share/doc/fleet-health /usr/local/bin/fleet-health
  journalctl --update-catalog
  if has_systemd; then systemctl daemon-reload; fi
  if [[ $purge == yes ]]; then
    say "removing the configuration, the alert log and the user fleet-health"
    rm -rf /etc/fleet-health /etc/systemd/system/fleet-health.service.d /var/lib/fleet-health
    if id fleet-health >/dev/null 2>&1; then userdel fleet-health; fi
  else
    say "keeping /etc/fleet-health and /var/lib/fleet-health; --purge removes them"
  fi
}

apt=yes start=yes purge=no action=install_all
for argument in "$@"; do
  case $argument in
    --no-apt) apt=no ;;
    --no-start) start=no ;;
    --uninstall) action=uninstall ;;
    --purge) purge=yes ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && fail 2 "unknown argument: $argument" ;;
  esac
done
if [[ $purge == yes && $action != uninstall ]]; then usage >&2 && fail 2 "--purge goes with --uninstall"; fi
if ((EUID != 0)); then fail 1 "this needs root: sudo $0 $*"; fi
"$action"
