//! Labs for Weft.
