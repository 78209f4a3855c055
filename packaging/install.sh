#!/bin/bash -p
# Installs fleet-health from this checkout as a service of this machine; run again, it upgrades. See --help.
#
# Root runs this, wherever root happens to be and with whatever environment. So nothing is looked up in the current
# directory, nothing is taken from the environment but what is listed in `heeded`, nothing depends on the umask, and
# Python runs isolated (-I). `bash -p` reads no BASH_ENV and no functions from the environment.
set -euo pipefail
umask 022
PATH=/usr/sbin:/usr/bin:/sbin:/bin
checkout=$(realpath -- "${BASH_SOURCE[0]}")
checkout=${checkout%/*/*}
cd /

releases=/opt/fleet-health
config=/etc/fleet-health/config.toml
service=fleet-health.service
notifier=fleet-health-notify.service
made=$releases/made-directories

# What is installed, and where to, from packaging/files; `uninstall` removes exactly this, and what is below.
files=()
# What is needed of the checkout.
sources=(pyproject.toml README.md LICENSE config.example.toml fleet_health packaging requirements)
# All that is taken from the environment. Nothing else reaches a program that is started here.
heeded=(
  PYTHON SUDO_UID TERM
  PIP_CERT PIP_CLIENT_CERT PIP_CONFIG_FILE PIP_DEFAULT_TIMEOUT PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_INDEX_URL
  PIP_NO_INDEX PIP_PROXY PIP_RETRIES PIP_TIMEOUT PIP_TRUSTED_HOST
  all_proxy http_proxy https_proxy no_proxy ALL_PROXY HTTP_PROXY HTTPS_PROXY NO_PROXY
  REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_DIR SSL_CERT_FILE
)

usage() {
  cat <<END
usage: install.sh [--no-apt] [--no-start] [--with-plot | --without-plot] [--with-apprise | --without-apprise]
       install.sh --uninstall [--purge]

  --no-apt        do not install build tools; for a machine that has them
  --no-start      leave the service as it is; otherwise it is enabled and (re)started
  --with-plot     install matplotlib too, for \`fleet-health replay --plot\`; an upgrade keeps it
  --without-plot  leave matplotlib out again
  --with-apprise, --without-apprise
                  the same for Apprise, which a destination of type \`apprise\` sends with
  --uninstall     remove what was installed; the configuration and the alert log stay
  --purge         with --uninstall: remove these too, with the user and the group fleet-health

It is built for \$PYTHON (now: $python). Of pip's variables PIP_NO_INDEX, PIP_FIND_LINKS (absolute paths), PIP_INDEX_URL,
PIP_CERT and the like are heeded, and the usual ones for proxies and certificates. Whatever comes from there has to have
the hash that requirements/*.txt says.
END
}

say() { printf '==> %s\n' "$*"; }

warn() { printf 'install.sh: %s\n' "$*" >&2; }

fail() { # STATUS MESSAGE…
  warn "${@:2}"
  exit "$1"
}

shown() { printf '%q' "$1"; } # a path for the terminal, whoever gave it its name

has_systemd() { [[ -d /run/systemd/system ]]; }

# --- whom root is about to trust ------------------------------------------------------------------------------------

scrub_environment() {
  local name
  while IFS= read -r name; do
    if [[ " PATH ${heeded[*]} " != *" $name "* ]]; then unset -v "$name" 2>/dev/null || export -n "${name?}"; fi
  done < <(compgen -e)
  HOME=$(getent passwd 0 | cut --delimiter=: --fields=6)
  export PATH HOME LC_ALL=C.UTF-8
  for name in ${PIP_FIND_LINKS-}; do
    [[ $name == /* || $name == *://* ]] ||
      fail 2 "PIP_FIND_LINKS names $name; write it as an absolute path, the current directory is not looked at"
  done
}

is_trusted() { [[ " $trusted " == *" $1 "* ]]; } # UID

is_private_group() { # GID: nobody but one trusted user is in it
  local members user
  members=$(getent group "$1" | cut --delimiter=: --fields=4 | tr ',' ' ')
  for user in $members; do is_trusted "$(id --user "$user" 2>/dev/null || echo none)" || return 1; done
  while IFS=: read -r _ _ user group _; do
    if [[ $group == "$1" ]]; then is_trusted "$user" || return 1; fi
  done < <(getent passwd)
}

stranger_of() { # PATH [on-the-way]: prints who else could change it, and succeeds; fails if nobody can
  local uid gid mode type
  read -r uid gid mode type < <(stat --format='%u %g %a %F' -- "$1")
  mode=$((8#$mode))
  if ! is_trusted "$uid"; then
    id --user --name "$uid" 2>/dev/null || echo "the user $uid"
  elif [[ $type == "symbolic link" ]]; then
    return 1
  elif [[ $type == directory && ${2-} == on-the-way ]] && ((mode & 8#1000)); then
    # In a sticky directory such as /tmp others can add something, but not touch what is there and not theirs.
    return 1
  elif ((mode & 8#002)); then
    echo "everybody"
  elif ((mode & 8#020)) && ! is_private_group "$gid"; then
    echo "the group $(getent group "$gid" | cut --delimiter=: --fields=1 || echo "$gid")"
  elif ((mode & 8#020)) && [[ $(ls -ld -- "$1") == ??????????+* ]]; then
    # With an access control list the group's bits stand for all whom it names.
    echo "whoever its access control list names"
  else
    return 1
  fi
}

distrust() { # PATH WHAT: fails if somebody who is not trusted could change the path, or a directory on the way to it
  local path=$1 stranger how=
  while true; do
    if stranger=$(stranger_of "$path" $how); then
      fail 1 "root is about to run $2, and $(shown "$path") can be changed by $stranger; see to it that only root and" \
        "the owner of the checkout can (chown, chmod go-w), or use one in another place"
    fi
    [[ $path != / ]] || return 0
    path=${path%/*}
    path=${path:-/}
    how=on-the-way
  done
}

check_checkout() {
  local owner suspect stranger
  owner=$(stat --format=%u -- "$checkout")
  trusted="0 $owner ${SUDO_UID-}"
  distrust "$checkout" "what is in $checkout"
  while IFS= read -rd '' suspect; do
    if stranger=$(stranger_of "$suspect"); then
      fail 1 "root is about to run what is in $checkout, and $(shown "$suspect") can be changed by $stranger; a fresh" \
        "clone that only its owner can write (umask 022) will do"
    fi
  done < <(find "${sources[@]/#/"$checkout/"}" \( ! -type l -perm /022 -o ! -uid 0 ! -uid "$owner" \) -print0)
  if ((owner != 0)) && [[ $owner != "${SUDO_UID-}" ]]; then
    warn "note: the checkout belongs to $(id --user --name "$owner" 2>/dev/null || echo "$owner"), who decides what root" \
      "installs here"
  fi
}

check_python() {
  local real
  real=$(command -v "$python") || fail 1 "$python is missing; name a Python of 3.11 or later in PYTHON, by its path"
  [[ $real == /* ]] || fail 2 "PYTHON names $python; write it as an absolute path"
  python=$real
  distrust "$(realpath "$python")" "$python"
  "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail 1 "$python is older than Python 3.11; name another one in PYTHON"
  # The unit hides these places from the service: it would install, and then not start.
  case $("$python" -I -c 'import sys; print(sys.base_prefix)')/ in
    /home/* | /root/* | /tmp/* | /var/tmp/*)
      fail 1 "$python lives where the service cannot see it; name one outside of /home, /root and /tmp in PYTHON" ;;
  esac
}

check_config() { # the trial would find it too, but after minutes of building
  if [[ -e $config ]] && getent passwd fleet-health >/dev/null &&
    ! setpriv --reuid=fleet-health --regid=fleet-health --init-groups test -r "$config"; then
    fail 1 "the user fleet-health may not read $config, so the service could not start: chmod 644 $config, or" \
      "chgrp fleet-health $config and chmod 640"
  fi
}

can_be_changed() { # DIR: somebody but root could change something in it
  [[ $(find "$1" \( ! -type l -perm /022 -o ! -uid 0 \) -print -quit) ]]
}

own_releases() { # the directory is root's alone; what others could write in it (after an install with umask 000) is closed
  local release
  if [[ -L $releases || -e $releases && ! -d $releases ]]; then fail 1 "$releases is not a directory; move it away"; fi
  install --directory --owner=root --group=root --mode=755 "$releases"
  # Not the directory itself: on NFS a lock needs a descriptor that is open for writing.
  exec {lock}>/run/fleet-health-install.lock
  flock --nonblock "$lock" || fail 1 "another install.sh is at work in $releases"
  # What an installation left that was killed.
  rm -rf "$releases"/.build.*
  while IFS= read -rd '' release; do
    if can_be_changed "$release"; then
      say "others could write in $(shown "$release"), from an earlier install: closing it to them"
      chown --recursive --no-dereference root:root "$release"
      chmod --recursive go-w "$release"
      tainted+=("$release")
    fi
  done < <(find "$releases" -mindepth 1 -maxdepth 1 -type d -print0)
  # A list of directories that others could write in is not ours any more.
  if [[ -L $made || -e $made ]] && can_be_changed "$made"; then rm -rf "$made"; fi
  previous=$(readlink "$releases/current" || true)
  # Only what we have made ourselves is something to go back to.
  if [[ $previous != "$releases"/[0-9]*([^/]) || ! -d $previous || -L $previous ]]; then previous=; fi
}

close_to_others() { # PATH…: what we have put in place, and the directories on the way
  local path
  for path in "$@"; do
    while [[ $path == /usr/local/* || $path == /etc/fleet-health* ]]; do
      if [[ ! -L $path && $(find "$path" -maxdepth 0 -perm /002) ]]; then
        say "everybody could write $path: closing it to them"
        chmod o-w "$path"
      fi
      path=${path%/*}
    done
  done
}

# --- building and trying it -----------------------------------------------------------------------------------------

pip() { # the one of a virtual environment of its own, for the build alone
  logged "$build/log" "$build/tools/bin/python" -I -m pip --disable-pip-version-check --no-input --no-cache-dir "$@"
}

build_wheel() { # ours; pip would have the build backend loaded three times for it
  local build_here='import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])'
  (cd "$source" && logged "$build/log" "$build/tools/bin/python" -I -c "$build_here" "$build/wheels")
}

build_release() {
  local version extra locked wanted
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$checkout/pyproject.toml")
  wanted=$releases/$version-$(date --utc +%Y%m%dT%H%M%SZ)
  [[ ! -e $wanted ]] || fail 1 "$wanted is there already; try again in a second"
  # From here on it is ours to remove.
  release=$wanted
  # Not in /tmp: nobody else can write here, and programs may be run from here.
  build=$(mktemp --directory "$releases/.build.XXXXXX")
  install --directory "$build/tmp" "$build/before"
  export TMPDIR=$build/tmp

  say "building fleet-health $version in $release"
  # From a copy: a build leaves its traces in the source tree, and these would be root's.
  source=$build/source
  install --directory "$source"
  cp --recursive "${sources[@]/#/"$checkout/"}" "$source"
  locked=("$source/requirements/release.txt")
  for extra in "${extras[@]}"; do if [[ ${included[$extra]} == yes ]]; then locked+=("$source/requirements/$extra.txt"); fi; done

  build_environment "$python" "$build/tools"
  say "getting what builds it, with pip"
  pip install --no-compile --require-hashes --requirement "$source/requirements/build.txt"
  say "getting and building the $(cat "${locked[@]}" | grep '^[^ #].*==' | sort --unique | wc --lines) packages that it needs; on a small machine this takes minutes"
  # A package that is in several of them has the same version and hashes there.
  pip wheel --wheel-dir "$build/wheels" --no-build-isolation --use-pep517 --no-deps --require-hashes \
    "${locked[@]/#/--requirement=}"
  say "building and installing fleet-health itself"
  build_wheel
  "$python" -I -m venv --without-pip "$release"
  pip --python "$release/bin/python" install --no-deps --no-index "$build"/wheels/*.whl
  install -D --mode=644 "$source/packaging/default-config.toml" "$release/share/fleet-health/default-config.toml"

  "$python" -I "$source/packaging/sbom.py" "$source/pyproject.toml" "${locked[@]}" "$source/requirements/build.txt" \
    >"$build/sbom.cdx.json"
  # Isolated, for it must not find the checkout's own code.
  "$release/bin/python" -I -m fleet_health.cli.setup.made "$source/config.example.toml" "$build"
}

create_user() {
  say "creating the user fleet-health and /var/lib/fleet-health"
  systemd-sysusers "$source/packaging/sysusers.d/fleet-health.conf"
  # It refuses links and the like that the service's user may have put there; that is no reason against an upgrade.
  timeout 60 systemd-tmpfiles --create "$source/packaging/tmpfiles.d/fleet-health.conf" ||
    warn "note: systemd-tmpfiles cannot put /var/lib/fleet-health in order; see above"
}

as_service() { # COMMAND…: with the service's rights and nothing of ours; what it prints is in $build/trial
  # No descriptor and no session of ours either: another process of this user could make it type on our terminal.
  timeout --kill-after=5 120 setsid setpriv --reuid=fleet-health --regid=fleet-health --init-groups --no-new-privs \
    env --ignore-environment PATH=/usr/bin:/bin LC_ALL=C.UTF-8 HOME=/ "$@" \
    </dev/null >"$build/trial" 2>&1 {lock}<&-
}

import_everything='
import importlib, pkgutil, fleet_health
for module in pkgutil.walk_packages(fleet_health.__path__, "fleet_health."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        # Of the extras, which are not part of every release.
        if (error.name or "").partition(".")[0] not in {"apprise", "matplotlib", "rich", "uvicorn"}:
            raise
'

try_release() { # before anything of the running one is touched
  local program=$release/bin/fleet-health with=$config status=0
  if [[ ! -e $with ]]; then with=$release/share/fleet-health/default-config.toml; fi
  say "trying it as the user fleet-health, with ${with/#"$release"*/the default configuration}"
  as_service "$program" --version || reject "it does not run"
  as_service "$release/bin/python" -I -c "$import_everything" || reject "parts of it cannot be loaded"
  as_service "$program" config check --file-only --config "$with" || reject "it refuses $with"
  # What it cannot try: the unit lets the service write less than its user may.
  as_service "$program" config show --config "$with" --json || reject "it does not show $with"
  if ! grep --quiet '"key": "alerts.path", "value": "/var/lib/fleet-health/' "$build/trial" &&
    ! grep --quiet --recursive '^ReadWritePaths=' "/etc/systemd/system/$service.d" 2>/dev/null; then
    warn "note: alerts.path in $with is outside of /var/lib/fleet-health, where the unit lets the service write:" \
      "see /usr/local/share/doc/fleet-health/drop-ins/alert-log.conf"
  fi
  # The real inputs. A missing index is no fault of the release: the service waits for it, and says so.
  as_service "$program" check --dry-run --config "$with" || status=$?
  case $status in
    0) ;;
    2 | 124 | 137)
      warn "note: it cannot evaluate your hosts yet (\`fleet-health check --dry-run\` ended with status $status):" \
        "$(trial | tail -n 1)" ;;
    *) reject "it fails on your index and journal, with status $status" ;;
  esac
}

trial() { tr --delete '\000-\010\013-\037\177' <"$build/trial"; }

reject() { # REASON
  trial | tail -n 25 >&2
  fail 1 "the new release is not taken: $1; see above. Nothing is changed, and a running service goes on."
}

# --- switching to it, and back --------------------------------------------------------------------------------------

read_files() { # fills `files` with pairs: a path in packaging/, or made/ and a name in $build; and where it goes
  local what where name
  cd "$checkout/packaging"
  while read -r what where; do
    if [[ ! $what || $what == \#* ]]; then continue; fi
    if [[ $where != /* ]]; then where=/usr/local/$where; fi
    for name in $what; do
      if [[ $where == */ ]]; then files+=("$name $where${name##*/}"); else files+=("$name $where"); fi
    done
  done <files
  cd /
}

targets() { # the paths of all that we put in place
  local pair
  for pair in "${files[@]}"; do printf '%s\n' "${pair##* }"; done
}

note_missing_directories() { # those that we are about to make; `uninstall` removes them again, if they are empty
  local target directory missing=()
  while read -r target; do
    directory=${target%/*}
    while [[ ! -e $directory ]]; do
      missing+=("$directory")
      directory=${directory%/*}
    done
  done < <(targets && echo /usr/local/bin/fleet-health)
  if ((${#missing[@]})); then printf '%s\n' "${missing[@]}" | sort --unique >>"$made"; fi
}

install_files() {
  local name target pair
  note_missing_directories
  say "installing ${#files[@]} files below /usr/local and /etc/logrotate.d: units, documentation, manual pages, completion," \
    "bill of materials"
  for pair in "${files[@]}"; do
    read -r name target <<<"$pair"
    case $name in
      made/*) name=$build/${name#made/} ;;
      *) name=$source/packaging/$name ;;
    esac
    install -D --mode=644 "$name" "$target"
  done
  if [[ -e $config ]]; then
    say "keeping your $config"
  else
    say "writing $config"
    install -D --mode=644 "$source/packaging/default-config.toml" "$config"
  fi
}

point_to() { # RELEASE
  ln -sfn "$1" "$releases/current.new"
  mv --no-target-directory "$releases/current.new" "$releases/current"
}

apply_files() {
  say "adding the explanations of our alerts to the journal's message catalog"
  update_indexes
  if has_systemd; then systemctl daemon-reload; fi
}

update_indexes() { # of what is found by a search: the catalog's entries, and the manual pages for `whatis` and `apropos`
  journalctl --update-catalog
  # Only these directories, which are one on Debian: man goes by the first. Without man-db there is nothing to do.
  if command -v mandb >/dev/null && [[ -d /usr/local/share/man ]]; then
    if [[ -d /usr/local/man ]]; then timeout 60 mandb --quiet /usr/local/man 2>/dev/null || true; fi
    timeout 60 mandb --quiet /usr/local/share/man 2>/dev/null || true
  fi
}

switch_release() {
  local target
  while read -r target; do
    if [[ -e $target ]]; then cp --archive --parents "$target" "$build/before"; fi
  done < <(targets)
  was_active=no
  if has_systemd && systemctl --quiet is-active "$service"; then was_active=yes; fi
  # From here on, whatever ends us early leads back; see finish.
  switching=yes
  say "making it the current one: $releases/current, /usr/local/bin/fleet-health"
  install_files
  point_to "$release"
  install --directory --mode=755 /usr/local/bin
  ln -sfn "$releases/current/bin/fleet-health" /usr/local/bin/fleet-health
  # shellcheck disable=SC2046 # the paths are our own, without spaces
  close_to_others $(targets) "$config" /usr/local/bin/fleet-health
  apply_files
}

roll_back() {
  local target
  warn "going back to $previous"
  while read -r target; do
    if [[ -e $build/before$target ]]; then
      cp --archive --remove-destination "$build/before$target" "$target"
    else
      rm -f "$target"
    fi
  done < <(targets)
  point_to "$previous"
  apply_files >/dev/null
  if [[ $was_active == yes ]]; then
    systemctl reset-failed "$service"
    if systemctl restart "$service"; then
      warn "the service runs again, from $previous"
    else
      warn "the service does not start from $previous either: systemctl status fleet-health"
    fi
    restart_notifier
  elif has_systemd; then
    systemctl stop "$service"
  fi
}

finish() { # whatever happened: nothing half-made stays
  local status=$?
  set +e
  trap - EXIT
  if [[ $building == yes ]]; then
    warn "the new release cannot be built; the reason is above. Nothing is changed, and a running service goes on."
  fi
  if [[ $switching == yes && $previous ]]; then roll_back; fi
  # A first installation that does not start has nothing to go back to, and can be looked at as it is.
  if [[ $switching == finished || $switching == yes && ! $previous ]]; then release=; fi
  rm -rf ${build:+"$build"} ${release:+"$release"}
  exit "$status"
}

start_service() {
  if ! has_systemd; then
    say "systemd does not run here: enabling the service for the next boot"
    systemctl enable "$service"
    return
  fi
  say "enabling and starting the service; this returns when it has read its inputs"
  systemctl enable --quiet "$service"
  if ! systemctl restart "$service"; then
    systemctl status --no-pager --lines=20 "$service" >&2 || true
    if [[ $previous ]]; then fail 1 "the new release does not start; the reason is above"; fi
    fail 1 "installed, but it does not start; the reason is above"
  fi
  systemctl status --no-pager --lines=0 "$service"
  restart_notifier
}

restart_notifier() { # if it runs: it is disabled until destinations are configured
  if systemctl --quiet is-active "$notifier" && ! systemctl restart "$notifier"; then
    warn "fleet-health-notify does not start again, so nothing is sent: systemctl status fleet-health-notify"
  fi
}

remove_old_releases() { # all but the current one and the one before it, to which one can go back
  local old
  while IFS= read -rd '' old; do
    if [[ $old == "$release" || $old == "$previous" && " ${tainted[*]} " != *" $old "* ]]; then continue; fi
    say "removing the old $(shown "$old")"
    rm -rf "$old"
  done < <(find "$releases" -mindepth 1 -maxdepth 1 -type d ! -name '.build.*' -print0)
}

install_all() {
  check_checkout
  read_files
  # shellcheck source=packaging/progress.sh
  source "$checkout/packaging/progress.sh"
  # shellcheck source=packaging/build_environment.sh
  source "$checkout/packaging/build_environment.sh"
  if [[ $apt == yes ]]; then
    say "checking for what the build needs; what is missing comes from apt"
    PYTHON=$python "$checkout/packaging/bootstrap.sh" system-packages install
  fi
  check_python
  check_config
  own_releases
  trap finish EXIT
  # What the release before has, an upgrade keeps, unless the command line decides.
  local extra
  for extra in "${extras[@]}"; do
    if [[ ! ${included[$extra]} ]] && compgen -G "${previous:-/nowhere}/lib/python3*/site-packages/${package[$extra]}" >/dev/null; then
      say "keeping ${package[$extra]}, as the installed release has it; --without-$extra leaves it out"
      included[$extra]=yes
    fi
  done
  building=yes
  build_release
  building=no
  create_user
  try_release
  switch_release
  local unstarted=()
  if [[ $start == yes ]]; then
    start_service
    switching=finished
    remove_old_releases
  else
    unstarted=(--not-started)
    switching=finished
    say "not starting it, as you asked"
  fi
  say "done: fleet-health is installed"
  "$releases/current/bin/python" -I -m fleet_health.cli.setup.next_steps "$config" "${unstarted[@]}" || true
}

uninstall() {
  local target directory directories=()
  read_files
  say "stopping and disabling the service"
  systemctl disable --quiet --now "$notifier" 2>/dev/null || true # it would report that the service is gone
  systemctl disable --quiet --now fleet-health-http.socket 2>/dev/null || true # it would start the service
  systemctl disable --quiet --now "$service" 2>/dev/null || true
  if [[ -f $made && ! -L $made ]]; then mapfile -t directories < <(sort --reverse --unique "$made"); fi
  say "removing $releases, /usr/local/bin/fleet-health, and all files that were installed with it"
  while read -r target; do rm -f "$target"; done < <(targets)
  rm -rf "$releases" /usr/local/share/doc/fleet-health /usr/local/bin/fleet-health /run/fleet-health-install.lock
  for directory in "${directories[@]}"; do
    if [[ $directory == @(/usr/local|/etc)/* ]]; then rmdir --ignore-fail-on-non-empty "$directory" 2>/dev/null || true; fi
  done
  update_indexes
  if has_systemd; then
    systemctl daemon-reload
    systemctl reset-failed "$service" "$notifier" 2>/dev/null || true
  fi
  if [[ $purge == yes ]]; then
    say "removing the configuration, the alert log, the ledger, the users fleet-health and fleet-health-notify, and their" \
      "groups"
    # Others own what is below; rm follows no link, not even one that is put there meanwhile.
    rm -rf /etc/fleet-health /{var/lib,run}/fleet-health{,-notify} \
      {/etc/systemd/system,/etc/systemd/system.control,/run/systemd/system}/{"$service","$notifier"}.d
    rmdir --ignore-fail-on-non-empty /etc/systemd/system.control 2>/dev/null || true
    if has_systemd; then systemctl daemon-reload; fi
    remove_user fleet-health-notify
    remove_user fleet-health
  else
    say "keeping /etc/fleet-health, /var/lib/fleet-health, /var/lib/fleet-health-notify and the users fleet-health and" \
      "fleet-health-notify; --purge removes them"
  fi
}

remove_user() { # USER, and the group of that name, also if operators are its members
  local members
  members=$(getent group "$1" | cut --delimiter=: --fields=4) || members=
  # userdel keeps a group that has other members.
  if [[ $members ]]; then gpasswd --members '' "$1" >/dev/null; fi
  if getent passwd "$1" >/dev/null && ! userdel "$1"; then
    fail 1 "the user $1 cannot be removed, because programs still run under it; end them (pgrep -u" \
      "$1 lists them), and run this again"
  fi
  if getent group "$1" >/dev/null; then groupdel "$1"; fi
  if [[ $members ]]; then say "these users were members of the group $1: $members"; fi
}

python=${PYTHON:-/usr/bin/python3}
apt=yes start=yes purge=no action=install_all
# What may be installed too: its name, the package that shows that it is, and whether it is to be.
extras=(plot apprise)
declare -A package=([plot]=matplotlib [apprise]=apprise) included=([plot]='' [apprise]='')
for argument in "$@"; do
  case $argument in
    --no-apt) apt=no ;;
    --no-start) start=no ;;
    --with-plot | --with-apprise) included[${argument#--with-}]=yes ;;
    --without-plot | --without-apprise) included[${argument#--without-}]=no ;;
    --uninstall) action=uninstall ;;
    --purge) purge=yes ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && fail 2 "unknown argument: $argument" ;;
  esac
done
if [[ $purge == yes && $action != uninstall ]]; then usage >&2 && fail 2 "--purge goes with --uninstall"; fi
if ((EUID != 0)); then fail 1 "this needs root: sudo $0 $*"; fi
release='' build='' previous='' building=no switching=no was_active=no tainted=()
shopt -s extglob
scrub_environment
"$action"
