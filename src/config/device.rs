//! DPDK's device strings.

/// The full PCI address at the head of a device string: `3b:00.0` and `0000:3b:00.0` are forms of one.
pub fn pci_address(device: &str) -> Option<String> {
    let address = device.split(',').next()?;
    let (rest, function) = address.split_once('.')?;
    let parts: Vec<&str> = rest.split(':').collect();
    let (domain, bus, slot) = match parts.as_slice() {
        [domain, bus, slot] => (*domain, *bus, *slot),
        [bus, slot] => ("0000", *bus, *slot),
        _ => return None,
    };
    let hex = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let well_formed = hex(domain, 8) && hex(bus, 2) && hex(slot, 2) && hex(function, 1);
    well_formed.then(|| format!("{domain:0>4}:{bus:0>2}:{slot:0>2}.{function}").to_ascii_lowercase())
}
