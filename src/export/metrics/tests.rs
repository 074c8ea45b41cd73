//! Metrics of a file as a switch writes it.
