/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend.c - the backends there are
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
