/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ledger.c - what memory a backend has
 */
#include "backend.h"

bool ledger_add(struct vm *vm, unsigned part, int64_t bytes)
{
	struct ledger *ledger = &vm->ledger;
	int64_t peak = atomic_load_explicit(&ledger->peak, memory_order_relaxed);
	int64_t total = atomic_fetch_add_explicit(&ledger->total, bytes, memory_order_relaxed) + bytes;

	if (bytes > 0 && vm->options.map_bytes && (uint64_t)total > vm->options.map_bytes) {
		atomic_fetch_sub_explicit(&ledger->total, bytes, memory_order_relaxed);
		return false;
	}
	atomic_fetch_add_explicit(&ledger->parts[part], bytes, memory_order_relaxed);
	while (total > peak && !atomic_compare_exchange_weak_explicit(&ledger->peak, &peak, total, memory_order_relaxed,
								      memory_order_relaxed))
		;
	return true;
}

static size_t bytes_of(const _Atomic int64_t *bytes)
{
	return (size_t)atomic_load_explicit(bytes, memory_order_relaxed);
}

void vm_bytes(struct vm *vm, struct vm_bytes *out)
{
	*out = (struct vm_bytes){ .peak = bytes_of(&vm->ledger.peak) };
	for (; out->n < VM_PARTS_MAX && vm->backend->parts[out->n]; out->n++) {
		out->parts[out->n].part = vm->backend->parts[out->n];
		out->parts[out->n].bytes = bytes_of(&vm->ledger.parts[out->n]);
		out->total += out->parts[out->n].bytes;
	}
}
