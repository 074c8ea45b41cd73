//! How many ports a host may have.

use thiserror::Error;

use crate::dpdk;

/// More ports than DPDK has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoRoom {
    /// On devices.
    #[error(
        "{0} ports on devices, uplinks included, and DPDK as it was built has room for {max}: attach endpoints by \
         vhost-user, move them to another host, or build DPDK with -Dmax_ethports",
        max = dpdk::MAX_DEVICES
    )]
    Devices(usize),
    /// On guests' sockets.
    #[error(
        "{0} vhost-user ports, and DPDK's vhost library serves {max}: move endpoints to another host",
        max = dpdk::MAX_SOCKETS
    )]
    Sockets(usize),
}

impl NoRoom {
    /// Whether there is room for these ports; of each it is said whether it is on a device.
    pub(super) fn check(ports: impl Iterator<Item = bool>) -> Result<(), Self> {
        let (devices, sockets): (Vec<bool>, Vec<bool>) = ports.partition(|is_device| *is_device);
        if devices.len() > dpdk::MAX_DEVICES {
            return Err(Self::Devices(devices.len()));
        }
        if sockets.len() > dpdk::MAX_SOCKETS {
            return Err(Self::Sockets(sockets.len()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_sockets_have_bounds_of_their_own() {
        let ports = |devices, sockets| {
            NoRoom::check(std::iter::repeat_n(true, devices).chain(std::iter::repeat_n(false, sockets)))
        };
        let (devices, sockets) = (dpdk::MAX_DEVICES, dpdk::MAX_SOCKETS);
        assert_eq!(ports(devices, sockets), Ok(()));
        assert_eq!(ports(devices + 1, 0), Err(NoRoom::Devices(devices + 1)));
        assert_eq!(ports(1, sockets + 1), Err(NoRoom::Sockets(sockets + 1)));
    }
}
