"""The part of the completion scripts that completes names from the service: hosts, and ids of silences.

Hosts choose their names, so these scripts treat a name as data only: it is read as a line, never split or evaluated,
and quoted on the command line as one word.
"""

from __future__ import annotations

HOSTS, SILENCED, SILENCES = "_fleet_health_hosts", "_fleet_health_silenced", "_fleet_health_silences"

BASH = r"""
# fleet-health is found by PATH, because the completed command may be a path to another program.
_fleet_health_names() { # KIND WORD
  local kind=$1 word=$2 quote= prefix= config=() i name
  case $word in
    \"*) quote=\" word=${word:1} ;;
    \'*) quote=\' word=${word:1} ;;
  esac
  # The typed word, without its quoting.
  while [[ $word ]]; do
    if [[ $word == \\?* && $quote != \' ]]; then word=${word:1}; fi
    prefix+=${word:0:1} word=${word:1}
  done
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ ${COMP_WORDS[i]} == --config ]]; then config=("${COMP_WORDS[i + 1]}"); fi
  done
  while IFS= read -r name; do
    case $quote in
      # A colon would end the word the next time.
      "") printf -v name %q "$name" && name=${name//:/\\:} && printf '%s\n' "${name//=/\\=}" ;;
      # These characters cannot be written between such quotes.
      \') [[ $name == *\'* ]] || printf '%s\n' "$name" ;;
      \") [[ $name == *['!`$"\']* ]] || printf '%s\n' "$name" ;;
    esac
  done < <(timeout 1 fleet-health __complete "$kind" "$prefix" "${config[@]}" 2>/dev/null </dev/null)
}
_fleet_health_hosts() { _fleet_health_names hosts "$1"; }
_fleet_health_silenced() {
  compgen -W "list expire" -- "$1"
  _fleet_health_names hosts "$1"
}
_fleet_health_silences() {
  case " ${COMP_WORDS[*]} " in *" expire "* | *" end "*) _fleet_health_names silences "$1" ;; esac
}
"""

ZSH = r"""
_fleet_health_names() { # KIND
  local -a names config
  local i=${words[(i)--config]}
  if ((i < CURRENT)); then config=("${(Q)words[i + 1]}"); fi
  names=("${(@f)$(timeout 1 fleet-health __complete $1 "${(Q)PREFIX}" $config 2>/dev/null </dev/null)}")
  # compadd quotes what it inserts.
  names=(${names:#})
  ((${#names})) && compadd -a names
}
_fleet_health_hosts() { _fleet_health_names hosts; }
_fleet_health_silenced() { compadd list expire; _fleet_health_names hosts; }
_fleet_health_silences() { if ((${words[(Ie)expire]} || ${words[(Ie)end]})); then _fleet_health_names silences; fi; }
"""
