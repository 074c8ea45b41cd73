//! The rings against a driver.
