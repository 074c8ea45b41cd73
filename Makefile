# Weft: `make demo` runs the main job, `make test` passes the tests. Both install what is missing first.

CARGO ?= cargo
PACKAGES := testbed/packages

# What each part needs, by Debian's names.
FOR_BUILD := gcc libc6-dev pkg-config libdpdk-dev libclang-dev
FOR_VMS := qemu-system-x86 busybox-static cpio
FOR_INSTRUCTIONS := valgrind
FOR_PEERS := dpdk-dev openvswitch-switch-dpdk nftables iproute2 ethtool
FOR_TESTS := $(FOR_VMS) curl dpdk-dev iperf3 iproute2 iputils-ping ethtool nfdump prometheus python3 tcpdump tshark tmux

.PHONY: all build release demo demo-vm test lint bench bench-save bench-peers bench-scale instructions fuzz clean for-build for-vms for-tests \
	for-instructions for-peers

all: release

# The switch, with all optimisation: target/release/weft.
release: for-build
	$(CARGO) build --locked --release --bins --workspace

# The same without the long optimisation, as the tests use it: target/debug/weft.
build: for-build
	$(CARGO) build --locked --bins --workspace

# Two hosts, two tenants with equal addresses, guests on both hosts; no root, no NIC, no hugepages.
demo: release
	target/release/testbed demo

# The same with real Linux VMs as guests.
demo-vm: for-vms release
	target/release/testbed demo --guests vm

# All tests: units, properties, documents, DPDK scenarios, labs with real guests and peers.
test: for-tests build
	$(CARGO) test --locked --workspace --all-features

# What every change has to pass besides.
lint: for-build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings

# Criterion benches: figures per packet, beside those that `make bench-save` has saved on this machine.
bench: for-build
	$(CARGO) bench --locked --package weft --benches -- --baseline-lenient saved

# The same, saved to be compared with.
bench-save: for-build
	$(CARGO) bench --locked --package weft --benches -- --save-baseline saved

# Instructions a packet on each way, under callgrind: more of them than before fail.
instructions: for-instructions
	$(CARGO) bench --locked --package weft-pipelines --features testing --bench instructions

# Weft beside DPDK's testpmd, OVS-DPDK and Linux: one table, into benches/results. For root, on a machine with two cores that
# does nothing else; up to 20 minutes.
bench-peers: for-peers release
	target/release/testbed bench-peers

# How Weft scales, with workers, ports, sessions, rules and endpoints: tables, into benches/results. On a machine with two cores that
# does nothing else; with hugepages for root; up to 5 minutes.
bench-scale: release
	target/release/testbed bench-scale

# Fuzzes each way for FUZZ_SECONDS, with libFuzzer; needs `cargo install cargo-fuzz`.
FUZZ_SECONDS ?= 60
fuzz: for-build
	cd pipelines/fuzz && for way in vm_to_vm vm_to_fabric fabric_to_vm; do \
		mkdir -p corpus/$$way && RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$way corpus/$$way seeds/$$way -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done

clean:
	$(CARGO) clean

for-build:
	@$(PACKAGES) "to build Weft on DPDK" $(FOR_BUILD)

for-vms: for-build
	@$(PACKAGES) "to run Linux VMs as guests" $(FOR_VMS)

for-tests: for-build
	@$(PACKAGES) "for the labs of the tests" $(FOR_TESTS)

for-instructions: for-build
	@$(PACKAGES) "to count instructions" $(FOR_INSTRUCTIONS)

for-peers: for-build
	@$(PACKAGES) "for the peers of the bench" $(FOR_PEERS)
