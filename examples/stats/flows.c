/* Prints what a Weft switch's statistics file tells: the ports' counters, and the newest flows.
 *
 *     cc -std=c11 -O2 -I src/shm examples/stats/flows.c -o flows && ./flows /run/weft/hv-a/stats
 *
 * It reads by the structures of weft_stats.h, which the layout's hash stands for.
 */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "weft_stats.h"

static const unsigned char *file;
static size_t file_len;
static const struct weft_section *sections;
/* A copy of all labels, for the writer may replace them. */
static unsigned char *labels;
static size_t labels_len;

static void fail(const char *what)
{
	fprintf(stderr, "flows: %s\n", what);
	exit(1);
}

/* What is read of a section has to be there. */
static void shape(const struct weft_section *section, size_t row_len, size_t lead)
{
	if (section->row_len < row_len || section->lead < lead || section->stride == 0 || section->capacity == 0)
		fail("damaged");
}

/* Maps the file, if it is one whose structures are known here. */
static void map(const char *path)
{
	const struct weft_header *header;
	struct stat stat;
	uint64_t i;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &stat) < 0) {
		perror(path);
		exit(1);
	}
	file_len = (size_t)stat.st_size;
	if (file_len < sizeof *header)
		fail("not a statistics file of Weft");
	file = mmap(NULL, file_len, PROT_READ, MAP_SHARED, fd, 0);
	if (file == MAP_FAILED)
		fail("it cannot be mapped");
	close(fd);
	header = (const struct weft_header *)file;
	if (memcmp(&header->magic, WEFT_STATS_MAGIC, 8) != 0)
		fail("not a statistics file of Weft");
	if (header->byte_order != WEFT_STATS_BYTE_ORDER)
		fail("another byte order");
	if (header->layout_hash != WEFT_STATS_HASH)
		fail("another version: build this again with the header of the switch");
	if (header->file_len > file_len || header->sections_at > file_len ||
	    header->sections > (file_len - header->sections_at) / sizeof *sections)
		fail("cut short");
	sections = (const struct weft_section *)(file + header->sections_at);
	if (header->sections <= WEFT_SECTION_LABELS || header->sections_at % 8)
		fail("damaged");
	for (i = 0; i < header->sections; i++) {
		const struct weft_section *section = sections + i;
		uint64_t rows = section->row_len * section->capacity;

		if ((section->offset | section->stride | section->lead | section->row_len) % 8)
			fail("damaged");
		if (section->offset > file_len || section->lead > section->stride ||
		    (section->row_len && rows / section->row_len != section->capacity) ||
		    rows > section->stride - section->lead ||
		    (section->stride && section->instances > (file_len - section->offset) / section->stride))
			fail("damaged");
	}
	shape(sections + WEFT_SECTION_PORTS, sizeof(struct weft_ports_row), 0);
	shape(sections + WEFT_SECTION_RECORDS, sizeof(struct weft_record), 8);
	shape(sections + WEFT_SECTION_LABELS, 8, 24);
	if (sections[WEFT_SECTION_RECORDS].capacity & (sections[WEFT_SECTION_RECORDS].capacity - 1) ||
	    sections[WEFT_SECTION_LABELS].capacity != 2 || sections[WEFT_SECTION_LABELS].instances != 1)
		fail("damaged");
}

static const uint64_t *instance(const struct weft_section *section, uint64_t index)
{
	return (const uint64_t *)(file + section->offset + index * section->stride);
}

/* Copies the first words of row `row` of a worker's counters. */
static void counters(const struct weft_section *section, uint64_t worker, uint64_t row, uint64_t *copy, size_t words)
{
	const uint64_t *at = instance(section, worker) + (section->lead + row * section->row_len) / 8;
	struct timespec pause = { 0, 50000 };
	int tries;

	for (tries = 0; tries < 2000; tries++) {
		if (weft_read_row(at, copy, words))
			return;
		/* Its writer may have to wait for a core. */
		nanosleep(&pause, NULL);
	}
	fail("a row is being written all the time: the switch has died");
}

static void copy_labels(void)
{
	const struct weft_section *section = sections + WEFT_SECTION_LABELS;
	const uint64_t *words = instance(section, 0), *buffer;
	uint64_t generation, i;

	do {
		generation = weft_load(words);
		weft_fence();
		labels_len = weft_load(words + 1 + generation % 2);
		if (labels_len > section->row_len || labels_len % 8)
			fail("damaged labels");
		buffer = words + (section->lead + generation % 2 * section->row_len) / 8;
		labels = realloc(labels, labels_len + 8);
		if (!labels)
			fail("no memory");
		for (i = 0; i < labels_len / 8; i++)
			((uint64_t *)labels)[i] = weft_load(buffer + i);
		weft_fence();
	} while (weft_load(words) != generation);
}

/* The name of `id`; its number where it has none. `parent` may be WEFT_ANY for any. */
static const char *name(uint32_t kind, uint32_t parent, uint32_t id)
{
	static char names[4][256];
	static unsigned int turn;
	char *text = names[turn++ % 4];
	size_t at = 0;

	while (at + sizeof(struct weft_label) <= labels_len) {
		const struct weft_label *label = (const struct weft_label *)(labels + at);

		at += sizeof *label;
		if (label->len > labels_len - at)
			break;
		if (label->kind == kind && label->id == id && (parent == WEFT_ANY || label->parent == parent)) {
			snprintf(text, sizeof names[0], "%.*s", (int)label->len, (const char *)(labels + at));
			return text;
		}
		at += (label->len + 7) & ~(size_t)7;
	}
	snprintf(text, sizeof names[0], "%" PRIu32, id);
	return text;
}

static void print_ports(void)
{
	const struct weft_section *section = sections + WEFT_SECTION_PORTS;
	uint64_t rows = weft_load(&section->rows), row, worker;

	for (row = 0; row < rows && row < section->capacity; row++) {
		uint64_t rx = 0, rx_bytes = 0, tx = 0, tx_bytes = 0, drops = 0;

		for (worker = 0; worker < section->instances; worker++) {
			union {
				uint64_t words[sizeof(struct weft_ports_row) / 8];
				struct weft_ports_row row;
			} port;

			counters(section, worker, row, port.words, sizeof port.words / 8);
			rx += port.row.rx_packets;
			rx_bytes += port.row.rx_bytes;
			tx += port.row.tx_packets;
			tx_bytes += port.row.tx_bytes;
			drops += port.row.drops;
		}
		printf("port %s rx %" PRIu64 " packets %" PRIu64 " bytes, tx %" PRIu64 " packets %" PRIu64
		       " bytes, %" PRIu64 " dropped\n",
		       name(WEFT_LABEL_PORT, 0, (uint32_t)row), rx, rx_bytes, tx, tx_bytes, drops);
	}
}

/* An address with its port. */
static void end(const uint8_t *address, int family, unsigned int port)
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (family == 4)
		inet_ntop(AF_INET, address + 12, text, sizeof text);
	else
		inet_ntop(AF_INET6, address, text, sizeof text);
	printf(family == 4 ? "%s:%u" : "[%s]:%u", text, port);
}

/* The name of a code of field `at` of records. */
static const char *code(size_t field, uint8_t value)
{
	return name(WEFT_LABEL_CODE, (uint32_t)(sections[WEFT_SECTION_RECORDS].first_field + field), value);
}

/* The place of a field of records: fields stand in the order of their offsets. */
static size_t field_at(size_t offset)
{
	const struct weft_header *header = (const struct weft_header *)file;
	const struct weft_section *section = sections + WEFT_SECTION_RECORDS;
	const struct weft_field *fields;
	size_t i;

	if (header->fields_at > file_len || header->fields_at % 8 || header->fields > (file_len - header->fields_at) / sizeof *fields ||
	    section->first_field > header->fields || section->fields > header->fields - section->first_field)
		fail("damaged");
	fields = (const struct weft_field *)(file + header->fields_at);
	for (i = 0; i < section->fields; i++)
		if (fields[section->first_field + i].offset == offset)
			return i;
	return 0;
}

static void print_flows(void)
{
	const struct weft_section *section = sections + WEFT_SECTION_RECORDS;
	size_t kind = field_at(offsetof(struct weft_record, kind));
	size_t ruling = field_at(offsetof(struct weft_record, ruling));
	size_t state = field_at(offsetof(struct weft_record, state));
	uint64_t worker;

	for (worker = 0; worker < section->instances; worker++) {
		struct weft_cursor cursor = { 0, 0, 0 };
		union {
			uint64_t words[sizeof(struct weft_record) / 8];
			struct weft_record record;
		} slot;
		int found;

		while ((found = weft_next(&cursor, instance(section, worker), section, slot.words,
					  sizeof slot.words / 8)) != 0) {
			const struct weft_record *record = &slot.record;

			if (found < 0)
				continue;
			printf("flow %" PRIu64 " %s protocol %u ", record->flow, code(kind, record->kind), record->protocol);
			end(record->initiator, record->family, record->initiator_l4);
			printf(" -> ");
			end(record->responder, record->family, record->responder_l4);
			printf(" %s by %s, %s, %" PRIu64 "+%" PRIu64 " packets %" PRIu64 "+%" PRIu64 " bytes\n",
			       code(ruling, record->ruling),
			       name(WEFT_LABEL_RULE, WEFT_ANY, record->rule),
			       code(state, record->state), record->initiator_packets, record->responder_packets,
			       record->initiator_bytes, record->responder_bytes);
		}
		printf("worker %" PRIu64 ": %" PRIu64 " records read, %" PRIu64 " lost\n", worker, cursor.read, cursor.lost);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: flows FILE\n");
		return 2;
	}
	map(argv[1]);
	copy_labels();
	print_ports();
	print_flows();
	return 0;
}
