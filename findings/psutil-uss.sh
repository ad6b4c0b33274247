#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# psutil-uss.sh - psutil's USS counts huge pages of hugetlbfs, its RSS and PSS do not: a part larger than the whole
#
# Version: python3-psutil 5.9.4-1+b1, on the python3 of Debian 12. Needs root: it borrows eight reserved huge pages of 2 MiB
#
# USS is what a process would give back if it ended, a part of its RSS; that is how the three figures of memory_full_info() are
# read, and how tools sort by them. The kernel keeps hugetlb pages out of Rss and Pss and tells of them in lines of their own
# (Private_Hugetlb, Shared_Hugetlb). psutil takes RSS from statm, PSS from Pss, and for USS adds up every line of smaps that
# begins with "Private", of which one is Private_Hugetlb. So a process with such pages has USS > RSS, by a type of memory that
# goes back to its pool and not to the system. (smem, which names the lines that it adds, leaves them out of all three.)
#
# Seen: a process that maps 16 MiB of them: USS larger by 16,384 KiB, larger than PSS and larger than RSS, which stay.
set -euo pipefail
work=$(mktemp -d)
pool=/proc/sys/vm/nr_hugepages
before=$(cat "$pool")
trap 'echo "$before" >"$pool"; rm -rf "$work"' EXIT

[ "$(id -u)" = 0 ] || { echo "not run: only root may reserve huge pages"; exit 2; }
(cd "$work" && apt-get -q download python3-psutil=5.9.4-1+b1 >log 2>&1) || { cat "$work/log"; exit 2; }
dpkg-deb -x "$work"/python3-psutil_*.deb "$work"
echo $((before + 8)) >"$pool"
[ "$(cat "$pool")" = $((before + 8)) ] || { echo "not run: the kernel has no eight huge pages to reserve"; exit 2; }

PYTHONPATH=$work/usr/lib/python3/dist-packages /usr/bin/python3 - <<'PYTHON'
import ctypes
import sys

import psutil

KIB = 1024
SIZE = 16384 * KIB
PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_HUGETLB = 3, 0x40022
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
if int(open("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages").read()) < 8:
    sys.exit("not run: the reserved pages are not of 2 MiB")
psutil.Process().memory_full_info()
small = psutil.Process().memory_full_info()
memory = libc.mmap(None, ctypes.c_size_t(SIZE), PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_HUGETLB, -1, ctypes.c_long(0))
ctypes.memset(memory, 1, SIZE)
large = psutil.Process().memory_full_info()
print(f"KiB without: rss {small.rss // KIB} uss {small.uss // KIB}; "
      f"with 16384 of hugetlb: rss {large.rss // KIB} uss {large.uss // KIB} pss {large.pss // KIB}")
slack = 512 * KIB
sys.exit(not (abs(large.uss - small.uss - SIZE) < slack and abs(large.rss - small.rss) < slack and large.uss > large.rss and
             large.uss > large.pss))
PYTHON
