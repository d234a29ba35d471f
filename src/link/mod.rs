//! placeholder

pub mod event;
