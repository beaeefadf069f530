#!/bin/sh
# Boots the menu guest on several CPUs under TCG; fails unless each finds no difference in time.
# Usage: check.sh MENU.ELF [QEMU-OPTION...]
# Options replace the list of CPUs, e.g. -enable-kvm -cpu host
elf=$1
shift
limit=20
log=$(mktemp)
pid=
trap 'kill $pid 2>/dev/null; rm -f "$log" "$log.qemu"' EXIT
trap 'exit 2' INT TERM

# boot OPTION...: shows the guest's last line and what differs; false unless differences=0.
boot() {
	: >"$log"
	qemu-system-x86_64 -m 256M -nodefaults -display none -no-reboot \
		-serial "file:$log" -kernel "$elf" "$@" 2>"$log.qemu" &
	pid=$!
	tenths=0
	until grep -q '^menu: ' "$log" || ! kill -0 $pid 2>/dev/null; do
		sleep 0.1
		tenths=$((tenths + 1))
		[ $tenths -lt $((limit * 10)) ] || { echo "no result in $limit s"; break; }
	done
	sleep 0.1
	kill $pid 2>/dev/null
	wait $pid 2>/dev/null
	echo "$*"
	grep -v "terminating on signal" "$log.qemu"
	grep -aE '^(menu|differs|trap|cpu): ' "$log" | sed 's/^/    /'
	grep -aq '^menu: levels=.* differences=0 ' "$log"
}

[ $# -eq 0 ] || { boot "$@"; exit; }

failed=0
for cpu in max max,-la57 max,-pku,-smap,-smep max,-pdpe1gb,-la57 max,phys-bits=52 qemu64; do
	boot -cpu $cpu || failed=1
done
exit $failed
