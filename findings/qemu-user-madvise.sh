#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# qemu-user-madvise.sh - under qemu-user, advice that is an order succeeds and is not carried out
#
# Version: qemu-user-static 1:7.2+dfsg-7+deb12u18+b3; any python3 of the machine's own, as the guest
#
# Most of madvise() is advice, which an emulator may ignore. Some is not: MADV_REMOVE takes pages out of a file, MADV_DONTFORK
# keeps a mapping from children, MADV_POPULATE_WRITE makes pages present or fails, and advice that does not exist is EINVAL.
# qemu-user carries out MADV_DONTNEED and answers all of these with success, so a test of a virtual-memory library that passes
# there has not tested them.
#
# Seen: natively a removed page of a memfd reads as zero, a child lacks the mapping, a populated page is resident, and advice
# 12345 is refused with EINVAL (22). Under qemu-x86_64-static all four calls return 0 and nothing has happened.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd "$work" && apt-get -q download qemu-user-static=1:7.2+dfsg-7+deb12u18+b3 >log 2>&1) || { cat "$work/log"; exit 2; }
dpkg-deb -x "$work"/qemu-user-static_*.deb "$work"

cat >"$work/guest.py" <<'PYTHON'
import ctypes
import mmap
import os

SIZE = mmap.PAGESIZE
MADV_REMOVE, MADV_DONTFORK, MADV_POPULATE_WRITE = 9, 10, 23
libc = ctypes.CDLL(None, use_errno=True)


def madvise(memory, advice):
    try:
        memory.madvise(advice)
    except OSError as error:
        return error.errno
    return 0


def mincore(memory):
    """(errno, resident)"""
    vector = ctypes.create_string_buffer(1)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    failed = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(SIZE), vector)
    return ctypes.get_errno() if failed else 0, vector.raw[0] & 1


def child_lacks(memory):
    child = os.fork()
    if child == 0:
        os._exit(mincore(memory)[0])
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


fd = os.memfd_create("file")
os.truncate(fd, SIZE)
shared = mmap.mmap(fd, SIZE)
shared[0] = 1
print("remove", madvise(shared, MADV_REMOVE), "byte", shared[0], end="; ")
private = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
print("dontfork", madvise(private, MADV_DONTFORK), "child lacks it", child_lacks(private), end="; ", flush=True)
fresh = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
print("populate", madvise(fresh, MADV_POPULATE_WRITE), "resident", mincore(fresh)[1], end="; ")
print("unknown", madvise(fresh, 12345))
PYTHON

python=$(python3 -c 'import sys; print(sys.executable)')
native=$("$python" "$work/guest.py")
emulated=$("$work/usr/bin/qemu-x86_64-static" "$python" "$work/guest.py")
printf 'native:   %s\nemulated: %s\n' "$native" "$emulated"
[ "$native" = "remove 0 byte 0; dontfork 0 child lacks it True; populate 0 resident 1; unknown 22" ] &&
	[ "$emulated" = "remove 0 byte 1; dontfork 0 child lacks it False; populate 0 resident 0; unknown 0" ]
