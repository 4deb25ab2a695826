//! cloven
fn main() {}
