//! Requests, well-behaved and not.
