/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend.c - the backends there are, and what memory they have
 */
#include "backend.h"

extern const struct vm_backend vm_backend_hybrid, vm_backend_hybrid_clusters, vm_backend_hybrid_addresses,
	vm_backend_null, vm_backend_ptechain, vm_backend_objrmap, vm_backend_objrmap_interval, vm_backend_folio,
	vm_backend_anobjrmap;

const struct vm_backend *const vm_backends[] = {
	&vm_backend_hybrid,
	&vm_backend_hybrid_clusters,
	&vm_backend_hybrid_addresses,
	&vm_backend_null,
	&vm_backend_ptechain,
	&vm_backend_objrmap,
	&vm_backend_objrmap_interval,
	&vm_backend_anobjrmap,
	&vm_backend_folio,
	NULL,
};

const char *vm_backend_name(const struct vm_backend *backend)
{
	return backend->name;
}

const char *vm_backend_summary(const struct vm_backend *backend)
{
	return backend->summary;
}

unsigned vm_backend_traits(const struct vm_backend *backend)
{
	return backend->traits;
}

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

uint64_t object_sequence(const struct vm *vm, const struct object *object)
{
	return vm->backend->sequence ? vm->backend->sequence(object) : atomic_load(&object->sequence);
}
