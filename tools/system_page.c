/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * system_page.c - the document of a page about a system; see system_page.h
 */
#include "system_page.h"

#include "page.h"
#include "text.h"

#include <unistd.h>

/* What memory the machine has is not in a recording. */
static json_t *json_memory(const struct source *source)
{
	long pages = source->load ? -1 : sysconf(_SC_PHYS_PAGES);

	return pages < 0 ? json_null() : json_of_number((uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE));
}

json_t *system_document(char **argv, const struct source *source, const struct system *system,
			const struct figures *figures, json_t *report)
{
	json_t *document = page_document(argv, report);

	json_object_set_new(document, "system",
			    json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "release",
				      json_of_name(system->release), "machine", json_of_name(system->machine), "time",
				      json_of_number(system->time), "memory", json_memory(source), "page_size",
				      json_of_number(UINT64_C(1) << system->page_shift), "pages",
				      json_of_number(figures->pages), "mappings", json_of_number(figures->mappings),
				      "loaded", source->load != NULL, "pid_namespace", system->pid_namespace != 0));
	return document;
}
