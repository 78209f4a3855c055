# Sourced by install.sh and bootstrap.sh: runs what takes long, and shows that it gets on.

# On a terminal the latest line of its output, in one line that is rewritten; elsewhere nothing. The end
# of the output is shown if the command fails.
follow_log() { # LOG
  local line columns
  read -r _ columns < <(stty size <&2 2>/dev/null) || columns=0
  # A serial line does not know how wide it is.
  ((columns > 10)) || columns=80
  while sleep 0.2; do
    line=$(tail -n 1 -- "$1" 2>/dev/null) || line=
    line=${line//[^[:print:]]/}
    printf '\r\033[K  %s' "${line:0:columns-3}" >&2
  done
}

logged() { # LOG COMMAND…: its output is in LOG; the last lines are shown if it fails
  local log=$1 status=0 follower=
  shift
  if [[ -t 2 ]]; then
    # The command itself stays in the foreground, so that Ctrl-C ends it.
    follow_log "$log" </dev/null &
    follower=$!
  fi
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [[ $follower ]]; then
    kill "$follower" 2>/dev/null || true
    wait "$follower" 2>/dev/null || true
    printf '\r\033[K' >&2
  fi
  if ((status)); then
    printf '\nThis failed, with status %s: %s\nIts last lines:\n\n' "$status" "$*" >&2
    tail -n 40 -- "$log" >&2
    printf '\n' >&2
  fi
  return "$status"
}
