pub fn panic_leaves_nothing() -> testbed::Result<()> { Ok(()) }
pub fn kill_leaves_no_process() -> testbed::Result<()> { Ok(()) }
pub fn interrupt_leaves_nothing() -> testbed::Result<()> { Ok(()) }
pub fn sweep_removes_orphans() -> testbed::Result<()> { Ok(()) }
