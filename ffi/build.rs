//! Finds DPDK, makes the bindings from its headers and compiles its static inlines.

use std::env;
use std::path::{Path, PathBuf};
use std::process::exit;

/// What the switch calls, by name.
const FUNCTIONS: &[&str] = &[
    // eal
    "rte_eal_init",
    "rte_eal_cleanup",
    "rte_eal_has_hugepages",
    "rte_eal_get_runtime_dir",
    "rte_strerror",
    "rte_version",
    "rte_log_cur_msg_loglevel",
    "rte_log_set_level_pattern",
    "rte_openlog_stream",
    "fopencookie",
    "fclose",
    // lcore and time
    "rte_lcore_id",
    "rte_thread_register",
    "rte_thread_unregister",
    "rte_get_tsc_hz",
    "rte_rdtsc",
    // memory
    "rte_mempool_avail_count",
    "rte_mempool_cache_flush",
    "rte_mempool_default_cache",
    "rte_mempool_free",
    "rte_mempool_in_use_count",
    "rte_mempool_walk",
    "rte_pktmbuf_alloc",
    "rte_pktmbuf_alloc_bulk",
    "rte_pktmbuf_free",
    "rte_pktmbuf_free_bulk",
    "dpdk_sys_pktmbuf_pool_create",
    // devices
    "rte_dev_probe",
    "rte_dev_remove",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_close",
    "rte_eth_dev_configure",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_info_get",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_enable",
    "rte_eth_rx_burst",
    "rte_eth_rx_queue_setup",
    "rte_eth_stats_get",
    "rte_eth_tx_burst",
    "rte_eth_tx_queue_setup",
    // vhost-user: sockets, negotiation, the guests' memory
    "rte_vhost_driver_callback_register",
    "rte_vhost_driver_disable_features",
    "rte_vhost_driver_register",
    "rte_vhost_driver_start",
    "rte_vhost_driver_unregister",
    "rte_vhost_extern_callback_register",
    "rte_vhost_get_ifname",
    "rte_vhost_get_log_base",
    "rte_vhost_get_mem_table",
    "rte_vhost_get_mtu",
    "rte_vhost_get_negotiated_features",
    "rte_vhost_get_vhost_vring",
    "rte_vhost_get_vring_base",
    "rte_vhost_set_vring_base",
    "free",
    // wrapper.h
    "dpdk_sys_errno",
    "dpdk_sys_link_up",
];

/// The structures they take; others come along as far as these contain them.
const TYPES: &[&str] = &[
    "rte_eth_conf",
    "rte_eth_dev_info",
    "rte_eth_stats",
    "rte_ether_addr",
    "cookie_io_functions_t",
    "rte_vhost_device_ops",
    "rte_vhost_user_extern_ops",
    "rte_vhost_memory",
    "rte_vhost_vring",
    "rte_vhost_msg_result",
];

/// Constants and limits.
const VARS: &[&str] = &[
    "RTE_ETHER_MTU",
    "RTE_ETH_NAME_MAX_LEN",
    "RTE_LOG_ERR",
    "RTE_LOG_WARNING",
    "RTE_LOG_NOTICE",
    "RTE_LOG_INFO",
    "RTE_LOG_DEBUG",
    "RTE_MAX_ETHPORTS",
    "RTE_MEMPOOL_CACHE_MAX_SIZE",
    "RTE_MEMPOOL_NAMESIZE",
    "RTE_PKTMBUF_HEADROOM",
    "RTE_VHOST_MSG_RESULT_NOT_HANDLED",
    "RTE_VHOST_USER_CLIENT",
    "SOCKET_ID_ANY",
    "DPDK_SYS_RSS_IP",
    "DPDK_SYS_RSS_TCP",
    "DPDK_SYS_RSS_UDP",
    "DPDK_SYS_TX_OFFLOAD_MULTI_SEGS",
    "RTE_MAX_ETHPORTS",
    "DPDK_SYS_LCORE_ANY",
    "DPDK_SYS_MEMPOOL_NO_IOVA_CONTIG",
];

/// Behind pointers only, or different from one DPDK to the next: no field of these is read in Rust.
const OPAQUE: &[&str] =
    &["rte_device", "rte_mempool", "rte_mempool_cache", "_IO_FILE", "rte_eth_rxseg_split"];

/// Oldest DPDK that the bindings are kept building on.
const OLDEST: &str = "22.11";

fn main() {
    println!("cargo::rerun-if-changed=wrapper.h");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBCLANG_PATH");
    let dpdk = find_dpdk();
    // The PMDs are plugins that the EAL loads from a directory of its own: nothing here names one.
    // `--as-needed` leaves out those of DPDK's fifty libraries that nothing calls.
    println!("cargo::rustc-link-arg=-Wl,--as-needed");
    for dir in &dpdk.link_paths {
        println!("cargo::rustc-link-search=native={}", dir.display());
    }
    for lib in LIBRARIES {
        println!("cargo::rustc-link-lib=dylib={lib}");
    }
    let cflags = cflags(&dpdk);
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    make_bindings(&cflags, &out);
    compile_inlines(&cflags, &out);
}

/// The libraries that hold the functions above.
const LIBRARIES: &[&str] = &["rte_ethdev", "rte_vhost", "rte_mbuf", "rte_mempool", "rte_ring", "rte_eal"];

fn find_dpdk() -> pkg_config::Library {
    let found = pkg_config::Config::new()
        .atleast_version(OLDEST)
        .cargo_metadata(false)
        .env_metadata(true)
        .probe("libdpdk");
    found.unwrap_or_else(|error| {
        refuse(&format!(
            "DPDK {OLDEST} or newer was not found by pkg-config.\n\
             On Debian and Ubuntu: apt-get install libdpdk-dev pkg-config\n\
             For a DPDK of your own, set PKG_CONFIG_PATH to the directory of its libdpdk.pc.\n\
             To build without DPDK: cargo build --no-default-features\n\n{error}"
        ))
    })
}

/// What DPDK's headers need to compile: pkg-config's include paths, defines, `-include` and `-march`.
///
/// The crate `pkg-config` keeps only some kinds of flags, so the others are asked for here.
fn cflags(dpdk: &pkg_config::Library) -> Vec<String> {
    let pkg_config = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = std::process::Command::new(pkg_config).args(["--cflags", "libdpdk"]).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
        }
        _ => dpdk.include_paths.iter().map(|path| format!("-I{}", path.display())).collect(),
    }
}

fn make_bindings(cflags: &[String], out: &Path) {
    // bindgen panics where it finds no libclang.
    if std::panic::catch_unwind(bindgen::clang_version).is_err() {
        refuse(
            "libclang, which reads DPDK's headers, was not found.\n\
             On Debian and Ubuntu: apt-get install libclang-dev\n\
             For another place, set LIBCLANG_PATH.",
        );
    }
    let mut builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(cflags)
        .use_core()
        .wrap_static_fns(true)
        .wrap_static_fns_path(out.join("inlines"))
        .allowlist_recursively(true)
        .blocklist_type("rte_mbuf")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_debug(false)
        .generate_comments(false)
        .layout_tests(true);
    for name in FUNCTIONS {
        builder = builder.allowlist_function(format!("^{name}$"));
    }
    for name in TYPES {
        builder = builder.allowlist_type(format!("^{name}$"));
    }
    for name in VARS {
        builder = builder.allowlist_var(format!("^{name}$"));
    }
    for name in OPAQUE {
        builder = builder.opaque_type(format!("^{name}$"));
    }
    match builder.generate() {
        Ok(bindings) => bindings.write_to_file(out.join("bindings.rs")).expect("OUT_DIR can be written"),
        Err(error) => refuse(&format!("DPDK's headers could not be read: {error}")),
    }
}

fn compile_inlines(cflags: &[String], out: &Path) {
    let mut build = cc::Build::new();
    build.file(out.join("inlines.c")).include(".").opt_level(3).warnings(false);
    for flag in cflags {
        build.flag(flag);
    }
    build.compile("dpdk_inlines");
}

fn refuse(reason: &str) -> ! {
    for line in reason.lines() {
        println!("cargo::error={line}");
    }
    exit(1)
}
