//! placeholder

pub mod presence;
