# Sourced: installs Debian's packages for commands that are missing, where this is root on Debian.
#
# debian_tools LOG COMMAND=PACKAGE…: what the installation says goes into the file LOG.
debian_tools() {
    local log=$1 pair missing=()
    shift
    # haproxy lies in sbin, which a user's PATH may lack.
    export PATH="$PATH:/usr/sbin"
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
    # The packages' services are not wanted, only their tools.
    local policy=/usr/sbin/policy-rc.d ours=
    [ -e $policy ] || { ours=yes && printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy; }
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
        { tail -5 "$log"; echo "could not install ${missing[*]}"; }
    [ -z "$ours" ] || rm $policy
}
