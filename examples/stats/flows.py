#!/usr/bin/env python3
"""Prints what a Weft switch's statistics file tells: the ports' counters, and the newest flows.

    python3 examples/stats/flows.py /run/weft/hv-a/stats

It knows the header and the two tables behind it, and finds all else by name in these; see src/shm/layout.rs. With
--tables it prints them.
"""

import ipaddress
import mmap
import struct
import sys
import time

MAGIC = b"WEFTSTAT"
BYTE_ORDER = 0x0102030405060708
MAJOR = 1
# The header's words, by their places.
HEADER = {"major": 2, "minor": 3, "file_len": 6, "sections_at": 7, "sections": 8, "section_len": 9, "fields_at": 10,
          "fields": 11, "field_len": 12, "workers": 13, "pid": 14, "state": 24, "heartbeat": 25, "wall_clock": 27}
# The words of an entry of either table, behind its name.
SECTION = ("kind", "offset", "stride", "instances", "lead", "rows", "row_len", "capacity", "first_field", "fields")
FIELD = ("section", "offset", "width", "count", "type", "unit", "merge", "element", "enterprise")
COUNTERS, RECORDS, LABELS = 1, 2, 3
NUMBER, ADDRESS = 1, 2
SUM, MAX = 1, 2
PORT, RULE, CODE = 1, 3, 11
NONE = 0xFFFFFFFF


class Stats:
    """A statistics file."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self.map[:8] != MAGIC:
            raise ValueError("not a statistics file of Weft")
        if self.word(8) != BYTE_ORDER:
            raise ValueError("another byte order")
        if self.head("major") != MAJOR:
            raise ValueError(f"version {self.head('major')}.{self.head('minor')}; this program knows {MAJOR}")
        if self.head("file_len") > len(self.map):
            raise ValueError("cut short")
        fields = self.table("fields", "field_len", FIELD)
        for place, field in enumerate(fields):
            field["place"] = place
        self.sections = {}
        for section in self.table("sections", "section_len", SECTION):
            first = section["first_field"]
            section["fields"] = fields[first:first + section["fields"]]
            self.sections[section["name"]] = section
        self.names = self.labels()

    def word(self, at):
        return struct.unpack_from("=Q", self.map, at)[0]

    def head(self, name):
        return self.word(8 * HEADER[name])

    def table(self, name, entry_len, words):
        start, count, length = self.head(name + "_at"), self.head(name), self.head(entry_len)
        entries = []
        for at in range(start, start + count * length, length):
            entry = dict(zip(words, struct.unpack_from(f"={len(words)}Q", self.map, at + 32)))
            entry["name"] = self.map[at:at + 32].split(b"\0")[0].decode()
            entry["at"] = at + 32
            entries.append(entry)
        return entries

    def row(self, at, length):
        """The bytes of a row, or None while it is being written."""
        sequence = self.word(at)
        row = self.map[at:at + length]
        # Loads are in order on the machines where this matters; others need a fence that Python has not.
        return row if sequence % 2 == 0 and self.word(at) == sequence else None

    def whole_row(self, at, length):
        """The bytes of a row that its writer may be writing now, or may wait for a core to write."""
        for _ in range(2000):
            if (row := self.row(at, length)) is not None:
                return row
            time.sleep(0.00005)
        raise ValueError("a row is being written all the time: the switch has died")

    def values(self, section, row):
        """A row's fields by name."""
        kinds = {1: "B", 2: "H", 4: "I", 8: "Q"}
        values = {}
        for field in section["fields"]:
            at, width, count = field["offset"], field["width"], field["count"]
            if field["type"] == ADDRESS:
                values[field["name"]] = ipaddress.IPv6Address(row[at:at + width])
                continue
            numbers = struct.unpack_from(f"={count}{kinds[width]}", row, at)
            values[field["name"]] = numbers[0] if count == 1 else numbers
        return values

    def counters(self, name):
        """The rows of all workers together."""
        section = self.sections[name]
        for index in range(min(self.word(section["at"] + 8 * SECTION.index("rows")), section["capacity"])):
            total = None
            for instance in range(section["instances"]):
                at = section["offset"] + instance * section["stride"] + section["lead"] + index * section["row_len"]
                values = self.values(section, self.whole_row(at, section["row_len"]))
                total = values if total is None else merge(section["fields"], total, values)
            yield index, total

    def records(self):
        """The records of each worker that are there: (worker, record), and (worker, read, lost) at a worker's end."""
        section = next(s for s in self.sections.values() if s["kind"] == RECORDS)
        capacity = section["capacity"]
        for worker in range(section["instances"]):
            start = section["offset"] + worker * section["stride"]
            number = read = lost = 0
            while number < (written := self.word(start)):
                row = None
                if written - number <= capacity:
                    at = start + section["lead"] + number % capacity * section["row_len"]
                    row = self.row(at, section["row_len"])
                if row is not None and struct.unpack_from("=Q", row)[0] == 2 * number + 2:
                    yield worker, self.values(section, row)
                    number, read = number + 1, read + 1
                    continue
                oldest = max(self.word(start) - (capacity - capacity // 8), number + 1)
                lost, number = lost + oldest - number, oldest
            yield worker, read, lost

    def labels(self):
        """Names by (kind, parent, id)."""
        section = next(s for s in self.sections.values() if s["kind"] == LABELS)
        start = section["offset"]
        while True:
            generation = self.word(start)
            length = self.word(start + 8 * (1 + generation % 2))
            at = start + section["lead"] + generation % 2 * section["row_len"]
            data = self.map[at:at + length]
            if self.word(start) == generation:
                break
        names, at = {}, 0
        while at < len(data):
            kind, ident, parent, length = struct.unpack_from("=4I", data, at)
            names[kind, parent, ident] = data[at + 16:at + 16 + length].decode()
            at += 16 + (length + 7) // 8 * 8
        return names

    def name(self, kind, parent, ident):
        return self.names.get((kind, parent, ident), str(ident))

    def code(self, field, value):
        section = self.sections["records"]
        place = next(f["place"] for f in section["fields"] if f["name"] == field)
        return self.name(CODE, place, value)


def merge(fields, one, other):
    both = {}
    for field in fields:
        name = field["name"]
        how = {SUM: lambda a, b: a + b, MAX: max}.get(field["merge"], lambda a, b: b)
        many = field["count"] > 1
        both[name] = tuple(map(how, one[name], other[name])) if many else how(one[name], other[name])
    return both


def end(address, family, port):
    return f"{address.ipv4_mapped}:{port}" if family == 4 else f"[{address}]:{port}"


def print_tables(stats):
    for section in stats.sections.values():
        print(f"{section['name']}: {section['instances']} x {section['capacity']} rows of {section['row_len']} bytes")
        for field in section["fields"]:
            print(f"  {field['offset']:4} {field['name']} {field['count']} x {field['width']}")


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--tables"]
    if len(arguments) != 1:
        sys.exit("usage: flows.py [--tables] FILE")
    stats = Stats(arguments[0])
    if "--tables" in sys.argv:
        return print_tables(stats)
    for index, port in stats.counters("ports"):
        print(f"port {stats.name(PORT, 0, index)} rx {port['rx_packets']} packets {port['rx_bytes']} bytes, "
              f"tx {port['tx_packets']} packets {port['tx_bytes']} bytes, {port['drops']} dropped")
    rules = {ident: name for (kind, _, ident), name in stats.names.items() if kind == RULE}
    for worker, *found in stats.records():
        if len(found) == 2:
            print(f"worker {worker}: {found[0]} records read, {found[1]} lost")
            continue
        flow = found[0]
        rule = rules.get(flow["rule"], str(flow["rule"]))
        print(f"flow {flow['flow']} {stats.code('kind', flow['kind'])} protocol {flow['protocol']} "
              f"{end(flow['initiator'], flow['family'], flow['initiator_l4'])} -> "
              f"{end(flow['responder'], flow['family'], flow['responder_l4'])} "
              f"{stats.code('ruling', flow['ruling'])} by {rule}, {stats.code('state', flow['state'])}, "
              f"{flow['initiator_packets']}+{flow['responder_packets']} packets "
              f"{flow['initiator_bytes']}+{flow['responder_bytes']} bytes")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"flows.py: {error}")
