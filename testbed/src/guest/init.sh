#!/bin/busybox sh
# The first and only process of a lab machine: brings up the network, then runs what the second serial port brings.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module.ko"; done < /modules/order
for word in $(cat /proc/cmdline); do
    # lab.eth0=ADDRESS/PREFIX,MTU[,GATEWAY]
    case $word in
    lab.eth*)
        device=${word%%=*} device=${device#lab.}
        oldifs=$IFS IFS=,
        set -- ${word#*=}
        IFS=$oldifs
        echo 0 > "/proc/sys/net/ipv6/conf/$device/accept_dad"
        ip link set "$device" mtu "$2" up
        ip addr add "$1" dev "$device"
        [ -z "$3" ] || ip route add default via "$3" dev "$device"
        ;;
    esac
done
ip link set lo up
exec < /dev/ttyS1 > /dev/ttyS1
stty raw -echo
echo ready
# In: NUMBER SECONDS COMMAND, one line. Out: NUMBER STATUS LENGTH, one line, then as many bytes as it says: what a
# killed command's children still write comes too late to be sent.
while read -r number seconds command; do
    output=/tmp/output.$number
    timeout -s KILL "$seconds" sh -c "$command" > "$output" 2>&1 < /dev/null
    status=$?
    length=$(stat -c %s "$output")
    echo "$number $status $length"
    head -c "$length" "$output"
    rm "$output"
done
poweroff -f
