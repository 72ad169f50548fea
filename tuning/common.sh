# What check, apply and undo share. Sourced, not run.
#
# TUNING_ROOT names a directory to take for / (tests have a copy of /sys and /proc there);
# systemctl and ethtool are found on PATH.

ROOT=${TUNING_ROOT:-}

WAKE_MICROSECONDS=20    # C-states that take longer to leave are deep
BACKLOG=4096            # src/runtime/listener.rs

# expand LIST: "2-4,8" to lines 2 3 4 8. Fails for what is no list.
expand() {
    local part
    for part in ${1//,/ }; do
        case $part in
            *[!0-9-]* | -* | *-*-* | *-) return 1 ;;
            *-*) seq "${part%-*}" "${part#*-}" ;;
            *) echo "$part" ;;
        esac
    done
}

# join: lines of numbers to a list such as 0,3,4.
join() { sort -nu | paste -sd , -; }

# outside LIST OF: the CPUs of OF that LIST does not have, as a list.
outside() {
    comm -13 <(expand "$1" | sort) <(expand "$2" | sort) | join
}

# inside LIST OF: the CPUs of OF that LIST has, as a list.
inside() {
    comm -12 <(expand "$1" | sort) <(expand "$2" | sort) | join
}

# mask LIST: the hexadecimal mask of the kernel's files, in groups of 32 bits.
mask() {
    local cpu groups=(0) text= group
    for cpu in $(expand "$1"); do
        while [ "${#groups[@]}" -le $((cpu / 32)) ]; do groups+=(0); done
        groups[cpu / 32]=$((groups[cpu / 32] | 1 << cpu % 32))
    done
    for ((group = ${#groups[@]} - 1; group >= 0; group--)); do
        text+=$(printf '%08x' "${groups[group]}"),
    done
    echo "${text%,}"
}

# plain_mask MASK: without leading zeros, to compare masks.
plain_mask() {
    local text=${1//,/}
    text=$(sed 's/^0*//' <<<"$text")
    echo "${text:-0}"
}

# value FILE: what it says, the choice in brackets where it lists choices. Fails if it cannot be read.
value() {
    local text
    text=$(cat "$ROOT$1" 2>/dev/null) || return 1
    case $text in
        *\[*\]*)
            text=${text#*\[}
            text=${text%%\]*}
            ;;
    esac
    printf '%s\n' "$text"
}

# device_irqs: numbers of the interrupts that a device uses.
device_irqs() {
    local irq
    for irq in "$ROOT"/proc/irq/[0-9]*; do
        [ -n "$(find "$irq" -mindepth 1 -maxdepth 1 -type d -print -quit 2>/dev/null)" ] || continue
        echo "${irq##*/}"
    done | sort -n
}

# deep_states CPU: the directories of its idle states that take long to leave.
deep_states() {
    local state latency
    for state in "$ROOT/sys/devices/system/cpu/cpu$1/cpuidle"/state*; do
        latency=$(cat "$state/latency" 2>/dev/null) || continue
        [ "$latency" -le "$WAKE_MICROSECONDS" ] || echo "${state#"$ROOT"}"
    done
}

# read_cpus LIST: into the arrays cpus and online; fails with a message.
read_cpus() {
    local expanded cpu
    mapfile -t online < <(expand "$(cat "$ROOT/sys/devices/system/cpu/online")")
    if ! expanded=$(expand "$1") || [ -z "$expanded" ]; then
        echo "$0: \"$1\" is no list of CPUs such as 2-5,8" >&2
        return 2
    fi
    mapfile -t cpus <<<"$expanded"
    for cpu in "${cpus[@]}"; do
        if [ ! -d "$ROOT/sys/devices/system/cpu/cpu$cpu" ]; then
            echo "$0: there is no CPU $cpu" >&2
            return 2
        fi
    done
}
