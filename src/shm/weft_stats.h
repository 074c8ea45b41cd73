/* The statistics file of a Weft switch, as C sees it.
 *
 * Made from src/shm by the test `the_c_header_is_that_of_the_tables`; do not edit it.
 * Where sections are, the file's own table says; see src/shm/layout.rs. What this header has
 * compiled in is that of the hash: compare it before anything else is read.
 */
#ifndef WEFT_STATS_H
#define WEFT_STATS_H

#include <stddef.h>
#include <stdint.h>

#define WEFT_STATS_MAGIC "WEFTSTAT"
#define WEFT_STATS_BYTE_ORDER UINT64_C(0x0102030405060708)
#define WEFT_STATS_MAJOR 1
#define WEFT_STATS_MINOR 1
#define WEFT_STATS_HASH UINT64_C(0xe3eeb156a2b160cc)
#define WEFT_NOT_HERE UINT32_MAX /* of a port: not of this host */
#define WEFT_ANY UINT32_MAX /* of a label: whatever its parent */

/* The first bytes of the file. */
struct weft_header {
	uint64_t magic; /* The bytes WEFTSTAT. */
	uint64_t byte_order; /* 0x0102030405060708 as the writer's machine has it. */
	uint64_t major; /* The version: counted up when something moves or changes its meaning. */
	uint64_t minor; /* The version: counted up when something is added. */
	uint64_t layout_hash; /* Stands for all names, places, widths and meanings. */
	uint64_t header_len; /* Bytes of the header with its tables. */
	uint64_t file_len; /* Bytes of the file. */
	uint64_t sections_at; /* Where the table of sections is. */
	uint64_t sections; /* How many sections there are. */
	uint64_t section_len; /* Bytes of an entry of that table. */
	uint64_t fields_at; /* Where the table of fields is. */
	uint64_t fields; /* How many fields there are. */
	uint64_t field_len; /* Bytes of an entry of that table. */
	uint64_t workers; /* How many workers there are. */
	uint64_t pid; /* The process that writes. */
	uint64_t instance; /* A number that no other run of a switch has. */
	uint64_t cycles_per_second; /* The rate of the counter that cycles are counted by. */
	uint64_t reserved_17[7];
	uint64_t state; /* 1: being written; 2: superseded by another file of this name; 3: ended. */
	uint64_t heartbeat; /* When the writer last was seen to live: nanoseconds since its start, as all ticks. */
	uint64_t epoch; /* The number of the configuration that is in force. */
	uint64_t wall_clock; /* Nanoseconds of UNIX time at tick 0; it follows the clock as that is set. */
	uint64_t reserved_28[4];
};
_Static_assert(offsetof(struct weft_header, magic) == 0, "header.magic");
_Static_assert(offsetof(struct weft_header, byte_order) == 8, "header.byte_order");
_Static_assert(offsetof(struct weft_header, major) == 16, "header.major");
_Static_assert(offsetof(struct weft_header, minor) == 24, "header.minor");
_Static_assert(offsetof(struct weft_header, layout_hash) == 32, "header.layout_hash");
_Static_assert(offsetof(struct weft_header, header_len) == 40, "header.header_len");
_Static_assert(offsetof(struct weft_header, file_len) == 48, "header.file_len");
_Static_assert(offsetof(struct weft_header, sections_at) == 56, "header.sections_at");
_Static_assert(offsetof(struct weft_header, sections) == 64, "header.sections");
_Static_assert(offsetof(struct weft_header, section_len) == 72, "header.section_len");
_Static_assert(offsetof(struct weft_header, fields_at) == 80, "header.fields_at");
_Static_assert(offsetof(struct weft_header, fields) == 88, "header.fields");
_Static_assert(offsetof(struct weft_header, field_len) == 96, "header.field_len");
_Static_assert(offsetof(struct weft_header, workers) == 104, "header.workers");
_Static_assert(offsetof(struct weft_header, pid) == 112, "header.pid");
_Static_assert(offsetof(struct weft_header, instance) == 120, "header.instance");
_Static_assert(offsetof(struct weft_header, cycles_per_second) == 128, "header.cycles_per_second");
_Static_assert(offsetof(struct weft_header, state) == 192, "header.state");
_Static_assert(offsetof(struct weft_header, heartbeat) == 200, "header.heartbeat");
_Static_assert(offsetof(struct weft_header, epoch) == 208, "header.epoch");
_Static_assert(offsetof(struct weft_header, wall_clock) == 216, "header.wall_clock");
_Static_assert(sizeof(struct weft_header) == 256, "header");

/* A row of the table of sections. */
struct weft_section {
	char name[32]; /* Ends with a zero. */
	uint64_t kind; /* 1: counters, 2: records, 3: labels. */
	uint64_t offset; /* Bytes from the start of the file to the first instance. */
	uint64_t stride; /* Bytes from an instance to the next. */
	uint64_t instances; /* One for each worker, or one. */
	uint64_t lead; /* Bytes of an instance before its rows. */
	uint64_t rows; /* Rows in use; this changes while the file lives. */
	uint64_t row_len; /* Bytes of a row. */
	uint64_t capacity; /* Rows that there is room for. */
	uint64_t first_field; /* The first of its fields in the table of fields. */
	uint64_t fields; /* How many fields it has. */
	uint64_t reserved_14[2];
};
_Static_assert(sizeof(struct weft_section) == 128, "section");

/* A row of the table of fields. */
struct weft_field {
	char name[32]; /* Ends with a zero. */
	uint64_t section; /* The section's place in the table of sections. */
	uint64_t offset; /* Bytes from the start of the row. */
	uint64_t width; /* Bytes of one value. */
	uint64_t count; /* How many values follow each other. */
	uint64_t type; /* 1: number, 2: IPv6 address in network order, 3: code with a label, 4: bits with labels. */
	uint64_t unit; /* 1: none, 2: packets, 3: bytes, 4: nanoseconds, 5: tick, 6: cycles, 7: events. */
	uint64_t merge; /* How several workers' are made one: 1: added, 2: the largest, 3: not at all. */
	uint64_t element; /* The IPFIX information element that it is closest to; 0 if none. */
	uint64_t enterprise; /* The element's enterprise: 0 for IANA's, 29305 for the opposite direction. */
	uint64_t reserved_13[3];
};
_Static_assert(sizeof(struct weft_field) == 128, "field");

enum weft_writer_code {
	WEFT_WRITER_RUNNING = 1,
	WEFT_WRITER_SUPERSEDED = 2,
	WEFT_WRITER_ENDED = 3,
};

enum weft_section_kind_code {
	WEFT_SECTION_KIND_COUNTERS = 1,
	WEFT_SECTION_KIND_RECORDS = 2,
	WEFT_SECTION_KIND_LABELS = 3,
};

enum weft_label_code {
	WEFT_LABEL_PORT = 1,
	WEFT_LABEL_TENANT = 2,
	WEFT_LABEL_RULE = 3,
	WEFT_LABEL_REASON = 4,
	WEFT_LABEL_REASON_HELP = 5,
	WEFT_LABEL_TUNNEL = 6,
	WEFT_LABEL_SEGMENT = 7,
	WEFT_LABEL_GROUP = 8,
	WEFT_LABEL_CLASS = 9,
	WEFT_LABEL_WORKER = 10,
	WEFT_LABEL_CODE = 11,
	WEFT_LABEL_HOST = 12,
	WEFT_LABEL_VERSION = 13,
	WEFT_LABEL_ENDPOINT = 14,
	WEFT_LABEL_SERVICE = 15,
};

enum weft_kind_code {
	WEFT_KIND_UNKNOWN = 0,
	WEFT_KIND_START = 1,
	WEFT_KIND_UPDATE = 2,
	WEFT_KIND_VERDICT = 3,
	WEFT_KIND_END = 4,
};

enum weft_end_code {
	WEFT_END_UNKNOWN = 0,
	WEFT_END_OPEN = 1,
	WEFT_END_CLOSED = 2,
	WEFT_END_RESET = 3,
	WEFT_END_TIMED_OUT = 4,
	WEFT_END_EVICTED = 5,
	WEFT_END_DENIED = 6,
	WEFT_END_REVOKED = 7,
	WEFT_END_PORT_GONE = 8,
	WEFT_END_STOPPED = 9,
	WEFT_END_REUSED = 10,
};

enum weft_ruling_code {
	WEFT_RULING_UNKNOWN = 0,
	WEFT_RULING_ALLOWED = 1,
	WEFT_RULING_DENIED = 2,
	WEFT_RULING_WOULD_DENY = 3,
};

enum weft_flags_code {
	WEFT_FLAGS_INITIATOR_HERE = 1,
	WEFT_FLAGS_RESPONDER_HERE = 2,
	WEFT_FLAGS_PICKED_UP = 4,
	WEFT_FLAGS_LOG = 8,
};

enum weft_tcp_flags_code {
	WEFT_TCP_FLAGS_FIN = 1,
	WEFT_TCP_FLAGS_SYN = 2,
	WEFT_TCP_FLAGS_RST = 4,
	WEFT_TCP_FLAGS_PSH = 8,
	WEFT_TCP_FLAGS_ACK = 16,
	WEFT_TCP_FLAGS_URG = 32,
	WEFT_TCP_FLAGS_ECE = 64,
	WEFT_TCP_FLAGS_CWR = 128,
};

enum weft_state_code {
	WEFT_STATE_UNKNOWN = 0,
	WEFT_STATE_NEW = 1,
	WEFT_STATE_REPLIED = 2,
	WEFT_STATE_UDP_NEW = 3,
	WEFT_STATE_UDP_REPLIED = 4,
	WEFT_STATE_ICMP_NEW = 5,
	WEFT_STATE_ICMP_REPLIED = 6,
	WEFT_STATE_SYN_SENT = 7,
	WEFT_STATE_SYN_RECEIVED = 8,
	WEFT_STATE_ESTABLISHED = 9,
	WEFT_STATE_FIN_WAIT = 10,
	WEFT_STATE_CLOSING = 11,
	WEFT_STATE_TIME_WAIT = 12,
	WEFT_STATE_CLOSED = 13,
};

enum weft_connect_code {
	WEFT_CONNECT_UNKNOWN = 0,
	WEFT_CONNECT_WAITING = 1,
	WEFT_CONNECT_ACCEPTED = 2,
	WEFT_CONNECT_REFUSED = 3,
	WEFT_CONNECT_TIMED_OUT = 4,
	WEFT_CONNECT_DENIED = 5,
	WEFT_CONNECT_UNSEEN = 6,
};

enum weft_section_code {
	WEFT_SECTION_WORKERS = 0,
	WEFT_SECTION_PORTS = 1,
	WEFT_SECTION_PORT_DROPS = 2,
	WEFT_SECTION_TENANTS = 3,
	WEFT_SECTION_TENANT_DROPS = 4,
	WEFT_SECTION_TUNNELS = 5,
	WEFT_SECTION_RULES = 6,
	WEFT_SECTION_RECORDS = 7,
	WEFT_SECTION_LABELS = 8,
	WEFT_SECTION_SERVICE = 9,
	WEFT_SECTION_SERVICE_CONNECT = 10,
	WEFT_SECTION_SERVICE_CLIENT_RTT = 11,
	WEFT_SECTION_SERVICE_SERVER_RTT = 12,
	WEFT_SECTION_SERVICE_RESPONSE = 13,
	WEFT_SECTION_SERVICE_DNS = 14,
	WEFT_SECTION_LATENCY = 15,
};

/* What each worker did: one row in each instance. */
struct weft_workers_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t packets; /* Packets received from ports. */
	uint64_t polls; /* Rounds over its ports. */
	uint64_t empty_polls; /* Rounds that found nothing. */
	uint64_t busy_cycles; /* Cycles spent in rounds that found packets. */
	uint64_t handed_over; /* Packets handed over to other workers. */
	uint64_t received_over; /* Packets taken from other workers. */
	uint64_t waiting; /* Packets that wait for their turn to leave. */
	uint64_t sleeps; /* How many times it slept. */
	uint64_t log_lost; /* Decisions of policy that were not told, for there were too many. */
	uint64_t epoch; /* The number of the configuration that it works by. */
	uint64_t replicated; /* Copies made to reach several destinations. */
	uint64_t originated; /* Packets that the switch made itself: ARP requests. */
	uint64_t consumed; /* Packets that ended in the switch, for they were for it: ARP replies. */
	uint64_t revoked; /* Sessions that ended because a new configuration does not allow them. */
	uint64_t in_flows_packets; /* Packets that passed as part of a flow: what the flows' records have counted. */
	uint64_t in_flows_bytes; /* Bytes of these, of whole frames. */
	uint64_t of_no_flow_packets; /* Packets that passed and are of no flow: ARP, neighbour discovery, errors about flows. */
	uint64_t of_no_flow_bytes; /* Bytes of these, of whole frames. */
	uint64_t records; /* Records written, of flows. */
	uint64_t records_withheld; /* Records not written, of what policy denied: there were too many. */
	uint8_t reserved_176[16];
};
_Static_assert(offsetof(struct weft_workers_row, written) == 8, "workers_row.written");
_Static_assert(offsetof(struct weft_workers_row, packets) == 16, "workers_row.packets");
_Static_assert(offsetof(struct weft_workers_row, polls) == 24, "workers_row.polls");
_Static_assert(offsetof(struct weft_workers_row, empty_polls) == 32, "workers_row.empty_polls");
_Static_assert(offsetof(struct weft_workers_row, busy_cycles) == 40, "workers_row.busy_cycles");
_Static_assert(offsetof(struct weft_workers_row, handed_over) == 48, "workers_row.handed_over");
_Static_assert(offsetof(struct weft_workers_row, received_over) == 56, "workers_row.received_over");
_Static_assert(offsetof(struct weft_workers_row, waiting) == 64, "workers_row.waiting");
_Static_assert(offsetof(struct weft_workers_row, sleeps) == 72, "workers_row.sleeps");
_Static_assert(offsetof(struct weft_workers_row, log_lost) == 80, "workers_row.log_lost");
_Static_assert(offsetof(struct weft_workers_row, epoch) == 88, "workers_row.epoch");
_Static_assert(offsetof(struct weft_workers_row, replicated) == 96, "workers_row.replicated");
_Static_assert(offsetof(struct weft_workers_row, originated) == 104, "workers_row.originated");
_Static_assert(offsetof(struct weft_workers_row, consumed) == 112, "workers_row.consumed");
_Static_assert(offsetof(struct weft_workers_row, revoked) == 120, "workers_row.revoked");
_Static_assert(offsetof(struct weft_workers_row, in_flows_packets) == 128, "workers_row.in_flows_packets");
_Static_assert(offsetof(struct weft_workers_row, in_flows_bytes) == 136, "workers_row.in_flows_bytes");
_Static_assert(offsetof(struct weft_workers_row, of_no_flow_packets) == 144, "workers_row.of_no_flow_packets");
_Static_assert(offsetof(struct weft_workers_row, of_no_flow_bytes) == 152, "workers_row.of_no_flow_bytes");
_Static_assert(offsetof(struct weft_workers_row, records) == 160, "workers_row.records");
_Static_assert(offsetof(struct weft_workers_row, records_withheld) == 168, "workers_row.records_withheld");
_Static_assert(sizeof(struct weft_workers_row) == 192, "workers_row");

/* What each port did. */
struct weft_ports_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t rx_packets; /* Packets received from it. */
	uint64_t rx_bytes; /* Bytes received from it. */
	uint64_t tx_packets; /* Packets sent by it. */
	uint64_t tx_bytes; /* Bytes sent by it. */
	uint64_t drops; /* Packets dropped: received from it, or on the way out by it. */
	uint64_t metered_packets; /* Packets that its meters let pass. */
	uint64_t metered_bytes; /* Bytes of these, as they are charged. */
	uint64_t metered_yellow; /* Packets of these beyond the assured rate. */
	uint64_t held_back; /* Time in which it was not polled, for it or its tenant had used up what it may send. */
	uint64_t cycles; /* Cycles that the worker spent on what it sent. */
	uint64_t to_guest_packets; /* Packets that passed the shaper on the way to it. */
	uint64_t to_guest_bytes; /* Bytes of these, as they are charged. */
	uint64_t to_guest_waited; /* Packets of these that waited. */
	uint64_t to_guest_waiting; /* Time that these waited, in all. */
	uint64_t to_guest_longest; /* Time that one waited at most. */
	uint64_t to_guest_marked; /* Packets that were marked: congestion experienced (RFC 3168). */
	uint64_t to_guest_dropped; /* Packets that the shaper dropped. */
	uint64_t to_fabric_packets; /* Packets from it that passed the uplink's shaper. */
	uint64_t to_fabric_bytes; /* Bytes of these, as they are charged. */
	uint64_t to_fabric_waited; /* Packets of these that waited. */
	uint64_t to_fabric_waiting; /* Time that these waited, in all. */
	uint64_t to_fabric_longest; /* Time that one waited at most. */
	uint64_t to_fabric_marked; /* Packets that were marked: congestion experienced (RFC 3168). */
	uint64_t to_fabric_dropped; /* Packets that the shaper dropped. */
	uint8_t reserved_208[48];
};
_Static_assert(offsetof(struct weft_ports_row, written) == 8, "ports_row.written");
_Static_assert(offsetof(struct weft_ports_row, rx_packets) == 16, "ports_row.rx_packets");
_Static_assert(offsetof(struct weft_ports_row, rx_bytes) == 24, "ports_row.rx_bytes");
_Static_assert(offsetof(struct weft_ports_row, tx_packets) == 32, "ports_row.tx_packets");
_Static_assert(offsetof(struct weft_ports_row, tx_bytes) == 40, "ports_row.tx_bytes");
_Static_assert(offsetof(struct weft_ports_row, drops) == 48, "ports_row.drops");
_Static_assert(offsetof(struct weft_ports_row, metered_packets) == 56, "ports_row.metered_packets");
_Static_assert(offsetof(struct weft_ports_row, metered_bytes) == 64, "ports_row.metered_bytes");
_Static_assert(offsetof(struct weft_ports_row, metered_yellow) == 72, "ports_row.metered_yellow");
_Static_assert(offsetof(struct weft_ports_row, held_back) == 80, "ports_row.held_back");
_Static_assert(offsetof(struct weft_ports_row, cycles) == 88, "ports_row.cycles");
_Static_assert(offsetof(struct weft_ports_row, to_guest_packets) == 96, "ports_row.to_guest_packets");
_Static_assert(offsetof(struct weft_ports_row, to_guest_bytes) == 104, "ports_row.to_guest_bytes");
_Static_assert(offsetof(struct weft_ports_row, to_guest_waited) == 112, "ports_row.to_guest_waited");
_Static_assert(offsetof(struct weft_ports_row, to_guest_waiting) == 120, "ports_row.to_guest_waiting");
_Static_assert(offsetof(struct weft_ports_row, to_guest_longest) == 128, "ports_row.to_guest_longest");
_Static_assert(offsetof(struct weft_ports_row, to_guest_marked) == 136, "ports_row.to_guest_marked");
_Static_assert(offsetof(struct weft_ports_row, to_guest_dropped) == 144, "ports_row.to_guest_dropped");
_Static_assert(offsetof(struct weft_ports_row, to_fabric_packets) == 152, "ports_row.to_fabric_packets");
_Static_assert(offsetof(struct weft_ports_row, to_fabric_bytes) == 160, "ports_row.to_fabric_bytes");
_Static_assert(offsetof(struct weft_ports_row, to_fabric_waited) == 168, "ports_row.to_fabric_waited");
_Static_assert(offsetof(struct weft_ports_row, to_fabric_waiting) == 176, "ports_row.to_fabric_waiting");
_Static_assert(offsetof(struct weft_ports_row, to_fabric_longest) == 184, "ports_row.to_fabric_longest");
_Static_assert(offsetof(struct weft_ports_row, to_fabric_marked) == 192, "ports_row.to_fabric_marked");
_Static_assert(offsetof(struct weft_ports_row, to_fabric_dropped) == 200, "ports_row.to_fabric_dropped");
_Static_assert(sizeof(struct weft_ports_row) == 256, "ports_row");

/* Drops at each port, by reason. */
struct weft_port_drops_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t packets[]; /* Packets dropped, by reason: a label of kind reason. */
};
_Static_assert(offsetof(struct weft_port_drops_row, written) == 8, "port_drops_row.written");
_Static_assert(offsetof(struct weft_port_drops_row, packets) == 16, "port_drops_row.packets");

/* What each tenant's guests did. */
struct weft_tenants_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t to_fabric_packets; /* Packets sent into the fabric. */
	uint64_t to_fabric_bytes; /* Bytes sent into the fabric. */
	uint64_t from_fabric_packets; /* Packets from the fabric. */
	uint64_t from_fabric_bytes; /* Bytes from the fabric. */
	uint64_t drops; /* Packets dropped, wherever their tenant was known. */
	uint8_t reserved_56[8];
};
_Static_assert(offsetof(struct weft_tenants_row, written) == 8, "tenants_row.written");
_Static_assert(offsetof(struct weft_tenants_row, to_fabric_packets) == 16, "tenants_row.to_fabric_packets");
_Static_assert(offsetof(struct weft_tenants_row, to_fabric_bytes) == 24, "tenants_row.to_fabric_bytes");
_Static_assert(offsetof(struct weft_tenants_row, from_fabric_packets) == 32, "tenants_row.from_fabric_packets");
_Static_assert(offsetof(struct weft_tenants_row, from_fabric_bytes) == 40, "tenants_row.from_fabric_bytes");
_Static_assert(offsetof(struct weft_tenants_row, drops) == 48, "tenants_row.drops");
_Static_assert(sizeof(struct weft_tenants_row) == 64, "tenants_row");

/* Drops of each tenant, by reason. */
struct weft_tenant_drops_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t packets[]; /* Packets dropped, by reason: a label of kind reason. */
};
_Static_assert(offsetof(struct weft_tenant_drops_row, written) == 8, "tenant_drops_row.written");
_Static_assert(offsetof(struct weft_tenant_drops_row, packets) == 16, "tenant_drops_row.packets");

/* What went through the tunnel to each other host. */
struct weft_tunnels_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t tx_packets; /* Packets encapsulated to its VTEP. */
	uint64_t tx_bytes; /* Bytes of these, outer headers included. */
	uint64_t rx_packets; /* Packets from its VTEP that were accepted. */
	uint64_t rx_bytes; /* Bytes of these, outer headers included. */
	uint8_t reserved_48[16];
};
_Static_assert(offsetof(struct weft_tunnels_row, written) == 8, "tunnels_row.written");
_Static_assert(offsetof(struct weft_tunnels_row, tx_packets) == 16, "tunnels_row.tx_packets");
_Static_assert(offsetof(struct weft_tunnels_row, tx_bytes) == 24, "tunnels_row.tx_bytes");
_Static_assert(offsetof(struct weft_tunnels_row, rx_packets) == 32, "tunnels_row.rx_packets");
_Static_assert(offsetof(struct weft_tunnels_row, rx_bytes) == 40, "tunnels_row.rx_bytes");
_Static_assert(sizeof(struct weft_tunnels_row) == 64, "tunnels_row");

/* What each rule and each tenant's default decided. */
struct weft_rules_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t hits; /* Connections, or packets that belong to none, that it decided. */
	uint64_t denied; /* Packets dropped because of it. */
	uint64_t would_deny; /* Packets that would have been, were it not only counted. */
	uint64_t last_hit; /* When it last decided something; 0 if it never did. */
	uint8_t reserved_48[16];
};
_Static_assert(offsetof(struct weft_rules_row, written) == 8, "rules_row.written");
_Static_assert(offsetof(struct weft_rules_row, hits) == 16, "rules_row.hits");
_Static_assert(offsetof(struct weft_rules_row, denied) == 24, "rules_row.denied");
_Static_assert(offsetof(struct weft_rules_row, would_deny) == 32, "rules_row.would_deny");
_Static_assert(offsetof(struct weft_rules_row, last_hit) == 40, "rules_row.last_hit");
_Static_assert(sizeof(struct weft_rules_row) == 64, "rules_row");

/* Flows, the newest records of each worker. */
struct weft_record {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t flow; /* The flow's number, unique in the instance. */
	uint64_t started; /* When the session's first packet came. */
	uint64_t last; /* When its last packet came. */
	uint64_t written; /* When this record was written. */
	uint8_t initiator[16]; /* The initiator's address; of IPv4 the mapped one. */
	uint8_t responder[16]; /* The responder's address; of IPv4 the mapped one. */
	uint64_t initiator_packets; /* Packets from the initiator. */
	uint64_t initiator_bytes; /* Bytes from the initiator. */
	uint64_t responder_packets; /* Packets from the responder. */
	uint64_t responder_bytes; /* Bytes from the responder. */
	uint32_t number; /* The record's number among those of its flow, from 0. */
	uint32_t epoch; /* The low half of the number of the configuration that decided. */
	uint32_t tenant; /* The tenant: a row of `tenants`. */
	uint32_t vni; /* The segment's VNI. */
	uint32_t initiator_port; /* The initiator's port: a row of `ports`; 4294967295 if not of this host. */
	uint32_t responder_port; /* The responder's port: a row of `ports`; 4294967295 if not of this host. */
	uint32_t initiator_class; /* The initiator's set of groups: a label of kind class. */
	uint32_t responder_class; /* The responder's set of groups: a label of kind class. */
	uint32_t rule; /* The rule, or default, that decided: a row of `rules`. */
	uint32_t would_rule; /* The one that would have, if those under audit counted. */
	uint16_t initiator_l4; /* The initiator's TCP, UDP or SCTP port; of an ICMP query its identifier; else 0. */
	uint16_t responder_l4; /* The responder's port; of ICMP the type (high byte) and code; else 0. */
	uint8_t kind; /* Why the record was written. */
	uint8_t end; /* Why the session ended. */
	uint8_t family; /* 4 or 6. */
	uint8_t protocol; /* The protocol (IANA number). */
	uint8_t ruling; /* What policy makes of it. */
	uint8_t flags; /* Yes or no about it. */
	uint8_t initiator_tcp_flags; /* TCP flags that the initiator sent, all together. */
	uint8_t responder_tcp_flags; /* TCP flags that the responder sent, all together. */
	uint8_t state; /* The session's state. */
	uint8_t connect; /* What came of the attempt to connect. */
	uint8_t initiator_resets; /* TCP resets from the initiator; 255: that or more. */
	uint8_t responder_resets; /* TCP resets from the responder; 255: that or more. */
	uint64_t initiator_connect; /* From the answer to the initiator's first packet to its next: the way to the initiator and back; 0: not known. */
	uint64_t responder_connect; /* From the initiator's first packet to the answer: the way to the responder and back; 0: not known. */
	uint64_t first_response; /* From the initiator's first data to the responder's first; 0: not known. */
	uint32_t initiator_rtt; /* The round trip between here and the initiator, smoothed (RFC 6298); 4294967295: that or more; 0: not known. */
	uint32_t initiator_rtt_least; /* The shortest one. */
	uint32_t responder_rtt; /* The round trip between here and the responder, smoothed (RFC 6298); 4294967295: that or more; 0: not known. */
	uint32_t responder_rtt_least; /* The shortest one. */
	uint32_t initiator_retransmitted; /* TCP segments that the initiator sent again. */
	uint32_t responder_retransmitted; /* TCP segments that the responder sent again. */
	uint16_t initiator_zero_windows; /* Times that the initiator's window closed. */
	uint16_t responder_zero_windows; /* Times that the responder's window closed. */
	uint16_t dns_queries; /* DNS queries, of a flow over UDP to port 53; one that was asked again is one; 65535: that or more. */
	uint16_t dns_answers; /* Responses to them; 65535: that or more. */
	uint8_t dns_rcode; /* The code of the last response, if there was one. */
	uint8_t reserved_217[39];
};
_Static_assert(offsetof(struct weft_record, flow) == 8, "record.flow");
_Static_assert(offsetof(struct weft_record, started) == 16, "record.started");
_Static_assert(offsetof(struct weft_record, last) == 24, "record.last");
_Static_assert(offsetof(struct weft_record, written) == 32, "record.written");
_Static_assert(offsetof(struct weft_record, initiator) == 40, "record.initiator");
_Static_assert(offsetof(struct weft_record, responder) == 56, "record.responder");
_Static_assert(offsetof(struct weft_record, initiator_packets) == 72, "record.initiator_packets");
_Static_assert(offsetof(struct weft_record, initiator_bytes) == 80, "record.initiator_bytes");
_Static_assert(offsetof(struct weft_record, responder_packets) == 88, "record.responder_packets");
_Static_assert(offsetof(struct weft_record, responder_bytes) == 96, "record.responder_bytes");
_Static_assert(offsetof(struct weft_record, number) == 104, "record.number");
_Static_assert(offsetof(struct weft_record, epoch) == 108, "record.epoch");
_Static_assert(offsetof(struct weft_record, tenant) == 112, "record.tenant");
_Static_assert(offsetof(struct weft_record, vni) == 116, "record.vni");
_Static_assert(offsetof(struct weft_record, initiator_port) == 120, "record.initiator_port");
_Static_assert(offsetof(struct weft_record, responder_port) == 124, "record.responder_port");
_Static_assert(offsetof(struct weft_record, initiator_class) == 128, "record.initiator_class");
_Static_assert(offsetof(struct weft_record, responder_class) == 132, "record.responder_class");
_Static_assert(offsetof(struct weft_record, rule) == 136, "record.rule");
_Static_assert(offsetof(struct weft_record, would_rule) == 140, "record.would_rule");
_Static_assert(offsetof(struct weft_record, initiator_l4) == 144, "record.initiator_l4");
_Static_assert(offsetof(struct weft_record, responder_l4) == 146, "record.responder_l4");
_Static_assert(offsetof(struct weft_record, kind) == 148, "record.kind");
_Static_assert(offsetof(struct weft_record, end) == 149, "record.end");
_Static_assert(offsetof(struct weft_record, family) == 150, "record.family");
_Static_assert(offsetof(struct weft_record, protocol) == 151, "record.protocol");
_Static_assert(offsetof(struct weft_record, ruling) == 152, "record.ruling");
_Static_assert(offsetof(struct weft_record, flags) == 153, "record.flags");
_Static_assert(offsetof(struct weft_record, initiator_tcp_flags) == 154, "record.initiator_tcp_flags");
_Static_assert(offsetof(struct weft_record, responder_tcp_flags) == 155, "record.responder_tcp_flags");
_Static_assert(offsetof(struct weft_record, state) == 156, "record.state");
_Static_assert(offsetof(struct weft_record, connect) == 157, "record.connect");
_Static_assert(offsetof(struct weft_record, initiator_resets) == 158, "record.initiator_resets");
_Static_assert(offsetof(struct weft_record, responder_resets) == 159, "record.responder_resets");
_Static_assert(offsetof(struct weft_record, initiator_connect) == 160, "record.initiator_connect");
_Static_assert(offsetof(struct weft_record, responder_connect) == 168, "record.responder_connect");
_Static_assert(offsetof(struct weft_record, first_response) == 176, "record.first_response");
_Static_assert(offsetof(struct weft_record, initiator_rtt) == 184, "record.initiator_rtt");
_Static_assert(offsetof(struct weft_record, initiator_rtt_least) == 188, "record.initiator_rtt_least");
_Static_assert(offsetof(struct weft_record, responder_rtt) == 192, "record.responder_rtt");
_Static_assert(offsetof(struct weft_record, responder_rtt_least) == 196, "record.responder_rtt_least");
_Static_assert(offsetof(struct weft_record, initiator_retransmitted) == 200, "record.initiator_retransmitted");
_Static_assert(offsetof(struct weft_record, responder_retransmitted) == 204, "record.responder_retransmitted");
_Static_assert(offsetof(struct weft_record, initiator_zero_windows) == 208, "record.initiator_zero_windows");
_Static_assert(offsetof(struct weft_record, responder_zero_windows) == 210, "record.responder_zero_windows");
_Static_assert(offsetof(struct weft_record, dns_queries) == 212, "record.dns_queries");
_Static_assert(offsetof(struct weft_record, dns_answers) == 214, "record.dns_answers");
_Static_assert(offsetof(struct weft_record, dns_rcode) == 216, "record.dns_rcode");
_Static_assert(sizeof(struct weft_record) == 256, "record");

/* What came of connections and DNS queries, by pair of groups. */
struct weft_service_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t accepted; /* TCP connections that the server accepted. */
	uint64_t refused; /* TCP connections that the server refused, by a reset. */
	uint64_t timed_out; /* TCP connections that nobody answered. */
	uint64_t denied; /* SYNs that policy did not let pass. */
	uint64_t reset; /* TCP connections that a reset ended. */
	uint64_t dns_queries; /* DNS queries; one that was asked again is one. */
	uint64_t dns_noerror; /* Responses to them: NOERROR. */
	uint64_t dns_nxdomain; /* Responses: NXDOMAIN, there is no such name. */
	uint64_t dns_servfail; /* Responses: SERVFAIL, the server could not. */
	uint64_t dns_refused; /* Responses: REFUSED, the server would not. */
	uint64_t dns_other; /* Responses with any other code. */
	uint64_t dns_unanswered; /* Queries that nobody answered, as far as nobody waits any more. */
	uint8_t reserved_112[16];
};
_Static_assert(offsetof(struct weft_service_row, written) == 8, "service_row.written");
_Static_assert(offsetof(struct weft_service_row, accepted) == 16, "service_row.accepted");
_Static_assert(offsetof(struct weft_service_row, refused) == 24, "service_row.refused");
_Static_assert(offsetof(struct weft_service_row, timed_out) == 32, "service_row.timed_out");
_Static_assert(offsetof(struct weft_service_row, denied) == 40, "service_row.denied");
_Static_assert(offsetof(struct weft_service_row, reset) == 48, "service_row.reset");
_Static_assert(offsetof(struct weft_service_row, dns_queries) == 56, "service_row.dns_queries");
_Static_assert(offsetof(struct weft_service_row, dns_noerror) == 64, "service_row.dns_noerror");
_Static_assert(offsetof(struct weft_service_row, dns_nxdomain) == 72, "service_row.dns_nxdomain");
_Static_assert(offsetof(struct weft_service_row, dns_servfail) == 80, "service_row.dns_servfail");
_Static_assert(offsetof(struct weft_service_row, dns_refused) == 88, "service_row.dns_refused");
_Static_assert(offsetof(struct weft_service_row, dns_other) == 96, "service_row.dns_other");
_Static_assert(offsetof(struct weft_service_row, dns_unanswered) == 104, "service_row.dns_unanswered");
_Static_assert(sizeof(struct weft_service_row) == 128, "service_row");

/* How long TCP took to connect, by pair of groups. */
struct weft_service_connect_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t samples; /* How many times there are. */
	uint64_t sum; /* Their sum. */
	uint64_t longest; /* The longest. */
	uint64_t cells[432]; /* Times by cell. With q = c / 16 and r = c % 16, cell c is of r * 64 ns to (r + 1) * 64 ns if q is 0, else of (16 + r) * 2^(q + 5) ns to (17 + r) * 2^(q + 5) ns; the last is of all beyond too. */
	uint8_t reserved_3496[24];
};
_Static_assert(offsetof(struct weft_service_connect_row, written) == 8, "service_connect_row.written");
_Static_assert(offsetof(struct weft_service_connect_row, samples) == 16, "service_connect_row.samples");
_Static_assert(offsetof(struct weft_service_connect_row, sum) == 24, "service_connect_row.sum");
_Static_assert(offsetof(struct weft_service_connect_row, longest) == 32, "service_connect_row.longest");
_Static_assert(offsetof(struct weft_service_connect_row, cells) == 40, "service_connect_row.cells");
_Static_assert(sizeof(struct weft_service_connect_row) == 3520, "service_connect_row");

/* Round trips of TCP between here and the client, by pair of groups; 4.29 s at most. */
struct weft_service_client_rtt_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t samples; /* How many times there are. */
	uint64_t sum; /* Their sum. */
	uint64_t longest; /* The longest. */
	uint64_t cells[432]; /* Times by cell. With q = c / 16 and r = c % 16, cell c is of r * 64 ns to (r + 1) * 64 ns if q is 0, else of (16 + r) * 2^(q + 5) ns to (17 + r) * 2^(q + 5) ns; the last is of all beyond too. */
	uint8_t reserved_3496[24];
};
_Static_assert(offsetof(struct weft_service_client_rtt_row, written) == 8, "service_client_rtt_row.written");
_Static_assert(offsetof(struct weft_service_client_rtt_row, samples) == 16, "service_client_rtt_row.samples");
_Static_assert(offsetof(struct weft_service_client_rtt_row, sum) == 24, "service_client_rtt_row.sum");
_Static_assert(offsetof(struct weft_service_client_rtt_row, longest) == 32, "service_client_rtt_row.longest");
_Static_assert(offsetof(struct weft_service_client_rtt_row, cells) == 40, "service_client_rtt_row.cells");
_Static_assert(sizeof(struct weft_service_client_rtt_row) == 3520, "service_client_rtt_row");

/* Round trips of TCP between here and the server, by pair of groups; 4.29 s at most. */
struct weft_service_server_rtt_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t samples; /* How many times there are. */
	uint64_t sum; /* Their sum. */
	uint64_t longest; /* The longest. */
	uint64_t cells[432]; /* Times by cell. With q = c / 16 and r = c % 16, cell c is of r * 64 ns to (r + 1) * 64 ns if q is 0, else of (16 + r) * 2^(q + 5) ns to (17 + r) * 2^(q + 5) ns; the last is of all beyond too. */
	uint8_t reserved_3496[24];
};
_Static_assert(offsetof(struct weft_service_server_rtt_row, written) == 8, "service_server_rtt_row.written");
_Static_assert(offsetof(struct weft_service_server_rtt_row, samples) == 16, "service_server_rtt_row.samples");
_Static_assert(offsetof(struct weft_service_server_rtt_row, sum) == 24, "service_server_rtt_row.sum");
_Static_assert(offsetof(struct weft_service_server_rtt_row, longest) == 32, "service_server_rtt_row.longest");
_Static_assert(offsetof(struct weft_service_server_rtt_row, cells) == 40, "service_server_rtt_row.cells");
_Static_assert(sizeof(struct weft_service_server_rtt_row) == 3520, "service_server_rtt_row");

/* From a client's first data to the server's first, of TCP, by pair of groups. */
struct weft_service_response_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t samples; /* How many times there are. */
	uint64_t sum; /* Their sum. */
	uint64_t longest; /* The longest. */
	uint64_t cells[432]; /* Times by cell. With q = c / 16 and r = c % 16, cell c is of r * 64 ns to (r + 1) * 64 ns if q is 0, else of (16 + r) * 2^(q + 5) ns to (17 + r) * 2^(q + 5) ns; the last is of all beyond too. */
	uint8_t reserved_3496[24];
};
_Static_assert(offsetof(struct weft_service_response_row, written) == 8, "service_response_row.written");
_Static_assert(offsetof(struct weft_service_response_row, samples) == 16, "service_response_row.samples");
_Static_assert(offsetof(struct weft_service_response_row, sum) == 24, "service_response_row.sum");
_Static_assert(offsetof(struct weft_service_response_row, longest) == 32, "service_response_row.longest");
_Static_assert(offsetof(struct weft_service_response_row, cells) == 40, "service_response_row.cells");
_Static_assert(sizeof(struct weft_service_response_row) == 3520, "service_response_row");

/* From a DNS query to its response, by pair of groups. */
struct weft_service_dns_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t samples; /* How many times there are. */
	uint64_t sum; /* Their sum. */
	uint64_t longest; /* The longest. */
	uint64_t cells[432]; /* Times by cell. With q = c / 16 and r = c % 16, cell c is of r * 64 ns to (r + 1) * 64 ns if q is 0, else of (16 + r) * 2^(q + 5) ns to (17 + r) * 2^(q + 5) ns; the last is of all beyond too. */
	uint8_t reserved_3496[24];
};
_Static_assert(offsetof(struct weft_service_dns_row, written) == 8, "service_dns_row.written");
_Static_assert(offsetof(struct weft_service_dns_row, samples) == 16, "service_dns_row.samples");
_Static_assert(offsetof(struct weft_service_dns_row, sum) == 24, "service_dns_row.sum");
_Static_assert(offsetof(struct weft_service_dns_row, longest) == 32, "service_dns_row.longest");
_Static_assert(offsetof(struct weft_service_dns_row, cells) == 40, "service_dns_row.cells");
_Static_assert(sizeof(struct weft_service_dns_row) == 3520, "service_dns_row");

/* How long bursts were in the switch, one of 16: one row in each instance. */
struct weft_latency_row {
	uint64_t sequence; /* Even when the row is whole. */
	uint64_t written; /* When this row was written. */
	uint64_t samples; /* How many times there are. */
	uint64_t sum; /* Their sum. */
	uint64_t longest; /* The longest. */
	uint64_t cells[432]; /* Times by cell. With q = c / 16 and r = c % 16, cell c is of r * 64 ns to (r + 1) * 64 ns if q is 0, else of (16 + r) * 2^(q + 5) ns to (17 + r) * 2^(q + 5) ns; the last is of all beyond too. */
	uint8_t reserved_3496[24];
};
_Static_assert(offsetof(struct weft_latency_row, written) == 8, "latency_row.written");
_Static_assert(offsetof(struct weft_latency_row, samples) == 16, "latency_row.samples");
_Static_assert(offsetof(struct weft_latency_row, sum) == 24, "latency_row.sum");
_Static_assert(offsetof(struct weft_latency_row, longest) == 32, "latency_row.longest");
_Static_assert(offsetof(struct weft_latency_row, cells) == 40, "latency_row.cells");
_Static_assert(sizeof(struct weft_latency_row) == 3520, "latency_row");

/* A label is this, and its text in UTF-8, filled up with zeros to a multiple of 8 bytes. */
struct weft_label {
	uint32_t kind; /* enum weft_label_code */
	uint32_t id;
	uint32_t parent;
	uint32_t len; /* Bytes of the text. */
};

/* A word that the writer may change at any moment. */
static inline uint64_t weft_load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* What is loaded from here on is not older than what was loaded before. */
static inline void weft_fence(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Copies a row of `words` words, its sequence included; 0 when it was being written: look again. */
static inline int weft_read_row(const uint64_t *row, uint64_t *copy, size_t words)
{
	size_t i;

	copy[0] = weft_load(row);
	weft_fence();
	for (i = 1; i < words; i++)
		copy[i] = weft_load(row + i);
	weft_fence();
	return (copy[0] & 1) == 0 && weft_load(row) == copy[0];
}

/* Where a reader is in a ring. What it read and what it lost make up what was written, always. */
struct weft_cursor {
	uint64_t next; /* The number of the record that comes next, from 0. */
	uint64_t read;
	uint64_t lost;
};

/* The next record of the ring that begins at `instance`: 1 with a record in `copy`, 0 when there is none for now, -1
 * when some were lost: look again. `copy` has room for `words` words, and a slot has as many or more. */
static inline int weft_next(struct weft_cursor *cursor, const uint64_t *instance, const struct weft_section *section,
			    uint64_t *copy, size_t words)
{
	uint64_t capacity = section->capacity, written = weft_load(instance), oldest;
	const uint64_t *slots = instance + section->lead / 8;

	weft_fence();
	if (written <= cursor->next)
		return 0;
	if (written - cursor->next <= capacity &&
	    weft_read_row(slots + (cursor->next & (capacity - 1)) * (section->row_len / 8), copy, words) &&
	    copy[0] == 2 * cursor->next + 2) {
		cursor->next++;
		cursor->read++;
		return 1;
	}
	written = weft_load(instance);
	weft_fence();
	oldest = written > capacity ? written - (capacity - capacity / 8) : 0;
	if (oldest <= cursor->next)
		oldest = cursor->next + 1;
	cursor->lost += oldest - cursor->next;
	cursor->next = oldest;
	return -1;
}

#endif
