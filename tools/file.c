/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * file.c - a recorded system in a file: `rmap snapshot --save FILE` and `--load FILE`
 *
 * The format, version 4. Little endian:
 *
 *      8 bytes    "RMAPSNAP"
 *      4 bytes    version
 *      8 bytes    how many bytes the body has
 *      ...        the body
 *      8 bytes    FNV-1a hash, 64 bits, of all the above
 *
 * The body is a sequence of unsigned numbers in LEB128 (seven bits a byte, the lowest first, the top bit set in all
 * but the last). *string* is a length and that many bytes; *list* is a length and that many items; *signed* is 2 n
 * for n >= 0, and -2 n - 1 below. Addresses are in pages.
 *
 *      page shift
 *      1: only some processes were read, + 2: in an inner PID namespace, + 4: the kernel tells averages, + 8: it does
 *            not tell what KSM has merged
 *      seconds since 1970
 *      kernel threads, tasks that share an address space, processes refused, their pages, processes gone
 *      string: the kernel's release; string: the machine
 *      list: string, numbered from 1 (0 is "")
 *      list: file, numbered from 1 (0 is none): device (major << 32 | minor), inode, number of its name
 *      list: process, of
 *            pid; string: comm; when it began, in ticks since the boot, or 0; effective user + 1, or 0 if that is not
 *            known; number of its cgroup's path, or 0
 *            list: vma: gap to the end of the one before, pages - 1, name's number,
 *                  (file's number << 3 | access) << 1 | shared, the file's first page
 *            list: run of present ptes: gap to the end of the one before, then list: pte:
 *                  (signed: frame number - frame number of the pte before - 1) << 1 | PTE_FILE is set
 *            list: pte of a swap slot: gap to the page after the one before,
 *                  signed: slot - slot of the pte before - 1 (area << 35 | offset)
 *      list: process that shares the address space of one of these: its pid, that one's pid; string: comm
 *      list: frame, in ascending order of numbers:
 *            kernel's count << 3 | verdict (enum verdict), flags (in the order of flag_bits; above them: the count is
 *            what its only pte said of itself)
 *
 * A system of 64 processes with 30,000 mappings takes some 100 KiB. Another version is another format: readers refuse
 * those they do not know. Three older ones are read too: version 3 says of no count that a pte told it; version 2 lacks
 * access, begins, users, cgroups, swap slots and
 * the frames' flags from KPF_REFERENCED on; version 1 also lacks the processes that share address spaces, and tells
 * only how many there are.
 */
#include "file.h"

#include "aside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "RMAPSNAP"
#define MAGIC_SIZE 8
#define VERSION 4u
#define VERSION_WITHOUT_EXCLUSIVE 3u
#define VERSION_WITHOUT_OWNERS 2u
#define VERSION_WITHOUT_ALIASES 1u
#define HEAD_SIZE (MAGIC_SIZE + 4 + 8)
#define HASH_SIZE 8
/* Addresses have at most 57 bits. */
#define VPN_MAX ((UINT64_C(1) << 45) - 1)
#define INDEX_MAX ((UINT64_C(1) << 52) - 1)

#define ACCESS_BITS 3

#define FLAG_PARTIAL 1u
#define FLAG_NAMESPACE 2u
#define FLAG_AVERAGING 4u
#define FLAG_KSM_UNKNOWN 8u

static const uint32_t flag_bits[] = {
	KPF_ANON,      KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL, KPF_HUGE,  KPF_NOPAGE,     KPF_KSM,         KPF_THP,
	KPF_ZERO_PAGE, KPF_REFERENCED,    KPF_UPTODATE,      KPF_DIRTY, KPF_SWAPBACKED, KPF_UNEVICTABLE,
};
#define FLAG_BITS (sizeof(flag_bits) / sizeof(flag_bits[0]))
#define FLAG_BITS_WITHOUT_OWNERS 8

static uint64_t hash_bytes(const uint8_t *bytes, size_t n)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* ---- writing ---- */

struct writer {
	uint8_t *bytes;
	size_t n;
	size_t capacity;
};

static void put_bytes(struct writer *writer, const void *bytes, size_t n)
{
	writer->bytes = grow(writer->bytes, &writer->capacity, writer->n + n, 1);
	memcpy(writer->bytes + writer->n, bytes, n);
	writer->n += n;
}

static void set_fixed(uint8_t *bytes, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

static void put_fixed(struct writer *writer, uint64_t value, unsigned size)
{
	uint8_t bytes[8];

	set_fixed(bytes, value, size);
	put_bytes(writer, bytes, size);
}

static void put(struct writer *writer, uint64_t value)
{
	uint8_t bytes[10];
	size_t n = 0;

	for (; value >= 128; value >>= 7)
		bytes[n++] = (uint8_t)(value | 128);
	bytes[n++] = (uint8_t)value;
	put_bytes(writer, bytes, n);
}

static void put_string(struct writer *writer, const char *string)
{
	put(writer, strlen(string));
	put_bytes(writer, string, strlen(string));
}

/* The difference between @value and what was expected, signed, and below it @flag in @bits bits. */
static void put_signed(struct writer *writer, uint64_t value, uint64_t expected, unsigned bits, unsigned flag)
{
	uint64_t delta = value >= expected ? (value - expected) << 1 : ((expected - value) << 1) - 1;

	put(writer, delta << bits | flag);
}

static void put_vmas(struct writer *writer, const struct process *process)
{
	uint64_t end = 0;

	put(writer, process->vmas_n);
	for (size_t i = 0; i < process->vmas_n; i++) {
		const struct vma *vma = &process->vmas[i];

		put(writer, vma->first - end);
		put(writer, vma->last - vma->first);
		put(writer, vma->name);
		put(writer, ((uint64_t)vma->file << ACCESS_BITS | vma->access) << 1 | vma->shared);
		put(writer, vma->index);
		end = vma->last + 1;
	}
}

static void put_ptes(struct writer *writer, const struct process *process)
{
	uint64_t end = 0, expected = 0;

	put(writer, process->extents_n);
	for (size_t i = 0; i < process->extents_n; i++) {
		const struct extent *extent = &process->extents[i];

		put(writer, extent->vpn - end);
		put(writer, extent->n);
		for (uint64_t k = extent->first; k < extent->first + extent->n; k++) {
			uint64_t pfn = process->ptes[k] & PTE_PFN;

			put_signed(writer, pfn, expected, 1, !!(process->ptes[k] & PTE_FILE));
			expected = pfn + 1;
		}
		end = extent->vpn + extent->n;
	}
}

static void put_swapped(struct writer *writer, const struct process *process)
{
	uint64_t end = 0, expected = 0;

	put(writer, process->swapped_n);
	for (size_t i = 0; i < process->swapped_n; i++) {
		const struct swapped *swapped = &process->swapped[i];

		put(writer, swapped->vpn - end);
		put_signed(writer, swapped->slot, expected, 0, 0);
		end = swapped->vpn + 1;
		expected = swapped->slot + 1;
	}
}

static void put_aliases(struct writer *writer, const struct system *system)
{
	size_t n = system->aliases ? system->sharing : 0;

	put(writer, n);
	for (size_t i = 0; i < n; i++) {
		put(writer, (uint64_t)system->aliases[i].pid);
		put(writer, (uint64_t)system->aliases[i].owner);
		put_string(writer, system->aliases[i].comm);
	}
}

static void put_frames(struct writer *writer, const struct system *system)
{
	put(writer, system->frames_n);
	for (size_t i = 0; i < system->frames_n; i++) {
		const struct frame *frame = &system->frames[i];
		uint64_t flags = 0;

		for (size_t bit = 0; bit < FLAG_BITS; bit++)
			flags |= (uint64_t) !!(frame->flags & flag_bits[bit]) << bit;
		flags |= (uint64_t)frame->exclusive << FLAG_BITS;
		put(writer, (uint64_t)frame->kernel << 3 | frame->verdict);
		put(writer, flags);
	}
}

static void put_body(struct writer *writer, const struct system *system)
{
	const struct names *names = &system->names;

	put(writer, system->page_shift);
	put(writer, (system->partial ? FLAG_PARTIAL : 0) | (system->pid_namespace ? FLAG_NAMESPACE : 0) |
			    (system->averaging ? FLAG_AVERAGING : 0) | (system->ksm_unknown ? FLAG_KSM_UNKNOWN : 0));
	put(writer, system->time);
	put(writer, system->kernel_threads);
	put(writer, system->sharing);
	put(writer, system->refused);
	put(writer, system->refused_pages);
	put(writer, system->gone);
	put_string(writer, system->release);
	put_string(writer, system->machine);
	put(writer, names->strings_n - 1);
	for (size_t i = 1; i < names->strings_n; i++)
		put_string(writer, names->strings[i]);
	put(writer, names->files_n - 1);
	for (size_t i = 1; i < names->files_n; i++) {
		put(writer, names->files[i].device);
		put(writer, names->files[i].inode);
		put(writer, names->files[i].name);
	}
	put(writer, system->processes_n);
	for (size_t i = 0; i < system->processes_n; i++) {
		put(writer, (uint64_t)system->processes[i].task.pid);
		put_string(writer, system->processes[i].task.comm);
		put(writer, system->processes[i].task.start_time);
		put(writer, (uint64_t)(uint32_t)(system->processes[i].uid + 1));
		put(writer, system->processes[i].cgroup);
		put_vmas(writer, &system->processes[i]);
		put_ptes(writer, &system->processes[i]);
		put_swapped(writer, &system->processes[i]);
	}
	put_aliases(writer, system);
	put_frames(writer, system);
}

int file_save(const char *path, const struct system *system)
{
	struct writer file = { 0 };
	int status = STATUS_OK;

	put_bytes(&file, MAGIC, MAGIC_SIZE);
	put_fixed(&file, VERSION, 4);
	put_fixed(&file, 0, 8); /* how much follows is known once it is there */
	put_body(&file, system);
	set_fixed(file.bytes + HEAD_SIZE - 8, file.n - HEAD_SIZE, 8);
	put_fixed(&file, hash_bytes(file.bytes, file.n), HASH_SIZE);
	if (!aside_write(path, file.bytes, file.n))
		status = complain(
			"\"%s\" cannot be written (%s): name a file in a directory of yours with room for %zu bytes",
			path, strerror(errno), file.n);
	free(file.bytes);
	return status;
}

/* ---- reading ---- */

/* Once @bad, all that is read is 0, so that callers may look at the end only. */
struct loader {
	const uint8_t *at;
	const uint8_t *end;
	unsigned version;
	bool bad;
	struct pfnset pfns; /* all frames, if only some are kept */
};

static uint64_t get_fixed(const uint8_t *bytes, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)bytes[i] << 8 * i;
	return value;
}

static uint64_t get(struct loader *loader, uint64_t max)
{
	uint64_t value = 0;

	for (unsigned shift = 0; !loader->bad && loader->at < loader->end && shift < 64; shift += 7) {
		uint8_t byte = *loader->at++;

		value |= (uint64_t)(byte & 127) << shift;
		if (byte < 128) {
			loader->bad = value > max;
			return loader->bad ? 0 : value;
		}
	}
	loader->bad = true;
	return 0;
}

/* The length of a list: each item takes at least a byte, so a forged one cannot make us take memory without end. */
static size_t get_length(struct loader *loader)
{
	return (size_t)get(loader, (uint64_t)(loader->end - loader->at));
}

/* Copy a string to @text, or to the heap if that is NULL. A longer one than @size is refused, and so is a 0 in it. */
static char *get_string(struct loader *loader, char *text, size_t size)
{
	size_t n = get_length(loader);

	if (loader->bad || n > (size_t)(loader->end - loader->at) || (text && n >= size) || memchr(loader->at, 0, n)) {
		loader->bad = true;
		n = 0;
	}
	if (!text)
		text = zeroed(n + 1, 1);
	memcpy(text, loader->at, n);
	text[n] = '\0';
	loader->at += n;
	return text;
}

static void get_names(struct loader *loader, struct names *names)
{
	size_t n = get_length(loader);

	for (size_t i = 1; i <= n && !loader->bad; i++) {
		char *string = get_string(loader, NULL, 0);

		/* A string that is there twice would shift the numbers of those behind it. */
		loader->bad |= names_string(names, string) != i;
		free(string);
	}
	n = get_length(loader);
	for (size_t i = 1; i <= n && !loader->bad; i++) {
		uint64_t device = get(loader, UINT64_MAX), inode = get(loader, UINT64_MAX);
		uint32_t name = (uint32_t)get(loader, names->strings_n - 1);

		if (!loader->bad)
			loader->bad = names_file(names, device, inode, name) != i;
	}
}

static void get_vmas(struct loader *loader, const struct names *names, struct process *process)
{
	unsigned bits = loader->version > VERSION_WITHOUT_OWNERS ? ACCESS_BITS : 0;
	size_t n = get_length(loader);
	uint64_t end = 0;

	for (size_t i = 0; i < n && !loader->bad; i++) {
		struct vma vma;
		uint64_t file;

		vma.first = end + get(loader, VPN_MAX - end);
		vma.last = vma.first + get(loader, VPN_MAX - 1 - vma.first);
		vma.name = (uint32_t)get(loader, names->strings_n - 1);
		file = get(loader, (names->files_n << (bits + 1)) - 1);
		vma.file = (uint32_t)(file >> 1 >> bits);
		vma.access = file >> 1 & ((1u << bits) - 1);
		vma.shared = file & 1;
		vma.index = get(loader, INDEX_MAX);
		end = vma.last + 1;
		if (!loader->bad)
			process_add_vma(process, &vma);
	}
}

/* What put_signed() wrote, without its flag; at most @max. */
static uint64_t signed_of(struct loader *loader, uint64_t delta, uint64_t expected, uint64_t max)
{
	uint64_t value = delta & 1 ? expected - (delta >> 1) - 1 : expected + (delta >> 1);

	loader->bad |= value > max;
	return value;
}

static void get_swapped(struct loader *loader, const struct system *system, struct process *process)
{
	size_t n = get_length(loader), vma = 0;
	uint64_t vpn = 0, slot = 0;

	for (; n-- && !loader->bad; vpn++, slot++) {
		vpn += get(loader, VPN_MAX - 1 - vpn);
		slot = signed_of(loader, get(loader, SLOT_MAX << 1), slot, SLOT_MAX);
		if (!loader->bad && system_has_slot(system, slot))
			process_add_swapped(process, &vma, vpn, slot);
	}
}

static void get_ptes(struct loader *loader, const struct system *system, struct process *process)
{
	size_t runs = get_length(loader), vma = 0;
	uint64_t vpn = 0, expected = 0;

	while (runs-- && !loader->bad) {
		size_t n;

		vpn += get(loader, VPN_MAX - vpn);
		n = get_length(loader);
		loader->bad |= n > VPN_MAX - vpn;
		for (; n-- && !loader->bad; vpn++) {
			uint64_t value = get(loader, PFN_MAX << 2);
			uint64_t pfn = signed_of(loader, value >> 1, expected, PFN_MAX);

			if (loader->bad)
				break;
			if (sample_is_taken(&system->sample))
				pfnset_add(&loader->pfns, pfn);
			if (system_has_pfn(system, pfn))
				process_add_pte(process, &vma, vpn, pfn | (value & 1 ? PTE_FILE : 0));
			expected = pfn + 1;
		}
	}
}

static void get_aliases(struct loader *loader, struct system *system)
{
	size_t n = get_length(loader);

	loader->bad |= n && n != system->sharing;
	if (loader->bad || !n)
		return;
	system->aliases = zeroed(n, sizeof(*system->aliases));
	for (size_t i = 0; i < n; i++) {
		struct alias *alias = &system->aliases[i];

		alias->pid = (pid_t)get(loader, INT32_MAX);
		alias->owner = (pid_t)get(loader, INT32_MAX);
		get_string(loader, alias->comm, sizeof(alias->comm));
	}
}

/* Is frame @number of all one whose ptes are kept? */
static bool is_kept(const struct loader *loader, const struct system *system, size_t number)
{
	uint64_t pfn;

	if (!sample_is_taken(&system->sample))
		return true;
	pfnset_pfns(&loader->pfns, number, 1, &pfn);
	return system_has_pfn(system, pfn);
}

static struct frame get_frame(struct loader *loader)
{
	size_t flag_bits_n = loader->version > VERSION_WITHOUT_OWNERS ? FLAG_BITS : FLAG_BITS_WITHOUT_OWNERS;
	uint64_t value = get(loader, (uint64_t)UINT32_MAX << 3 | VERDICT_MISMATCHED);
	bool has_exclusive = loader->version > VERSION_WITHOUT_EXCLUSIVE;
	uint64_t flags = get(loader, (1u << (flag_bits_n + has_exclusive)) - 1);
	struct frame frame = { .kernel = (uint32_t)(value >> 3),
			       .verdict = value & 7,
			       .exclusive = has_exclusive && flags >> flag_bits_n };

	loader->bad |= frame.verdict > VERDICT_MISMATCHED ||
		       (frame.exclusive && (frame.verdict != VERDICT_MATCHED || frame.kernel != 1));
	for (size_t bit = 0; bit < flag_bits_n; bit++)
		frame.flags |= flags >> bit & 1 ? flag_bits[bit] : 0;
	return frame;
}

static void get_frames(struct loader *loader, struct system *system)
{
	size_t n = get_length(loader), capacity = 0;

	loader->bad |= sample_is_taken(&system->sample) && pfnset_number(&loader->pfns) != n;
	for (size_t i = 0; i < n && !loader->bad; i++) {
		struct frame frame = get_frame(loader);

		if (!is_kept(loader, system, i))
			continue;
		system->recorded = grow(system->recorded, &capacity, system->recorded_n + 1, sizeof(*system->recorded));
		system->recorded[system->recorded_n++] = frame;
	}
}

static void get_process(struct loader *loader, const struct system *system, struct process *process)
{
	const struct names *names = &system->names;
	bool has_owner = loader->version > VERSION_WITHOUT_OWNERS;

	process->task.pid = (pid_t)get(loader, INT32_MAX);
	get_string(loader, process->task.comm, sizeof(process->task.comm));
	process->task.start_time = has_owner ? get(loader, UINT64_MAX) : 0;
	process->uid = (has_owner ? (uint32_t)get(loader, UINT32_MAX) : 0) - 1;
	process->cgroup = has_owner ? (uint32_t)get(loader, names->strings_n - 1) : 0;
	get_vmas(loader, names, process);
	get_ptes(loader, system, process);
	if (has_owner)
		get_swapped(loader, system, process);
}

static void get_body(struct loader *loader, struct system *system)
{
	uint64_t flags;
	size_t n;

	system->page_shift = (unsigned)get(loader, 16);
	loader->bad |= system->page_shift < 12;
	flags = get(loader, FLAG_PARTIAL | FLAG_NAMESPACE | FLAG_AVERAGING | FLAG_KSM_UNKNOWN);
	system->partial = flags & FLAG_PARTIAL;
	system->pid_namespace = flags & FLAG_NAMESPACE;
	system->averaging = flags & FLAG_AVERAGING;
	system->has_access = loader->version > VERSION_WITHOUT_OWNERS;
	system->ksm_unknown = flags & FLAG_KSM_UNKNOWN;
	system->time = get(loader, UINT64_MAX);
	system->kernel_threads = get(loader, UINT32_MAX);
	system->sharing = get(loader, UINT32_MAX);
	system->refused = get(loader, UINT32_MAX);
	system->refused_pages = get(loader, UINT64_MAX);
	system->gone = get(loader, UINT32_MAX);
	get_string(loader, system->release, sizeof(system->release));
	get_string(loader, system->machine, sizeof(system->machine));
	get_names(loader, &system->names);
	n = get_length(loader);
	system->processes = zeroed(n, sizeof(*system->processes));
	for (size_t i = 0; i < n && !loader->bad; i++)
		get_process(loader, system, &system->processes[system->processes_n++]);
	if (loader->version != VERSION_WITHOUT_ALIASES)
		get_aliases(loader, system);
	get_frames(loader, system);
	loader->bad |= loader->at != loader->end;
}

static int decode(const char *path, const uint8_t *bytes, size_t n, struct system *system)
{
	struct loader loader = { .bad = false };

	if (n < MAGIC_SIZE || memcmp(bytes, MAGIC, MAGIC_SIZE))
		return complain("\"%s\" is no recorded system: name a file that rmap snapshot --save has written",
				path);
	if (n >= MAGIC_SIZE + 4)
		loader.version = (unsigned)get_fixed(bytes + MAGIC_SIZE, 4);
	if (n >= MAGIC_SIZE + 4 && (loader.version < VERSION_WITHOUT_ALIASES || loader.version > VERSION))
		return complain(
			"\"%s\" has format version %u and this rmap reads versions %u to %u: load it with the rmap "
			"that wrote it",
			path, loader.version, VERSION_WITHOUT_ALIASES, VERSION);
	if (n < HEAD_SIZE + HASH_SIZE || get_fixed(bytes + MAGIC_SIZE + 4, 8) > n - HEAD_SIZE - HASH_SIZE)
		return complain("\"%s\" is cut short: copy or record it again", path);
	if (get_fixed(bytes + MAGIC_SIZE + 4, 8) < n - HEAD_SIZE - HASH_SIZE ||
	    hash_bytes(bytes, n - HASH_SIZE) != get_fixed(bytes + n - HASH_SIZE, HASH_SIZE))
		return complain("\"%s\" is damaged: copy or record it again", path);
	loader.at = bytes + HEAD_SIZE;
	loader.end = bytes + n - HASH_SIZE;
	get_body(&loader, system);
	pfnset_fini(&loader.pfns);
	if (loader.bad)
		return complain("\"%s\" makes no sense though its checksum is right: record it again", path);
	return STATUS_OK;
}

int file_load(const char *path, struct system *system)
{
	struct writer file = { 0 };
	uint8_t piece[65536];
	FILE *in = fopen(path, "rb");
	int status;
	size_t got;

	if (!in)
		return complain("\"%s\" cannot be read (%s): name a file that rmap snapshot --save has written", path,
				strerror(errno));
	while ((got = fread(piece, 1, sizeof(piece), in)) > 0)
		put_bytes(&file, piece, got);
	if (ferror(in))
		status = complain("\"%s\" cannot be read (%s): name a file that rmap snapshot --save has written", path,
				  strerror(errno));
	else
		status = decode(path, file.bytes, file.n, system);
	fclose(in);
	free(file.bytes);
	return status;
}
