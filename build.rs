//! Tells Cargo which host is built for.

fn main() {}
