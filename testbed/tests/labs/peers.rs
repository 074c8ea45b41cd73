pub fn tenants_with_equal_addresses() -> testbed::Result<()> { Ok(()) }
