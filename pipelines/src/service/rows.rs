//! Which row counts what two groups have with each other.

use crate::ids::TenantId;
use crate::overlay::Table;

/// A row of [`Service`](super::Service).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row(pub u32);

impl Row {
    /// That of what is not counted: there is never such a row.
    pub const NONE: Self = Self(u32::MAX);

    /// Its place.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Default for Row {
    fn default() -> Self {
        Self::NONE
    }
}

/// The group that an end counts as: its place in its tenant's list and 1, or 0 for none.
pub type Group = u32;

/// The rows of all tenants.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// By tenant.
    tenants: Vec<TenantRows>,
    /// How many rows there are.
    len: usize,
}

/// The rows of a tenant.
#[derive(Clone, Debug, Default)]
pub struct TenantRows {
    /// By set of groups, in the numbers of the tenant's policy: the group that an end in it counts as.
    pub groups: Box<[Group]>,
    /// By both groups, see [`key`].
    pub pairs: Table<Row>,
    /// What counts pairs that have no row.
    pub other: Row,
}

/// The key of a pair of groups, the client's first.
pub fn key(client: Group, server: Group) -> u64 {
    u64::from(client) << 32 | u64::from(server)
}

impl Rows {
    /// Those of `tenants`, by their numbers, of `len` rows in all.
    pub const fn new(tenants: Vec<TenantRows>, len: usize) -> Self {
        Self { tenants, len }
    }

    /// How many rows there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The row of two ends, client and server, by the sets of groups that they are in.
    pub fn find(&self, tenant: TenantId, [client, server]: [u32; 2]) -> Row {
        let Some(rows) = self.tenants.get(tenant.index()) else { return Row::NONE };
        let group = |class: u32| rows.groups.get(class as usize).copied().unwrap_or(0);
        rows.pairs.find(key(group(client), group(server))).unwrap_or(rows.other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_without_a_row_is_one_of_the_others() {
        let pairs = Table::new([(key(1, 2), Row(3)), (key(0, 1), Row(4))]);
        let tenant = TenantRows { groups: [0, 1, 2, 1].into(), pairs, other: Row(9) };
        let rows = Rows::new(vec![TenantRows::default(), tenant], 10);
        let find = |tenant, classes| rows.find(TenantId(tenant), classes);
        assert_eq!(find(1, [1, 2]), Row(3));
        assert_eq!(find(1, [3, 2]), Row(3));
        assert_eq!([find(1, [0, 3]), find(1, [77, 1])], [Row(4); 2]);
        assert_eq!(find(1, [2, 1]), Row(9));
        // Of a tenant that is not here, or not known.
        assert_eq!([find(0, [1, 2]), find(5, [1, 2])], [Row::NONE; 2]);
    }
}
